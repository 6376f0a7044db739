"""Scenarios on the deployed stack: what it does with its rights, and what nobody may do with them.

A scenario is set up once for several runs. A run completes, or raises what stopped it.
"""

import io
import json
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from embedded_aws.checks import check_health
from embedded_aws.server import without_tls
from payment_dr.side import SIDES, Side
from permission_proof.stage import NAME, NotPassed, Stage

Run = Callable[[], object]
Play = Callable[[Stage, Side, str], Iterator[Run]]
MONITOR, SYNC, CANARY = "health_monitor", "config_sync", "data_canary"
SWITCH, TAKEOVER, SERVICE = "switch", "switch_takeover", "service"
OF_CANARY = "dr-canary/"  # how the partition keys of its items begin
OF_SWITCH: dict[str, Any] = {  # a query of its table
    "KeyConditionExpression": "#region = :region",
    "ExpressionAttributeNames": {"#region": "region"},
    "ExpressionAttributeValues": {":region": {"S": "us-east-1"}},
}
PURPOSES = {
    MONITOR: "health monitor",
    SYNC: "config sync",
    CANARY: "data canary",
    SWITCH: "switch",
    TAKEOVER: "switch takeover",
    SERVICE: "service",
}


@dataclass(frozen=True)
class Scenario:
    """One use of a right, or one attempt to go beyond it.

    Attributes:
        text: What happens, for the report.
        play: A context manager of the stage, the side and the subject (such as a parameter), which yields a run.
    """

    text: str
    play: Callable[[Stage, Side, str], AbstractContextManager[Run]]


def scenario(play: Play) -> Scenario:
    """Make a scenario of a generator function; the first line of its docstring is the text."""
    return named(str(play.__doc__).partition("\n")[0].rstrip("."))(play)


def named(text: str) -> Callable[[Play], Scenario]:
    """Make a scenario of a generator function."""
    return lambda play: Scenario(text, contextmanager(play))


def call(
    text: str,
    owner: str,
    service: str,
    operation: str,
    arguments: Callable[[Stage, Side], Any],
    *,
    other_region: bool = False,
) -> Scenario:
    """A call with a role's session, in the region of the side or, with `other_region`, in the other one."""

    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        client = stage.as_role(owner, side, service, stage.other(side) if other_region else side)
        yield lambda: getattr(client, operation)(**arguments(stage, side))

    return named(text)(play)


# The health monitor


@scenario
def health_answers(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """GET /health answers healthy."""
    yield lambda: check_health(stage.stack, side)


@scenario
def private_route_answers(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """GET on the private route that Route 53 probes answers."""
    api = stage.stack.value(f"{side}_api_id")
    routes = [route["RouteKey"] for route in stage.client("apigatewayv2", side).get_routes(ApiId=api)["Items"]]
    (path,) = [route.removeprefix("GET ") for route in routes if route.startswith("GET /health/")]
    yield lambda: _ask(stage, api, f"GET {path}")


@scenario
def monitor_mails(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The monitor, pointed at another table, mails that the health is unknown."""
    with stage.restarted(side, MONITOR, DYNAMODB_TABLE_NAME=NAME), stage.mailbox(side) as received:

        def run() -> None:
            try:
                stage.invoke(side, MONITOR, {"detail-type": "Scheduled Event"})
            except NotPassed as failed:  # as it must when the health is unknown
                if "health is unknown" not in str(failed):
                    raise
            stage.expect(lambda: received("Verdict:      unknown"), "the mail", ignoring="dynamodb:DescribeTable")

        yield run


def log_written(purpose: str) -> Scenario:
    """A run of a function appears in its log group."""
    event = _SHOW if purpose == SERVICE else {"detail-type": NAME}

    @named(f"A run of the {PURPOSES[purpose]} is logged")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        def run() -> None:
            before = _log_streams(stage, side, purpose)
            stage.invoke(side, purpose, event)
            stage.expect(lambda: bool(_log_streams(stage, side, purpose) - before), "its log")

        yield run

    return play


def _log_streams(stage: Stage, side: Side, purpose: str) -> set[str]:
    pages = stage.client("logs", side).get_paginator("describe_log_streams")
    group = f"/aws/lambda/{stage.function(side, purpose)}"
    return {stream["logStreamName"] for page in pages.paginate(logGroupName=group) for stream in page["logStreams"]}


def rule_starts(purpose: str, trigger: str = "") -> Scenario:
    """A rule starts a function."""

    @named(f"The {trigger or 'schedule'} rule starts the {PURPOSES[purpose]}")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        def run() -> None:
            before = _log_streams(stage, side, purpose)
            stage.fire(side, stage.rule(side, purpose, trigger))
            stage.expect(lambda: bool(_log_streams(stage, side, purpose) - before), "a run")

        yield run

    return play


def another_rule_starts(purpose: str) -> Scenario:
    """A rule that is not the function's own starts it."""

    @named(f"Another rule starts the {PURPOSES[purpose]}")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        target = stage.function_arn(side, purpose)
        with _another_rule(stage, side, target) as rule:

            def run() -> None:
                before = _log_streams(stage, side, purpose)
                stage.fire(side, rule)
                stage.expect(lambda: bool(_log_streams(stage, side, purpose) - before), "a run")

            yield run

    return play


@contextmanager
def _another_rule(stage: Stage, side: Side, target: str) -> Iterator[str]:
    events = stage.client("events", side)
    arn = events.put_rule(Name=NAME, EventPattern=json.dumps({"source": [NAME]}))["RuleArn"]
    pattern = json.dumps({"source": [NAME], "resources": [arn]})
    events.put_rule(Name=NAME, EventPattern=pattern)
    events.put_targets(Rule=NAME, Targets=[{"Id": NAME, "Arn": target}])
    try:
        yield arn
    finally:
        events.remove_targets(Rule=NAME, Ids=[NAME])
        events.delete_rule(Name=NAME)


def another_api_asks(purpose: str, route: str = "GET /health") -> Scenario:
    """An API that is not the stack's invokes a function of it."""

    @named(f"Another API invokes the {PURPOSES[purpose].removeprefix('health ')}")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        gateway = stage.client("apigatewayv2", side)
        target = stage.function_arn(side, purpose)
        api = gateway.create_api(Name=NAME, ProtocolType="HTTP")["ApiId"]
        try:
            integration = gateway.create_integration(
                ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=target, PayloadFormatVersion="2.0"
            )["IntegrationId"]
            gateway.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integration}")
            gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
            yield lambda: _ask(stage, api, route)
        finally:
            gateway.delete_api(ApiId=api)

    return play


@scenario
def switch_answers(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """GET on the route of the switch that Route 53 probes returns that it is not set."""
    api, path = stage.stack.value(f"{side}_api_id"), stage.stack.value("switch_path")
    yield lambda: _ask(stage, api, f"GET {path}")


@scenario
def switch_reads(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The switch function reads its table."""
    yield lambda: stage.invoke(side, SWITCH, {})


@scenario
def takeover_arms(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The takeover function finds no change of the switch, probes the primary and records that it answers."""
    table, dynamodb = stage.stack.value("switch_table_name"), stage.client("dynamodb", side)

    def run() -> None:
        outcome = ""
        for _ in range(3):  # a scheduled run may interfere
            _empty(dynamodb, table)
            outcome = stage.invoke(side, TAKEOVER, {})["outcome"]
            if outcome == "armed":
                return
        raise NotPassed(f"the outcome is {outcome!r}")

    yield run


@scenario
def takeover_sees_alarm(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The takeover function finds the primary's alarm firing while the primary answers, and sets the switch."""
    table, dynamodb = stage.stack.value("switch_table_name"), stage.client("dynamodb", side)
    cloudwatch, alarm = stage.client("cloudwatch", stage.other(side)), seen_alarm(stage, side)
    (before,) = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    armed = {"region": {"S": stage.region(stage.other(side))}, "version": {"N": "1"}, "switched": {"BOOL": False}}

    def run() -> None:
        _empty(dynamodb, table)
        dynamodb.put_item(TableName=table, Item=armed)
        outcome = stage.invoke(side, TAKEOVER, {})["outcome"]
        # A scheduled run may have interfered.
        if outcome not in ("taken over", "switched already", "changed meanwhile"):
            raise NotPassed(f"the outcome is {outcome!r}")

    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason=NAME)
    try:
        yield run
    finally:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue=before["StateValue"], StateReason=NAME)
        _empty(dynamodb, table)


def seen_alarm(stage: Stage, side: Side) -> str:
    """Name of the alarm that the takeover function reads."""
    found = stage.client("lambda", side).get_function_configuration(FunctionName=stage.function(side, TAKEOVER))
    return str(found["Environment"]["Variables"]["PRIMARY_ALARM_NAME"])


def _empty(dynamodb: Any, table: str) -> None:
    for item in dynamodb.scan(TableName=table)["Items"]:
        dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("region", "version")})


def takeover_sets(text: str, region: str) -> Scenario:
    """The takeover role sets the switch of a region."""

    @named(text)
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        key = {"region": {"S": region}, "version": {"N": "1"}}
        of_table = {"TableName": stage.stack.value("switch_table_name")}
        dynamodb = stage.as_role("switch takeover role", side, "dynamodb", side)
        try:
            yield lambda: dynamodb.put_item(**of_table, Item=key)
        finally:
            stage.client("dynamodb", side).delete_item(**of_table, Key=key)

    return play


def _ask(stage: Stage, api: str, route: str) -> None:
    """Call a route of an API as its clients do."""
    method, path = route.replace("{id}", NAME).split(" ")
    headers, body = ({"Idempotency-Key": NAME}, json.dumps(_PAYMENT).encode()) if method == "POST" else ({}, None)
    url = stage.stack.aws.execute_api_url(api, path)
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - the embedded AWS, on loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            answer.read()
    except urllib.error.HTTPError as error:
        if b'"not switched"' not in error.read():  # the switch function's own 503
            raise NotPassed(f"{method} {url} answers {error.code}") from error


# The payments service of the examples

POST_PAYMENTS, GET_PAYMENT = "POST /payments", "GET /payments/{id}"
_PAYMENT = {"amount": 1250, "currency": "EUR"}
_SHOW = {"routeKey": GET_PAYMENT, "pathParameters": {"id": NAME}}
# As the service writes it.
PAYMENT_KEY = {"transaction_id": {"S": NAME}, "timestamp": {"N": "0"}}
PAYMENT_ITEM = {**PAYMENT_KEY, "amount": {"N": "1250"}, "currency": {"S": "EUR"}}


@scenario
def payment_taken(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The service takes a payment."""
    event = {"routeKey": POST_PAYMENTS, "headers": {"idempotency-key": NAME}, "body": json.dumps(_PAYMENT)}
    yield lambda: stage.invoke(side, SERVICE, event)


@scenario
def payment_shown(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The service shows a payment."""
    yield lambda: stage.invoke(side, SERVICE, _SHOW)


def route_answers(route: str) -> Scenario:
    """A route of the service answers."""

    @named(f"{route} answers")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        stage.client("dynamodb", side).put_item(TableName=_table(stage), Item=PAYMENT_ITEM)
        yield lambda: _ask(stage, stage.stack.value(f"{side}_api_id"), route)

    return play


# Config sync


@scenario
def copied(stage: Stage, side: Side, name: str) -> Iterator[Run]:
    """A changed value is copied to the other region."""
    yield from _copying(stage, side, name or stage.parameters()[0], "Standard")


@scenario
def copied_advanced(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """A changed value of the advanced tier is copied to the other region."""
    name = stage.parameters()[0]
    try:
        yield from _copying(stage, side, name, "Advanced")
    finally:  # an advanced parameter stays one, and the other scenarios need the standard tier
        of_parameter: Any = {"ResourceType": "Parameter", "ResourceId": name}
        clients = {each: stage.client("ssm", each) for each in SIDES}
        tags = {each: ssm.list_tags_for_resource(**of_parameter)["TagList"] for each, ssm in clients.items()}
        for ssm in clients.values():
            ssm.delete_parameter(Name=name)
        for each, ssm in clients.items():
            ssm.put_parameter(Name=name, Value="a secret", Type="SecureString", KeyId=stage.key(each), Overwrite=True)
            ssm.add_tags_to_resource(**of_parameter, Tags=tags[each])


def _copying(stage: Stage, side: Side, name: str, tier: str) -> Iterator[Run]:
    value = str(uuid.uuid4())
    stage.client("ssm", side).put_parameter(
        Name=name, Value=value, Type="SecureString", KeyId=stage.key(side), Tier=tier, Overwrite=True
    )
    target = stage.client("ssm", stage.other(side))

    def run() -> None:
        stage.invoke(side, SYNC, _change_of(name))
        if target.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] != value:
            raise NotPassed(f"{name} was not copied")

    with stage.restarted(side, SYNC):  # or it would use the session that it has
        yield run


@scenario
def compared(stage: Stage, side: Side, name: str) -> Iterator[Run]:
    """Equal values in both regions compare as equal."""
    name, value = name or stage.parameters()[0], str(uuid.uuid4())
    for each in (side, stage.other(side)):
        stage.client("ssm", each).put_parameter(
            Name=name, Value=value, Type="SecureString", KeyId=stage.key(each), Overwrite=True
        )
    with stage.restarted(side, SYNC):
        yield lambda: stage.invoke(side, SYNC, _change_of(name))


def _change_of(name: str) -> dict[str, Any]:
    return {"detail-type": "Parameter Store Change", "detail": {"name": name, "operation": "Update"}}


@scenario
def assumes_another_role(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The sync, pointed at the other direction's role, assumes it."""
    another_role = stage.policy("cross-region role", stage.other(side), "trust").name
    with stage.restarted(side, SYNC, CROSS_REGION_ROLE_ARN=another_role):
        yield lambda: stage.invoke(side, SYNC, {})


@scenario
def wrong_function_assumes(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """Another function with the same role assumes the cross-region role.

    A function of the proof uses the role. The role's own trust allows that for a moment.
    """
    trust = stage.policy("config sync role", side, "trust")
    role = stage.policy("cross-region role", side, "trust").name
    source = f"import boto3\n\ndef handler(event, context):\n    boto3.client('sts').assume_role(RoleArn={role!r}, "
    source += f"RoleSessionName={NAME!r})\n"
    open_trust = json.loads(json.dumps(trust.document))
    for statement in open_trust["Statement"]:
        statement.pop("Condition", None)
    lambda_ = stage.client("lambda", side)
    with trust.changed(open_trust):
        lambda_.create_function(**_function(NAME, trust.name, source))

    def run() -> None:
        answer = lambda_.invoke(FunctionName=NAME)
        if "FunctionError" in answer:
            raise NotPassed(answer["Payload"].read().decode())

    try:
        yield run
    finally:
        lambda_.delete_function(FunctionName=NAME)


@scenario
def wrong_role_assumes(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The health monitor's role, given the right, assumes the cross-region role."""
    role = stage.policy("cross-region role", side, "trust").name
    sts = stage.as_role("health monitor role", side, "sts", side)
    with stage.also_may("health monitor role", side, "sts:AssumeRole", role):
        yield lambda: sts.assume_role(RoleArn=role, RoleSessionName=NAME)


def reads_another_parameter(owner: str, *, other_region: bool) -> Scenario:
    """A SecureString with the stack's key and another name."""

    @named("The role, given the right to its name, reads another parameter with the same key")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        where = stage.other(side) if other_region else side
        name, root = f"/{NAME}/{uuid.uuid4()}", stage.client("ssm", where)
        root.put_parameter(Name=name, Value="a secret", Type="SecureString", KeyId=stage.key(where))
        arn = f"arn:aws:ssm:{stage.region(where)}:{stage.stack.aws.account_id}:parameter{name}"
        ssm = stage.as_role(owner, side, "ssm", where)
        try:
            with stage.also_may(owner, side, "ssm:GetParameter", arn):
                yield lambda: ssm.get_parameter(Name=name, WithDecryption=True)
        finally:
            root.delete_parameter(Name=name)

    return play


def reads_with_another_key(owner: str, *, other_region: bool) -> Scenario:
    """One of the stack's parameters, encrypted with another key."""

    @named("The role reads a parameter that is encrypted with another key")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        where, name = stage.other(side) if other_region else side, stage.parameters()[0]
        root = stage.client("ssm", where)

        def encrypt(key: str) -> str:
            answer = root.put_parameter(Name=name, Value="a secret", Type="SecureString", KeyId=key, Overwrite=True)
            return f"{name}:{answer['Version']}"  # by number: config sync encrypts it again with our key

        version = encrypt(stage.other_key(where))
        try:
            ssm = stage.as_role(owner, side, "ssm", where)
            yield lambda: ssm.get_parameter(Name=version, WithDecryption=True)
        finally:
            encrypt(stage.key(where))

    return play


def _decryption(stage: Stage, where: Side) -> dict[str, Any]:
    name = stage.parameters()[0]
    arn = f"arn:aws:ssm:{stage.region(where)}:{stage.stack.aws.account_id}:parameter{name}"
    request = {"KeyId": stage.key(where), "EncryptionContext": {"PARAMETER_ARN": arn}}
    cipher = stage.client("kms", where).encrypt(Plaintext=b"a secret", **request)["CiphertextBlob"]
    return {**request, "CiphertextBlob": cipher}


sync_decrypts = call(
    "The role calls KMS directly to decrypt",
    "config sync role",
    "kms",
    "decrypt",
    lambda stage, side: _decryption(stage, side),
)
target_decrypts = call(
    "The role calls KMS directly to decrypt",
    "cross-region role",
    "kms",
    "decrypt",
    lambda stage, side: _decryption(stage, stage.other(side)),
    other_region=True,
)
monitor_asks_for_a_key = call(
    "The role calls KMS directly for a data key",
    "health monitor role",
    "kms",
    "generate_data_key",
    lambda stage, side: {"KeyId": stage.key(side), "KeySpec": "AES_256"},
)


def writes(
    text: str, *, name: str = "", own_key: bool = True, other_region: bool = True, tier: str = "Standard"
) -> Scenario:
    """The cross-region role writes a parameter."""

    def arguments(stage: Stage, side: Side) -> dict[str, Any]:
        where = stage.other(side) if other_region else side
        key = stage.key(where) if own_key else stage.other_key(where)
        name_ = name or stage.parameters()[0]
        return {"Name": name_, "Value": "x", "Type": "SecureString", "KeyId": key, "Tier": tier, "Overwrite": True}

    return call(text, "cross-region role", "ssm", "put_parameter", arguments, other_region=other_region)


# The data canary


def _item(key: str) -> dict[str, Any]:
    return {"transaction_id": {"S": key}, "timestamp": {"N": "0"}}


def of_region(stage: Stage, side: Side) -> str:
    """Partition key of the item that the canary of a region writes."""
    return f"{OF_CANARY}{stage.region(side)}"


def _table(stage: Stage) -> str:
    return str(stage.stack.value("dynamodb_table_name"))


@scenario
def canary_looks(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The canary writes its item, reads it back, and reads the item of the other region."""
    there, dynamodb = stage.other(side), stage.client("dynamodb", side)
    stage.invoke(there, CANARY, {})
    of_there = {"TableName": _table(stage), "Key": _item(of_region(stage, there))}
    stage.expect(lambda: "Item" in dynamodb.get_item(**of_there), "the other region's item")

    def run() -> None:
        found = stage.invoke(side, CANARY, {})
        if found["failure"] or found["replication_age_seconds"] is None:
            raise NotPassed(f"the canary found {found}")

    yield run


Key = Callable[[Stage, Side], str]


def canary_writes(text: str, key: Key, *, other_region: bool = False) -> Scenario:
    """The canary's role writes an item."""

    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        where = stage.other(side) if other_region else side
        dynamodb, item = stage.as_role("data canary role", side, "dynamodb", where), _item(key(stage, side))
        try:
            yield lambda: dynamodb.put_item(TableName=_table(stage), Item={**item, "written_at": {"N": "0"}})
        finally:
            if item not in [_item(of_region(stage, each)) for each in SIDES]:
                stage.client("dynamodb", where).delete_item(TableName=_table(stage), Key=item)

    return named(text)(play)


def canary_reads(text: str, key: Key, *, other_region: bool = False) -> Scenario:
    """The canary's role reads an item, which may not exist."""

    def arguments(stage: Stage, side: Side) -> dict[str, Any]:
        return {"TableName": _table(stage), "Key": _item(key(stage, side))}

    return call(text, "data canary role", "dynamodb", "get_item", arguments, other_region=other_region)


def canary_uses_another_table(text: str, operation: str, argument: str) -> Scenario:
    """The canary's role uses the item of its region in a table that is not the stack's."""
    return uses_another_table(
        text, "data canary role", operation, lambda stage, side: {argument: _item(of_region(stage, side))}
    )


def uses_another_table(
    text: str, owner: str, operation: str, arguments: Callable[[Stage, Side], dict[str, Any]]
) -> Scenario:
    """A role uses a table that is not the stack's."""

    @named(text)
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        root, keys = stage.client("dynamodb", side), {"transaction_id": "HASH", "timestamp": "RANGE"}
        root.create_table(
            TableName=NAME,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
            AttributeDefinitions=[
                {"AttributeName": "transaction_id", "AttributeType": "S"},
                {"AttributeName": "timestamp", "AttributeType": "N"},
            ],
        )
        dynamodb = stage.as_role(owner, side, "dynamodb", side)
        try:
            yield lambda: getattr(dynamodb, operation)(TableName=NAME, **arguments(stage, side))
        finally:
            root.delete_table(TableName=NAME)

    return play


# Roles and their functions


def takes_role(purpose: str) -> Scenario:
    """Lambda assumes a role for the role's own function."""

    @named(f"Lambda assumes the role for the {PURPOSES[purpose]}")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        role = stage.policy(f"{PURPOSES[purpose]} role", side, "trust").name
        yield lambda: stage.client("lambda", side).update_function_configuration(
            FunctionName=stage.function(side, purpose), Role=role
        )

    return play


def another_function_takes_role(purpose: str) -> Scenario:
    """Lambda assumes a role for another function."""

    @named("Lambda assumes the role for another function")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        role, lambda_ = stage.policy(f"{PURPOSES[purpose]} role", side, "trust").name, stage.client("lambda", side)

        def run() -> None:
            lambda_.create_function(**_function(NAME, role, "def handler(event, context): pass"))
            lambda_.delete_function(FunctionName=NAME)

        yield run

    return play


def _function(name: str, role: str, source: str) -> dict[str, Any]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", source)
    code = {"ZipFile": archive.getvalue()}
    return {"FunctionName": name, "Role": role, "Runtime": "python3.11", "Handler": "index.handler", "Code": code}


# Keys, topics, buckets


@named("An alarm reaches an encrypted queue behind the topic")
def alarm_heard(stage: Stage, side: Side, _: str) -> Iterator[Run]:  # noqa: D103
    cloudwatch = stage.client("cloudwatch", side)
    topic = stage.stack.value(f"{side}_sns_topic_arn")
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    alarm = next(each for each in alarms if topic in each["AlarmActions"])
    state = {"AlarmName": alarm["AlarmName"], "StateReason": NAME}
    with stage.mailbox(side, stage.key(side)) as received:

        def run() -> None:
            reason = str(uuid.uuid4())
            cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="ALARM", StateReason=reason)
            try:
                stage.expect(lambda: received(reason), "the alarm")
            finally:
                cloudwatch.set_alarm_state(StateValue=alarm["StateValue"], **state)

        yield run


operator_describes = call(
    "An operator describes the key", "operator", "kms", "describe_key", lambda stage, side: {"KeyId": stage.key(side)}
)
operator_encrypts = call(
    "An operator calls KMS directly to encrypt",
    "operator",
    "kms",
    "encrypt",
    lambda stage, side: {"KeyId": stage.key(side), "Plaintext": b"a secret"},
)
operator_reads = call(
    "An operator reads a parameter",
    "operator",
    "ssm",
    "get_parameter",
    lambda stage, _: {"Name": stage.parameters()[0], "WithDecryption": True},
)


def operator_writes(tier: str) -> Scenario:
    """An operator writes a parameter that is not the stack's."""

    @named(f"An operator writes a parameter of the {tier.lower()} tier")
    def play(stage: Stage, side: Side, _: str) -> Iterator[Run]:
        ssm, name = stage.as_role("operator", side, "ssm", side), f"/{NAME}/{tier}"
        request = {"Name": name, "Value": "x", "Type": "SecureString", "KeyId": stage.key(side), "Tier": tier}
        try:
            yield lambda: ssm.put_parameter(**request, Overwrite=True)
        finally:
            stage.client("ssm", side).delete_parameters(Names=[name])

    return play


@named("A document, or the list of them, is read without TLS")
def read_without_tls(stage: Stage, side: Side, resource: str) -> Iterator[Run]:  # noqa: D103
    s3, bucket = stage.as_role("operator", side, "s3", side), stage.stack.value(f"{side}_bucket_name")
    without_tls(s3)

    def run() -> None:
        if resource.endswith("/*"):
            with suppress(s3.exceptions.NoSuchKey):  # no document has that name
                s3.get_object(Bucket=bucket, Key=NAME)
        else:
            s3.list_objects_v2(Bucket=bucket)

    yield run


@named("A document is replicated with its tags")
def replicated(stage: Stage, side: Side, _: str) -> Iterator[Run]:  # noqa: D103
    source, destination = (stage.stack.value(f"{each}_bucket_name") for each in (side, stage.other(side)))
    s3, key = stage.client("s3", side), f"{NAME}/document"

    def run() -> None:
        _put_document(s3, source, key)
        tags = stage.client("s3", stage.other(side)).get_object_tagging(Bucket=destination, Key=key)["TagSet"]
        if not tags:
            raise NotPassed("the replica has no tags")

    yield run


def _put_document(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"{}", Tagging="kind=receipt")
    status = s3.head_object(Bucket=bucket, Key=key).get("ReplicationStatus")
    if status != "COMPLETED":
        raise NotPassed(f"replication of {key}: {status}")


@named("S3 replicates another bucket with the role")
def another_bucket_replicated(stage: Stage, side: Side, _: str) -> Iterator[Run]:  # noqa: D103
    s3 = stage.client("s3", "primary")
    buckets = source, destination = f"{NAME}-source", f"{NAME}-destination"
    rule = {"Status": "Enabled", "Prefix": "", "Destination": {"Bucket": f"arn:aws:s3:::{destination}"}}
    try:
        for bucket in buckets:
            s3.create_bucket(Bucket=bucket)
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        role = stage.policy("replication role", side, "trust").name
        s3.put_bucket_replication(Bucket=source, ReplicationConfiguration={"Role": role, "Rules": [rule]})
        yield lambda: _put_document(s3, source, NAME)
    finally:
        for bucket in buckets:
            for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
                s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
            s3.delete_bucket(Bucket=bucket)


@scenario
def publishes_with_another_key(stage: Stage, side: Side, _: str) -> Iterator[Run]:
    """The monitor's role publishes to the topic with another key."""
    root, topic = stage.client("sns", side), stage.stack.value(f"{side}_sns_topic_arn")

    def encrypt(key: str) -> None:
        root.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=key)

    sns = stage.as_role("health monitor role", side, "sns", side)
    encrypt(stage.other_key(side))
    try:
        yield lambda: sns.publish(TopicArn=topic, Message="?")
    finally:
        encrypt(stage.key(side))
