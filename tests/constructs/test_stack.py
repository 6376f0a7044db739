"""The stack as a whole: providers, variables, names, addresses, and what it refuses."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payment_dr import (
    App,
    ConfigSync,
    ConfigurationError,
    DisasterRecoveryStack,
    DnsFailover,
    GlobalData,
    HealthMonitor,
    RegionalNetwork,
    Service,
    Subscription,
    TerraformStack,
)
from payment_dr.bindings import TerraformOutput, Vpc
from payment_dr.bindings import Testing as CdktfTesting
from tests.constructs.documents import Json, resource

NewApp = Callable[[], App]
PROJECT = Path(__file__).resolve().parents[2]


def synthesized(new_app: NewApp, **settings: Any) -> Json:
    parsed: Json = json.loads(CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", **settings)))
    return parsed


def resources(stack: Json) -> dict[str, Json]:
    return {
        f"{type_}.{name}": resource for type_, named in stack["resource"].items() for name, resource in named.items()
    }


def test_terraform_and_providers_are_constrained_as_asked(stack_json: Json) -> None:
    assert stack_json["terraform"]["required_version"] == ">= 1.5"
    assert stack_json["terraform"]["required_providers"] == {
        "aws": {"source": "hashicorp/aws", "version": "~> 5.0"},
        "archive": {"source": "hashicorp/archive", "version": "~> 2.0"},
        "random": {"source": "hashicorp/random", "version": "~> 3.0"},
    }


def test_there_is_a_default_and_a_secondary_provider_with_the_same_default_tags(stack_json: Json) -> None:
    default, secondary = stack_json["provider"]["aws"]
    assert default["region"] == "us-east-1"
    assert "alias" not in default
    assert (secondary["region"], secondary["alias"]) == ("us-west-2", "secondary")
    tags = {
        "Environment": "${var.environment}",
        "DataClassification": "sensitive",
        "Owner": "platform-team",
        "ManagedBy": "terraform",
    }
    assert [provider["default_tags"] for provider in (default, secondary)] == [[{"tags": tags}]] * 2


def test_the_environment_is_a_string_that_defaults_to_dev(stack_json: Json) -> None:
    variable = stack_json["variable"]["environment"]
    assert (variable["type"], variable["default"]) == ("string", "dev")


def test_every_variable_says_what_it_is_and_initial_secrets_are_sensitive(stack_json: Json) -> None:
    variables = stack_json["variable"]
    assert set(variables) == {"environment", "domain_name", "alert_email", "initial_secrets"}
    assert all(variable["description"] and variable["type"] for variable in variables.values())
    assert variables["initial_secrets"]["sensitive"] is True


def test_only_the_allowed_data_sources_are_used(stack_json: Json) -> None:
    addresses = {type_: set(named) for type_, named in stack_json["data"].items()}
    addresses.pop("aws_iam_policy_document")
    assert addresses.pop("archive_file")
    assert addresses == {
        "aws_caller_identity": {"current"},
        "aws_region": {"current", "current_secondary"},
        "aws_availability_zones": {"available", "available_secondary"},
    }


def test_the_data_sources_of_the_second_region_use_its_provider(stack_json: Json) -> None:
    for type_, name in (("aws_region", "current"), ("aws_availability_zones", "available")):
        assert "provider" not in stack_json["data"][type_][name]
        assert stack_json["data"][type_][f"{name}_secondary"]["provider"] == "aws.secondary"


def test_no_random_string_is_used_and_random_passwords_only_seed_parameters(stack_json: Json) -> None:
    assert [type_ for type_ in stack_json["resource"] if type_.startswith("random_")] == ["random_password"]
    shapes = {(body["length"], body["special"]) for body in stack_json["resource"]["random_password"].values()}
    assert shapes == {(32, False)}
    reads_password = {
        address for address, body in resources(stack_json).items() if "random_password." in json.dumps(body)
    }
    assert {address.split(".")[0] for address in reads_password} == {"aws_ssm_parameter"}


def test_names_follow_the_pattern(stack_json: Json) -> None:
    """{resource-type}-{purpose}-{region}-{environment}, with the account id behind bucket names."""
    environment = re.escape("${var.environment}")
    pattern = re.compile(rf"[a-z0-9-]+-(east|west)-{environment}")
    bucket = re.compile(
        rf"s3-payment-docs-(east|west)-{environment}-\$\{{data\.aws_caller_identity\.current\.account_id\}}"
    )
    named = {
        "aws_apigatewayv2_api": "name",
        "aws_cloudwatch_event_rule": "name",
        "aws_cloudwatch_metric_alarm": "alarm_name",
        "aws_iam_policy": "name",
        "aws_iam_role": "name",
        "aws_lambda_function": "function_name",
        "aws_sns_topic": "name",
    }
    for address, body in resources(stack_json).items():
        type_ = address.split(".")[0]
        if type_ in named:
            assert pattern.fullmatch(body[named[type_]]), address
        elif type_ == "aws_s3_bucket":
            assert bucket.fullmatch(body["bucket"]), address
        elif type_ in {"aws_vpc", "aws_subnet", "aws_route_table", "aws_kms_key", "aws_route53_health_check"}:
            assert pattern.fullmatch(body["tags"]["Name"]), address


def test_names_of_the_brief_are_word_for_word(stack_json: Json) -> None:
    names = {body.get("function_name") for body in stack_json["resource"]["aws_lambda_function"].values()}
    environment = "${var.environment}"
    assert names == {
        f"lambda-{purpose}-{label}-{environment}"
        for purpose in ("health-monitor", "config-sync")
        for label in ("east", "west")
    }
    assert resource(stack_json, "aws_kms_key", "encryption_west_key")["tags"]["Name"] == (
        f"kms-dr-encryption-west-{environment}"
    )


def test_resources_of_the_second_region_use_its_provider(stack_json: Json, new_app: NewApp) -> None:
    """A forgotten provider would put a resource into the wrong region."""
    with_all_parts = synthesized(
        new_app,
        production=True,
        runbook="https://wiki.acme.io/payments-dr",
        custom_domain=True,
        data_canary=True,
        two_way_documents=True,
        gateway_endpoints=["dynamodb", "s3"],
        interface_endpoints=["ssm", "kms", "sns", "logs"],
        subscriptions=[Subscription(protocol="https", endpoint="https://events.acme.io/dr")],
        service=Service(
            source=PROJECT / "handlers" / "lambda_health_monitor.py",
            routes=["POST /payments"],
            actions=["dynamodb:PutItem"],
        ),
    )
    global_types = {"aws_iam_role", "aws_iam_policy", "aws_iam_role_policy_attachment", "aws_route53_record"}
    global_types |= {"aws_route53_health_check", "aws_route53_zone", "random_password"}
    for address, body in [*resources(stack_json).items(), *resources(with_all_parts).items()]:
        type_, name = address.split(".")
        if type_ in global_types:
            assert "provider" not in body, address
            continue
        secondary = re.search("west|destination|^data_replication_back$|^dns_secondary_domain_|^switch_", name)
        assert body.get("provider") == ("aws.secondary" if secondary else None), address


def test_no_address_ends_in_a_hash(stack_json: Json) -> None:
    addresses = [*resources(stack_json), *stack_json["output"], *stack_json["variable"]]
    addresses += [f"{type_}.{name}" for type_, named in stack_json["data"].items() for name in named]
    assert [address for address in addresses if re.search(r"_[0-9A-F]{8}$", address)] == []
    assert "aws_lambda_function.health_monitor_east_function" in addresses


def test_the_output_says_what_the_constructs_are(new_app: NewApp) -> None:
    app = new_app()
    DisasterRecoveryStack(app, "payment-dr")
    app.synth()
    stack = json.loads(Path(app.outdir, "stacks", "payment-dr", "cdk.tf.json").read_text(encoding="utf-8"))
    described = stack["//"]["descriptions"]
    assert described["payment-dr/alerting_west"] == (
        "Alerting: An SNS topic, encrypted with a customer managed key, with one email subscriber."
    )
    made = {each["//"]["metadata"]["path"] for of_type in stack["resource"].values() for each in of_type.values()}
    assert {path for path in made if "/".join(path.split("/")[:2]) not in described} == {
        "payment-dr/account",  # the stack's own, of no construct
        "payment-dr/initial_api_key",
        "payment-dr/initial_database_connection_string",
    }


def test_two_resources_with_one_address_fail_at_synth(new_app: NewApp) -> None:
    stack = DisasterRecoveryStack(new_app(), "payment-dr")
    Vpc(stack, "a-b", cidr_block="10.9.0.0/16")
    Vpc(stack, "a_b", cidr_block="10.9.0.0/16")
    with pytest.raises(RuntimeError, match=r"both have the address aws_vpc\.a_b"):
        CdktfTesting.synth(stack)


def test_two_syntheses_are_byte_identical(stack_text: str, new_app: NewApp) -> None:
    again = CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr"))
    assert again == stack_text


def test_nothing_in_the_output_names_a_path_of_the_machine(stack_text: str, stack_json: Json) -> None:
    assert str(PROJECT) not in stack_text
    assert str(Path.home()) not in stack_text
    assert stack_json["terraform"]["backend"] == {"local": {"path": "../../../terraform.payment-dr.tfstate"}}
    for package in stack_json["data"]["archive_file"].values():
        assert package["source_file"].startswith("assets/")
        assert package["output_path"].startswith("packages/")


def test_nothing_prevents_a_destroy(stack_json: Json) -> None:
    for address, body in resources(stack_json).items():
        assert "prevent_destroy" not in body.get("lifecycle", {}), address
        assert not body.get("skip_destroy"), address
        assert not body.get("deletion_protection_enabled"), address


def test_table_and_buckets_can_be_kept_from_being_deleted(new_app: NewApp) -> None:
    stack = synthesized(new_app, deletion_protection=True, force_destroy=False)
    (table,) = stack["resource"]["aws_dynamodb_table"].values()
    assert table["deletion_protection_enabled"] is True
    assert table["lifecycle"] == {"prevent_destroy": True}
    assert {bucket["force_destroy"] for bucket in stack["resource"]["aws_s3_bucket"].values()} == {False}


def test_it_is_composed_of_the_reusable_constructs(new_app: NewApp) -> None:
    stack = DisasterRecoveryStack(new_app(), "payment-dr")
    parts = {RegionalNetwork: 2, HealthMonitor: 2, ConfigSync: 1, GlobalData: 1, DnsFailover: 1}
    assert {kind: sum(isinstance(child, kind) for child in stack.node.children) for kind in parts} == parts
    assert isinstance(stack, TerraformStack)


def test_its_parts_are_attributes_that_an_app_can_use(new_app: NewApp) -> None:
    stack = DisasterRecoveryStack(new_app(), "payment-dr", data_canary=True)
    assert stack.canary
    TerraformOutput(
        stack,
        "read",
        value=[
            *(
                [*parts.network.private_subnet_ids, parts.key.key_arn, parts.alerting.topic_arn, parts.health.api_id]
                for parts in (stack.primary, stack.secondary)
            ),
            [stack.data.table_arn, stack.config.primary_role_arn, stack.dns.fqdn, stack.canary.primary_role_arn],
        ],
    )
    assert [(parts.region.name, parts.region.label) for parts in (stack.primary, stack.secondary)] == [
        ("us-east-1", "east"),
        ("us-west-2", "west"),
    ]
    read = json.loads(CdktfTesting.synth(stack))["output"]["read"]["value"]
    for label, values in zip(("east", "west"), read, strict=False):
        assert values == [
            f"${{aws_subnet.network_{label}_private_subnet_1.id}}",
            f"${{aws_subnet.network_{label}_private_subnet_2.id}}",
            f"${{aws_kms_key.encryption_{label}_key.arn}}",
            f"${{aws_sns_topic.alerting_{label}_topic.arn}}",
            f"${{aws_apigatewayv2_api.health_monitor_{label}_api.id}}",
        ]
    assert read[2] == [
        "${aws_dynamodb_table.data_table.arn}",
        "${aws_iam_role.config_sync_east_role.arn}",
        "${aws_route53_record.dns_primary_record.fqdn}",
        "${aws_iam_role.data_canary_east_role.arn}",
    ]


def test_all_mistakes_are_named_in_one_error(new_app: NewApp) -> None:
    with pytest.raises(ConfigurationError) as raised:
        DisasterRecoveryStack(
            new_app(),
            "payment-dr",
            primary_region="us-east-7",
            secondary_region="us-east-7",
            primary_cidr="10.0.0.0/8",
            primary_subnet_cidrs=["10.0.1.0/24"],
            secondary_cidr="10.1.0.0/16",
            secondary_subnet_cidrs=["10.1.1.0/24", "10.2.1.0/24"],
            config_keys=["api key"],
            ttl_seconds=300,
        )
    assert raised.value.mistakes == (
        "primary_region='us-east-7' is not a commercial AWS region; did you mean 'us-east-2'?",
        "secondary_region='us-east-7' is not a commercial AWS region; did you mean 'us-east-2'?",
        "secondary region 'us-east-7' is the primary region too, so one outage affects both; choose another",
        "primary_cidr='10.0.0.0/8' is not between /16 and /28, the sizes that a VPC can have; change its size",
        "primary_subnet_cidrs=['10.0.1.0/24'] has fewer than 2 subnets; give one for each of two availability zones",
        "secondary_subnet_cidrs='10.2.1.0/24' is outside secondary_cidr='10.1.0.0/16'; choose a range inside the VPC",
        "config_keys has the key 'api key'; use letters, digits, '.', '-' and '_', with single '/' between levels",
        "request_interval_seconds=30 x failure_threshold=3 + ttl_seconds=300 is 390 s, beyond rto_target_seconds=180; "
        "lower ttl_seconds to 90 or less",
    )
    assert str(raised.value).startswith("DisasterRecoveryStack: 8 mistakes in the configuration\n  - primary_region")


def test_overlapping_vpcs_fail_at_synth(new_app: NewApp) -> None:
    with pytest.raises(
        ConfigurationError, match=r"secondary_cidr='10\.0\.128\.0/17' overlaps primary_cidr='10\.0\.0\.0/16'"
    ):
        DisasterRecoveryStack(
            new_app(),
            "payment-dr",
            secondary_cidr="10.0.128.0/17",
            secondary_subnet_cidrs=["10.0.129.0/24", "10.0.130.0/24"],
        )


def test_another_pair_of_regions_has_labels_of_its_own(new_app: NewApp) -> None:
    stack = synthesized(new_app, primary_region="eu-west-1", secondary_region="us-west-2")
    names = {body["function_name"] for body in stack["resource"]["aws_lambda_function"].values()}
    assert "lambda-health-monitor-euwest1-${var.environment}" in names
    assert "lambda-health-monitor-uswest2-${var.environment}" in names
    # Route 53 publishes its metrics in us-east-1 only, and nothing of this pair is there.
    assert not [name for name in stack["resource"]["aws_cloudwatch_metric_alarm"] if name.startswith("dns_")]


def test_alarms_on_health_checks_are_where_their_metrics_are_even_when_that_is_the_secondary(new_app: NewApp) -> None:
    stack = synthesized(new_app, primary_region="us-west-2", secondary_region="us-east-1")
    for side in ("primary", "secondary"):
        alarm = resource(stack, "aws_cloudwatch_metric_alarm", f"dns_{side}_health_check_alarm")
        assert alarm["provider"] == "aws.secondary"
        assert alarm["alarm_actions"] == ["${aws_sns_topic.alerting_east_topic.arn}"]


def test_settings_that_differ_by_environment_reach_the_resources(stack_json: Json) -> None:
    assert resource(stack_json, "aws_route53_zone", "dns_zone")["name"] == "${var.domain_name}"
    for label in ("east", "west"):
        subscription = resource(stack_json, "aws_sns_topic_subscription", f"alerting_{label}_email")
        assert (subscription["protocol"], subscription["endpoint"]) == ("email", "${var.alert_email}")


def test_names_without_the_environment_can_be_set(new_app: NewApp) -> None:
    """Two environments in one account: what AWS wants unique carries the environment, or is an argument or variable."""
    keys = ("name", "bucket", "function_name", "alarm_name")
    names = {
        address: str(each[key])
        for address, each in resources(synthesized(new_app, table_name="payments")).items()
        for key in keys
        if key in each and not str(each[key]).startswith("${aws_")
    }
    assert {address: name for address, name in names.items() if "${var.environment}" not in name} == {
        "aws_dynamodb_table.data_table": "payments",
        "aws_route53_zone.dns_zone": "${var.domain_name}",
        "aws_route53_record.dns_primary_record": "app.${var.domain_name}",
        "aws_route53_record.dns_secondary_record": "app.${var.domain_name}",
        "aws_apigatewayv2_stage.health_monitor_east_stage": "$default",  # of an API that has the environment
        "aws_apigatewayv2_stage.health_monitor_west_stage": "$default",
    }
