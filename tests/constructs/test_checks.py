"""Every prop of every construct and value: what AWS refuses is refused at synth, and nothing that AWS takes is."""

import doctest
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from hypothesis import given, settings
from hypothesis import strategies as st

import payment_dr
from pages.construct_pages import CONSTRUCTS
from payment_dr import (
    AlarmTarget,
    Alerting,
    App,
    AwsProvider,
    Condition,
    ConfigSync,
    ConfigurationError,
    CustomDomain,
    DataCanary,
    DisasterRecoveryStack,
    DnsFailover,
    EncryptionKey,
    Endpoint,
    FunctionRoutes,
    GlobalData,
    HealthMonitor,
    HostedZone,
    Metric,
    PythonFunction,
    Region,
    RegionalNetwork,
    Role,
    Service,
    StandbySwitch,
    Statement,
    Subscription,
    Takeover,
    TerraformStack,
    checks,
    metric_alarm,
)
from payment_dr.bindings import TerraformVariable
from payment_dr.checks import LIMITS, NAMES, Limit, is_token, limit_of, props_of

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012"
WEST_KEY = KEY.replace("us-east-1", "us-west-2")
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:alerts"
TABLE = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/orders"
EAST = Region(name="us-east-1")
HANDLER = Path(__file__).resolve().parents[2] / "handlers" / "lambda_health_monitor.py"
TRUSTED = Statement(sid="Trusted", actions=["sts:AssumeRole"], principals={"Service": ["lambda.amazonaws.com"]})
READS = Statement(sid="Reads", actions=["dynamodb:GetItem"], resources=[TABLE])

Json = dict[str, Any]
Make = Callable[..., object]


@pytest.fixture
def stack(new_app: Callable[[], App]) -> TerraformStack:
    """A stack with a default provider in us-east-1."""
    made = TerraformStack(new_app(), "theirs")
    AwsProvider(made, "aws", region="us-east-1")
    return made


@pytest.fixture
def west(stack: TerraformStack) -> Region:
    """us-west-2 in that stack."""
    return Region(name="us-west-2", provider=AwsProvider(stack, "west", alias="west", region="us-west-2"))


@pytest.fixture
def makers(stack: TerraformStack, west: Region, new_app: Callable[[], App]) -> dict[str, Make]:
    """What makes each construct and value in the least way, but for the props that are given."""
    endpoints = {
        "primary": Endpoint(region=EAST, host="a.acme.io"),
        "secondary": Endpoint(region=west, host="b.acme.io"),
    }
    least: dict[Any, Json] = {
        RegionalNetwork: {"region": EAST, "cidr": "10.0.0.0/16", "subnet_cidrs": ["10.0.1.0/24", "10.0.2.0/24"]},
        GlobalData: {"primary": EAST, "secondary": west},
        HealthMonitor: {
            "region": EAST,
            "table_name": "orders",
            "table_arn": TABLE,
            "topic_arn": TOPIC,
            "topic_key_arn": KEY,
        },
        ConfigSync: {
            "primary": EAST,
            "secondary": west,
            "parameters": {"api-key": "?"},
            "primary_key_arn": KEY,
            "secondary_key_arn": WEST_KEY,
        },
        DataCanary: {"primary": EAST, "secondary": west, "table_name": "orders"},
        StandbySwitch: {
            "region": EAST,
            "primary_region": "us-west-2",
            "api_id": "a1b2c3d4e5",
            "stage": "$default",
        },
        DnsFailover: {**endpoints, "domain_name": "pay.acme.io"},
        CustomDomain: {
            "region": EAST,
            "host": "app.acme.io",
            "api_id": "a1b2c3d4e5",
            "stage": "$default",
            "zone_id": "Z0123456789ABCDEFGHIJ",
        },
        EncryptionKey: {"region": EAST},
        Alerting: {"region": EAST, "key_arn": KEY, "email": "oncall@acme.io"},
        PythonFunction: {
            "region": EAST,
            "purpose": "sweep",
            "description": "Sweeps",
            "source": HANDLER,
            "variables": {},
            "permissions": [],
        },
        metric_alarm: {
            "region": EAST,
            "purpose": "sweep",
            "section": "sweep",
            "target": AlarmTarget(topic_arn=TOPIC),
            "metrics": [Metric(namespace="AWS/Lambda", name="Errors", dimensions={})],
            "what_to_do": "Sweep.",
        },
    }
    numbers = iter(range(1_000_000))

    def maker(kind: Any, props: Json) -> Make:
        return lambda **given: kind(stack, f"it{next(numbers)}", **{"environment": "dev", **props, **given})

    role: Json = {"name": "r", "policy_name": "p", "description": "d", "trust": [TRUSTED], "permissions": [READS]}
    routes: Json = {
        "region": EAST,
        "api_id": "a1b2c3d4e5",
        "stage": "$default",
        "routes": ["POST /payments"],
        "function_arn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:payments",
    }
    deployed: Json = {"source": HANDLER, "actions": ["dynamodb:PutItem"]}

    def service(**given: Any) -> Service:
        existing = all(isinstance(given.get(f"{side}_function_arn"), str) for side in ("primary", "secondary"))
        return Service(**{"routes": ["POST /payments"], **({} if existing else deployed), **given})

    values: dict[type, Json] = {
        Region: {"name": "us-east-1"},
        Endpoint: {"region": EAST, "host": "a.acme.io"},
        HostedZone: {"zone_id": "Z1", "name": "acme.io"},
        AlarmTarget: {"topic_arn": TOPIC},
        Metric: {"namespace": "AWS/Lambda", "name": "Errors", "dimensions": {}},
        Statement: {"sid": "Reads", "actions": ["dynamodb:GetItem"]},
        Subscription: {"protocol": "https", "endpoint": "https://events.acme.io/dr"},
        Takeover: {"primary_url": "https://a.acme.io/health", "own_url": "https://b.acme.io/health"},
        Condition: {"test": "StringEquals", "variable": "aws:SourceAccount", "values": [ACCOUNT]},
    }

    def value_maker(kind: Any, props: Json) -> Make:
        return lambda **given: kind(**{**props, **given})

    return {
        "DisasterRecoveryStack": lambda **given: DisasterRecoveryStack(new_app(), "payment-dr", **given),
        "Role": lambda **given: Role(stack, f"it{next(numbers)}", **{**role, **given}),
        "Service": service,
        "FunctionRoutes": lambda **given: FunctionRoutes(stack, f"it{next(numbers)}", **{**routes, **given}),
        **{kind.__name__: maker(kind, props) for kind, props in least.items()},
        **{kind.__name__: value_maker(kind, props) for kind, props in values.items()},
    }


def owners() -> dict[str, Any]:
    """Everything with props: the constructs of the pages, the values that they take and `metric_alarm`."""
    values = (AlarmTarget, Condition, Endpoint, HostedZone, Metric, Region, Service, Statement, Subscription, Takeover)
    return {each.__name__: each for each in (*CONSTRUCTS, *values, metric_alarm)}


def test_every_public_class_with_props_is_checked() -> None:
    others = {"App", "ArchiveProvider", "AwsProvider", "RandomProvider", "TerraformStack", "ConfigurationError"}
    others.add("RegionalParts")  # which the stack makes, and nobody else
    public = {name for name in payment_dr.__all__ if isinstance(getattr(payment_dr, name), type)}
    assert public - others == owners().keys() - {"metric_alarm"}


def error_of(make: Make, **given: object) -> str:
    with pytest.raises(ConfigurationError) as raised:
        make(**given)
    return "\n".join(raised.value.mistakes)


@pytest.mark.parametrize("owner", owners())
def test_a_wrong_type_fails_at_synth_with_one_sentence(makers: dict[str, Make], owner: str) -> None:
    numbers = (int, float, int | None, float | None)
    for prop in props_of(owners()[owner]):
        wrong = ["30" if prop.annotation in (*numbers, bool) else 30, *([True] if prop.annotation in numbers else [])]
        for value in (object(), *wrong):
            message = error_of(makers[owner], **{prop.name: value})
            assert re.fullmatch(rf"{prop.name}={re.escape(repr(value))} is not .+; .+", message), message


# Where a construct needs the value at synth; of every other prop it takes a Terraform value.
KNOWN = {
    # in names, addresses and labels
    *("Region.name", "Region.label", "primary_region", "secondary_region", "record_name", "application", "section"),
    *("DisasterRecoveryStack.table_name", "GlobalData.table_name", "bucket_purpose", "purpose"),
    *("EncryptionKey.purpose", "invoke_by_rule.trigger"),
    # of Terraform itself: where its state is, and which account it rejects
    *("state", "state_region", "account"),
    # they decide what there is, and who may do what
    *("production", "failback", "data_canary", "switch", "custom_domain", "dashboards", "alert_email_required"),
    *("private_probe_route", "for_health_check", "operations", "routes", "Service.actions", "variables", "config_keys"),
    *("parameters", "protocol", "Subscription.endpoint", "gateway_endpoints", "interface_endpoints"),
    # in sums
    *("cidr", "primary_cidr", "secondary_cidr", "subnet_cidrs", "primary_subnet_cidrs", "secondary_subnet_cidrs"),
    *("replication_lag_alarm_ms", "stale_after_seconds", "reconcile_every_minutes", "periods", "Metric.period_seconds"),
    *("request_interval_seconds", "failure_threshold", "ttl_seconds", "rto_target_seconds", "alarm_seconds"),
}


def test_the_page_of_limits_says_which_values_must_be_known_at_synth() -> None:
    assert {prop for prop, limit in LIMITS.items() if limit.known} == KNOWN


@pytest.mark.parametrize("owner", owners())
def test_a_token_is_accepted_or_fails_at_synth_with_its_own_sentence(
    makers: dict[str, Make], stack: TerraformStack, owner: str
) -> None:
    variable = TerraformVariable(stack, "their_value", type="any")
    tokens: dict[Any, list[Any]] = {
        str: [variable.string_value],
        int: [variable.number_value],
        float: [variable.number_value],
        bool: [variable.boolean_value],
        Sequence[str]: [variable.list_value, [variable.string_value]],
    }
    taken: Json = {}
    for prop in props_of(owners()[owner]):
        kind = next((each for each in tokens if prop.annotation in (each, each | None)), None)
        if kind is None or limit_of(owner, prop.name) is None:
            continue  # dicts and files are read at synth
        own = f"{owner}.{prop.name}"
        if (own if own in LIMITS else prop.name) in KNOWN:
            for token in tokens[kind]:
                message = error_of(makers[owner], **{prop.name: token})
                assert message.startswith(
                    f"{prop.name} is a Terraform value, which is not known at synth; use a literal such "
                )
                assert "TfToken" not in message
        else:
            taken[prop.name] = tokens[kind][0]
    assert all(map(is_token, taken.values()))
    makers[owner](**taken)


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
RESERVED_VARIABLES = (
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
)
SEEN: list[tuple[str, Json, str]] = [
    (
        "DisasterRecoveryStack",
        {"config_keys": "api-key"},
        r"config_keys='api-key' is not a list of text; use a value such as \['api-key'\]",
    ),
    ("DisasterRecoveryStack", {"owner": "o" * 300}, r"owner='o+\.\.\.o+' \(300 characters\) is not 1 to 256 letters"),
    ("DisasterRecoveryStack", {"owner": "team <payments>"}, "owner='team <payments>' is not 1 to 256 letters"),
    (
        "DisasterRecoveryStack",
        {"runbook": "https://wiki/" + "r" * 1100},
        r"\(1,113 characters\) is not an address of at m",
    ),
    (
        "DisasterRecoveryStack",
        {"ttl_seconds": "30"},
        "ttl_seconds='30' is not a whole number from 0 to 2,147,483,647; use a value",
    ),
    ("DisasterRecoveryStack", {"primary_region": None}, "primary_region=None is not a commercial AWS region"),
    ("DisasterRecoveryStack", {"failure_threshold": True}, "failure_threshold=True is not a whole number from 1 to 10"),
    (
        "DisasterRecoveryStack",
        {"primary_subnet_cidrs": "10.0.1.0/24"},
        "primary_subnet_cidrs='10.0.1.0/24' is not a list of",
    ),
    ("GlobalData", {"bucket_purpose": "Payment_Docs"}, "bucket_purpose='Payment_Docs' is not lower-case letters"),
    ("GlobalData", {"environment": "Production"}, "environment='Production' is not 2 to 12 lower-case letters"),
    ("GlobalData", {"table_name": "tx"}, "table_name='tx' is not 3 to 255 letters"),
    ("GlobalData", {"operations": ["GetItems"]}, r"operations=\['GetItems'\] is not 1 to 10 entries"),
    (
        "Alerting",
        {"email": "not an address"},
        "email='not an address' is not an email address; use a value such as 'onc",
    ),
    ("Alerting", {"key_arn": KEY.replace("key/", "alias/")}, r"is not an ARN of a key \(not of an alias\)"),
    ("Alerting", {"key_arn": WEST_KEY}, "key_arn='arn:aws:kms:us-west-2:.*' is in us-west-2; use one in us-east-1"),
    (
        "HealthMonitor",
        {"topic_arn": TOPIC.replace("east-1", "west-2")},
        "topic_arn='.*' is in us-west-2; use one in us-east-1",
    ),
    ("HealthMonitor", {"log_retention_days": 2}, "log_retention_days=2 is not 0, 1, 3, 5, 7"),
    (
        "DnsFailover",
        {"domain_name": "a..b"},
        "domain_name='a..b' is not a domain in lower case with at least two labels",
    ),
    ("DnsFailover", {"domain_name": "pay.example.com"}, "domain_name='pay.example.com' is not a domain in lower case"),
    ("DnsFailover", {"record_name": ""}, "record_name='' is not one or more labels"),
    (
        "DnsFailover",
        {"health_path": "health"},
        "health_path='health' is not a path of at most 255 characters that starts",
    ),
    (
        "DnsFailover",
        {"domain_name": ("d" * 61 + ".") * 4 + "io"},
        "record_name and domain_name make 'app.d.*; shorten one",
    ),
    (
        "Endpoint",
        {"host": "https://a.acme.io"},
        "host='https://a.acme.io' is not a host name of at most 253 characters",
    ),
    ("Endpoint", {"host": "203.0.113.1"}, "host='203.0.113.1' is not a host name"),
    ("Takeover", {"own_url": "http://b.acme.io/health"}, "own_url='http://b.acme.io/health' is not an https"),
    ("Takeover", {"primary_alarm_name": ""}, "primary_alarm_name='' is not 1 to 255 characters"),
    ("Takeover", {"primary_url": "https://a.acme.io"}, "primary_url='https://a.acme.io' is not an https"),
    ("HostedZone", {"zone_id": "/hostedzone/Z1"}, "zone_id='/hostedzone/Z1' is not the id of a zone, without"),
    (
        "CustomDomain",
        {"host": "a" * 60 + ".acme.io"},
        "host='a.*' is not a domain in lower case of at most 64 characters",
    ),
    ("ConfigSync", {"parameters": {"api-key": 5}}, "parameters={'api-key': ...} is not a dict of text"),
    (
        "ConfigSync",
        {"parameters": {"api-key": "s" * 4097}},
        "parameters has 4,097 bytes for the key 'api-key'; use 1 to 4,096",
    ),
    ("ConfigSync", {"parameters": {"api-key": ""}}, "parameters has 0 bytes for the key 'api-key'; use 1 to 4,096"),
    ("ConfigSync", {"application": "aws-payments"}, "application='aws-payments' is not at most 100 letters"),
    ("EncryptionKey", {"deletion_window_days": 6}, "deletion_window_days=6 is not a whole number from 7 to 30"),
    ("EncryptionKey", {"purpose": "aws/sns"}, "purpose='aws/sns' is not letters, digits, '/', '-' and '_', not 'aws/'"),
    ("EncryptionKey", {"region": "us-east-1"}, "region='us-east-1' is not a Region; give that"),
    ("PythonFunction", {"source": Path("nowhere.py")}, r"source=\w+\('nowhere.py'\) is not an existing Python file"),
    *(
        ("PythonFunction", {"variables": {name: "x"}}, f"variables={{'{name}': ...}} is not names of letters")
        for name in RESERVED_VARIABLES
    ),
    ("PythonFunction", {"memory_mb": 64}, "memory_mb=64 is not a whole number from 128 to 10,240"),
    ("PythonFunction", {"permissions": [READS, READS]}, "the sid Reads is used twice in one policy; rename one"),
    (
        "PythonFunction",
        {"permissions": [TRUSTED]},
        "statement Trusted of the permissions must have resources and no pri",
    ),
    ("Role", {"trust": [READS]}, "statement Reads of the trust must have principals and no resources"),
    ("Role", {"trust": []}, r"trust=\[\] is not at least one Statement"),
    ("Condition", {"values": ACCOUNT}, f"values='{ACCOUNT}' is not a list of text; give that"),
    ("Statement", {"actions": "s3:GetObject"}, "actions='s3:GetObject' is not a list of text; use"),
    (
        "Statement",
        {"actions": ["GetObject"]},
        r"actions=\['GetObject'\] is not 1 or more entries, each of the form service",
    ),
    ("Statement", {"resources": ["orders"]}, r"resources=\['orders'\] is not 0 or more entries, each an ARN or '\*'"),
    ("Statement", {"sid": "Read orders"}, "sid='Read orders' is not letters and digits"),
    ("metric_alarm", {"metrics": []}, r"metrics=\[\] is not one to ten metrics"),
    (
        "metric_alarm",
        {"what_to_do": "w" * 1000},
        "make a description of 1,031 characters, and CloudWatch takes 1,024; shorten",
    ),
    ("metric_alarm", {"periods": 289}, "periods=289 of 300 s are more than CloudWatch evaluates"),
]


@pytest.mark.parametrize(("owner", "given", "sentence"), SEEN)
def test_a_value_that_aws_rejects_fails_at_synth_with_one_sentence(
    makers: dict[str, Make], owner: str, given: Json, sentence: str
) -> None:
    message = error_of(makers[owner], **given)
    assert re.search(sentence, message), message
    assert ";" in message.splitlines()[0]  # what to change


@pytest.mark.parametrize("prop", ["host", "health_host"])
def test_an_endpoint_that_is_the_name_itself_fails_at_synth(makers: dict[str, Make], prop: str) -> None:
    hosts: Json = {"host": "a.acme.io", prop: "app.pay.acme.io"}
    own = Endpoint(region=EAST, **hosts)
    message = error_of(makers["DnsFailover"], primary=own)
    assert message.startswith(f"primary.{prop}='app.pay.acme.io' is the name itself")


def test_mistakes_of_types_values_and_parts_come_in_as_few_errors_as_can_be(makers: dict[str, Make]) -> None:
    assert error_of(makers["GlobalData"], environment=5, table_name="t", force_destroy="no").splitlines() == [
        "environment=5 is not 2 to 12 lower-case letters, digits or '-' that start with a letter; "
        "use a value such as 'dev'",
        "force_destroy='no' is not True or False; use a value such as True",
        "table_name='t' is not 3 to 255 letters, digits, '_', '-' and '.'; use a value such as 'transactions'",
    ]
    lines = error_of(makers["GlobalData"], secondary=EAST, table_name="t", bucket_purpose="b" * 50).splitlines()
    assert [line.partition(" ")[0].partition("=")[0] for line in lines] == ["table_name", "secondary", "bucket_purpose"]


def test_a_zone_may_end_with_the_dot_of_the_root(stack: TerraformStack, makers: dict[str, Make]) -> None:
    zone = HostedZone(zone_id="Z1", name="pay.acme.io.")
    assert zone == HostedZone(zone_id="Z1", name="pay.acme.io")
    makers["DnsFailover"](hosted_zone=zone)


@pytest.mark.parametrize("kind", ["GlobalData", "ConfigSync", "DnsFailover"])
def test_two_providers_with_an_alias_need_a_default_one_beside_them(new_app: Callable[[], App], kind: str) -> None:
    stack = TerraformStack(new_app(), "aliased")
    regions = [
        Region(name=name, provider=AwsProvider(stack, name, alias=name, region=name))
        for name in ("us-east-1", "us-west-2")
    ]
    make: Mapping[str, Make] = {
        "GlobalData": lambda: GlobalData(stack, "it", primary=regions[0], secondary=regions[1], environment="dev"),
        "ConfigSync": lambda: ConfigSync(
            stack,
            "it",
            primary=regions[0],
            secondary=regions[1],
            environment="dev",
            parameters={"api-key": "?"},
            primary_key_arn=KEY,
            secondary_key_arn=WEST_KEY,
        ),
        "DnsFailover": lambda: DnsFailover(
            stack,
            "it",
            primary=Endpoint(region=regions[0], host="a.acme.io"),
            secondary=Endpoint(region=regions[1], host="b.acme.io"),
            environment="dev",
            domain_name="pay.acme.io",
        ),
    }
    assert "the stack has no default provider for roles and DNS; add an AwsProvider without an" in error_of(make[kind])


def test_its_examples_are_right() -> None:
    assert doctest.testmod(checks).failed == 0


def test_it_loads_without_node() -> None:
    code = "import payment_dr.checks, sys; print([m for m in sys.modules if 'jsii' in m or 'cdktf' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("prop", LIMITS)
def test_every_limit_is_of_a_prop_and_its_example_is_within(prop: str) -> None:
    owner, _, name = prop.rpartition(".")
    rules = {"invoke_by_rule": PythonFunction.invoke_by_rule}
    known = {(kind, each.name): each for kind, value in {**owners(), **rules}.items() for each in props_of(value)}
    assert [key for key in known if key[1] == name and owner in ("", key[0])]
    limit = LIMITS[prop]
    if limit.example is not None and not isinstance(limit.example, Path):
        assert limit.accepts(limit.example)


# As the page of each limit states it; None: no greatest.
NUMBERS: dict[str, tuple[int, int | None]] = {
    "memory_mb": (128, 10_240),
    "timeout_seconds": (1, 900),
    "Service.timeout_seconds": (1, 30),
    "retries": (0, 2),
    "max_event_age_seconds": (60, 21_600),
    "invoke_by_rule.max_event_age_seconds": (60, 86_400),
    "invoke_by_rule.max_retries": (0, 185),
    "deletion_window_days": (7, 30),
    "key_deletion_window_days": (7, 30),
    "requests_per_second": (1, None),
    "stage_requests_per_second": (1, None),
    "burst": (1, None),
    "stage_burst": (1, None),
    "periods": (1, None),
    "failure_threshold": (1, 10),
    "ttl_seconds": (0, 2_147_483_647),
    "alarm_seconds": (60, None),
    # this library's own
    "rto_target_seconds": (1, None),
    "replication_lag_alarm_ms": (1, None),
    "stale_after_seconds": (120, 3600),
    "reconcile_every_minutes": (2, 60),
}
VALUES: dict[str, tuple[object, ...]] = {
    "gateway_endpoints": ("dynamodb", "s3"),
    "interface_endpoints": ("ssm", "kms", "sns", "logs"),
    "operations": (
        *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchGetItem", "BatchWriteItem"),
        *("TransactGetItems", "TransactWriteItems"),
        *("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"),
    ),
    "Service.actions": (
        *("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query"),
        *("dynamodb:Scan", "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem"),
    ),
    "log_retention_days": (
        *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
    ),
    "failback": ("automatic", "operator"),
    "protocol": ("https", "sqs", "lambda"),
    "comparison": (
        *("GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"),
    ),
    "Metric.statistic": ("Sum", "Average", "Minimum", "Maximum", "SampleCount"),
    "request_interval_seconds": (10, 30),
    "Statement.effect": ("Allow", "Deny"),
}


@pytest.mark.parametrize("prop", NUMBERS)
def test_a_number_is_taken_from_its_least_to_its_greatest(prop: str) -> None:
    limit, (low, high) = LIMITS[prop], NUMBERS[prop]
    assert (limit.accepts(low - 1), limit.accepts(low)) == (False, True)
    assert (limit.accepts(high or 2**40), limit.accepts((high or 2**40) + 1)) == (True, high is None)
    assert re.findall("[0-9,]+", limit.takes) == [f"{each:,}" for each in (low, high) if each is not None]


def test_every_number_is_in_that_table() -> None:
    assert {prop for prop, limit in LIMITS.items() if re.match("a (whole )?number", limit.takes)} == NUMBERS.keys()


@pytest.mark.parametrize("prop", VALUES)
def test_a_prop_with_a_list_of_values_takes_each_of_them_and_no_other(prop: str) -> None:
    limit, values = LIMITS[prop], VALUES[prop]

    def accepts(value: object) -> bool:
        return limit.accepts([value] if isinstance(limit.example, list) else value)

    assert [value for value in values if not accepts(value)] == []
    others = {value + 1 if isinstance(value, int) else f"{value}s" for value in values} - {*values}
    assert [value for value in others if accepts(value)] == []
    said = re.findall(r"'([^']+)'|\b(\d+)\b", limit.takes.partition("each ")[2] or limit.takes)
    assert sorted(text or number for text, number in said) == sorted(map(str, values))


def test_a_limit_without_a_source_is_this_librarys_own() -> None:
    assert {prop for prop, limit in LIMITS.items() if not limit.page.startswith("https://")} == {
        *("Region.label", "environment", "purpose", "section", "invoke_by_rule.trigger", "trust", "Role.permissions"),
        *("production", "failback", "data_canary", "switch", "custom_domain", "dashboards", "alert_email_required"),
        *("private_probe_route", "for_health_check", "deletion_protection", "force_destroy", "api_id"),
        *("primary_url", "own_url", "Subscription.endpoint", "rto_target_seconds", "replication_lag_alarm_ms"),
        *("stale_after_seconds", "reconcile_every_minutes"),
    }
    assert all(limit.page.startswith("https://") for limit in NAMES.values())


# Composed names: with a purpose of the most characters that is taken, no name is too long; with one more it is refused.
COMPOSED = {
    "GlobalData": ("bucket_purpose", {}),
    "ConfigSync": ("purpose", {}),
    "DataCanary": ("purpose", {"primary_alarms": AlarmTarget(topic_arn=TOPIC)}),
    "EncryptionKey": ("purpose", {}),
    "PythonFunction": ("purpose", {"alarms": AlarmTarget(topic_arn=TOPIC)}),
    "HealthMonitor": ("purpose", {"alarms": AlarmTarget(topic_arn=TOPIC)}),
    "metric_alarm": ("purpose", {}),
}
NAME_OF = {
    "aws_s3_bucket": "bucket",
    "aws_lambda_function": "function_name",
    "aws_cloudwatch_metric_alarm": "alarm_name",
}
KIND_OF = {
    "aws_iam_role": "iam-role-",
    "aws_iam_policy": "iam-policy-",
    "aws_s3_bucket": "s3-",
    "aws_lambda_function": "lambda-",
    "aws_cloudwatch_event_rule": "event-rule-",
    "aws_cloudwatch_metric_alarm": "alarm-",
    "aws_cloudwatch_log_group": "/aws/",
    "aws_apigatewayv2_api": "api-",
    "aws_kms_alias": "alias/",
}


def names_too_long(stack: TerraformStack) -> list[str]:
    found = []
    for type_, resources in stack.to_terraform()["resource"].items():
        for resource in resources.values() if type_ in KIND_OF else ():
            name = re.sub(r"\$\{[^}]*\}", ACCOUNT, resource[NAME_OF.get(type_, "name")])
            found += [name] if not NAMES[KIND_OF[type_]].accepts(name) else []
    return found


@pytest.mark.parametrize("owner", COMPOSED)
def test_names_that_are_composed_stay_within_the_limits_of_aws(
    makers: dict[str, Make], stack: TerraformStack, owner: str
) -> None:
    prop, others = COMPOSED[owner]
    environment = "e" * 12
    message = error_of(makers[owner], **{prop: "p" * 300}, environment=environment, **others)
    excess = re.fullmatch(
        rf"{prop}='p+' makes the name '.+', \d+ characters, but AWS allows .+; shorten {prop} by (\d+)", message
    )
    assert excess, message
    longest = 300 - int(excess[1])
    makers[owner](**{prop: "p" * longest}, environment=environment, **others)
    assert names_too_long(stack) == []
    assert f"shorten {prop} by 1" in error_of(
        makers[owner], **{prop: "p" * (longest + 1)}, environment=environment, **others
    )


def test_a_table_with_the_longest_name_has_alarms_within_the_limits(
    makers: dict[str, Make], stack: TerraformStack
) -> None:
    alarms = {"primary_alarms": AlarmTarget(topic_arn=TOPIC, runbook="r" * 512)}
    (excess,) = re.findall(
        r"shorten table_name by (\d+)", error_of(makers["GlobalData"], table_name="t" * 255, **alarms)
    )
    makers["GlobalData"](table_name="t" * (255 - int(excess)), **alarms)
    assert names_too_long(stack) == []


def test_every_alarm_takes_the_longest_runbook(new_app: Callable[[], App]) -> None:
    stack = DisasterRecoveryStack(
        new_app(),
        "payment-dr",
        primary_region="ap-southeast-1",
        secondary_region="ap-southeast-2",
        config_keys=["a"],
        runbook="r" * 512,
    )
    alarms = stack.to_terraform()["resource"]["aws_cloudwatch_metric_alarm"].values()
    assert max(len(alarm["alarm_description"]) for alarm in alarms) <= 1024


# What botocore's service models say of a prop. `equal` where they say all that AWS does; else a prop may take less.
@cache
def modelled(service: str, operation: str, *path: str) -> Mapping[str, Any]:
    shape: Any = Session().get_service_model(service).operation_model(operation).input_shape
    for part in path:
        shape = shape.members[part]
    return {**shape.metadata, **({"enum": shape.enum} if getattr(shape, "enum", None) else {})}


def model_takes(model: Mapping[str, Any], value: Any) -> bool:
    size = len(value) if isinstance(value, str) else value
    if size < model.get("min", size) or size > model.get("max", size) or value not in model.get("enum", [value]):
        return False
    pattern = model.get("pattern")
    return pattern is None or bool(re.fullmatch(pattern, value, re.ASCII))


EQUAL, STRICTER = True, False
MODELS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "Role.name": (EQUAL, ("iam", "CreateRole", "RoleName")),
    "Role.policy_name": (EQUAL, ("iam", "CreatePolicy", "PolicyName")),
    "Role.description": (EQUAL, ("iam", "CreateRole", "Description")),
    "retries": (EQUAL, ("lambda", "PutFunctionEventInvokeConfig", "MaximumRetryAttempts")),
    "max_event_age_seconds": (EQUAL, ("lambda", "PutFunctionEventInvokeConfig", "MaximumEventAgeInSeconds")),
    "invoke_by_rule.rule_name": (EQUAL, ("events", "PutRule", "Name")),
    "failure_threshold": (EQUAL, ("route53", "CreateHealthCheck", "HealthCheckConfig", "FailureThreshold")),
    "Metric.statistic": (EQUAL, ("cloudwatch", "PutMetricAlarm", "Statistic")),
    "memory_mb": (STRICTER, ("lambda", "CreateFunction", "MemorySize")),
    "timeout_seconds": (STRICTER, ("lambda", "CreateFunction", "Timeout")),
    "PythonFunction.description": (STRICTER, ("lambda", "CreateFunction", "Description")),
    "invoke_by_rule.description": (STRICTER, ("events", "PutRule", "Description")),
    "invoke_by_rule.schedule": (STRICTER, ("events", "PutRule", "ScheduleExpression")),
    "deletion_window_days": (STRICTER, ("kms", "ScheduleKeyDeletion", "PendingWindowInDays")),
    "request_interval_seconds": (STRICTER, ("route53", "CreateHealthCheck", "HealthCheckConfig", "RequestInterval")),
    "alarm_name": (STRICTER, ("cloudwatch", "PutMetricAlarm", "AlarmName")),
    "health_path": (STRICTER, ("route53", "CreateHealthCheck", "HealthCheckConfig", "ResourcePath")),
    "health_host": (STRICTER, ("route53", "CreateHealthCheck", "HealthCheckConfig", "FullyQualifiedDomainName")),
    "domain_name": (STRICTER, ("route53", "CreateHostedZone", "Name")),
    "CustomDomain.host": (STRICTER, ("acm", "RequestCertificate", "DomainName")),
    "table_name": (STRICTER, ("dynamodb", "CreateTable", "TableName")),
    "runbook": (STRICTER, ("cloudwatch", "PutMetricAlarm", "AlarmDescription")),
    "Metric.namespace": (STRICTER, ("cloudwatch", "PutMetricAlarm", "Namespace")),
    "Metric.name": (STRICTER, ("cloudwatch", "PutMetricAlarm", "MetricName")),
    "periods": (EQUAL, ("cloudwatch", "PutMetricAlarm", "EvaluationPeriods")),
    "comparison": (STRICTER, ("cloudwatch", "PutMetricAlarm", "ComparisonOperator")),
}
NAME_MODELS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "iam-role-": (EQUAL, ("iam", "CreateRole", "RoleName")),
    "iam-policy-": (EQUAL, ("iam", "CreatePolicy", "PolicyName")),
    "event-rule-": (EQUAL, ("events", "PutRule", "Name")),
    "/aws/": (EQUAL, ("logs", "CreateLogGroup", "logGroupName")),
    "lambda-": (STRICTER, ("lambda", "CreateFunction", "FunctionName")),
    "alias/": (STRICTER, ("kms", "CreateAlias", "AliasName")),
    "alarm-": (STRICTER, ("cloudwatch", "PutMetricAlarm", "AlarmName")),
}
LIMITS_WITH_MODEL = [
    *((LIMITS[prop], exact, path) for prop, (exact, path) in MODELS.items()),
    *((NAMES[kind], exact, path) for kind, (exact, path) in NAME_MODELS.items()),
]


def texts(limit: Limit) -> st.SearchStrategy[str]:
    """Texts around a limit: odd characters, those of names, lengths around the longest, and the example itself."""
    longest = limit.longest or 64
    plain = st.text("abcXYZ019-_./+=,@:$ ", min_size=0, max_size=80)
    long = st.builds(
        lambda length, letter: letter * length, st.integers(longest - 2, longest + 2), st.sampled_from("aZ0-")
    )
    return st.one_of(st.text(max_size=20), plain, long, st.just(str(limit.example or "alias/x")))


@pytest.mark.parametrize(
    ("limit", "exact", "path"), LIMITS_WITH_MODEL, ids=[*MODELS, *(f"name {kind}" for kind in NAME_MODELS)]
)
@settings(deadline=None, max_examples=60)  # the first example loads the model
@given(data=st.data())
def test_a_prop_takes_what_the_model_of_the_service_takes(
    limit: Limit, exact: bool, path: tuple[str, ...], data: st.DataObject
) -> None:
    model = modelled(*path)
    if "enum" in model:
        value: Any = data.draw(st.sampled_from([*model["enum"], "Median"]))
    elif isinstance(limit.example, int):
        edges = {model.get("min", 0), model.get("max", 0)}
        value = data.draw(st.integers(-1, 40_000) | st.sampled_from(sorted({e + d for e in edges for d in (-1, 0, 1)})))
    else:
        value = data.draw(texts(limit))
    ours, theirs = limit.accepts(value), model_takes(model, value)
    assert ours == theirs if exact else theirs or not ours


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("Équipe 支払い ٣_.:/=+-@", True),
        ("o" * 256, True),
        ("o" * 257, False),
        ("", False),
        ("AWS:team", False),
        *((f"team{character}", False) for character in "\t\n<>&#;,!?*()'\"\u0301"),
    ],
)
def test_an_owner_is_what_a_tag_takes(value: str, taken: bool) -> None:
    """IAM's model has Java's classes of letters, separators and numbers, which Python's `re` does not know."""
    tag = Session().get_service_model("iam").shape_for("tagValueType").metadata
    assert (tag["max"], tag["pattern"]) == (256, r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*")
    assert LIMITS["owner"].accepts(value) == taken
