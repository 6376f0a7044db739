"""Single faults of a deployed stack are named by `dr status`, and harmless changes are not.

Those of records and health checks alone are in test_zone_faults.py; those that only a drill can see are in
test_drill_targets.py.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from embedded_aws.deployment import Deployment
from embedded_aws.drill import place_of
from payment_dr.operations.status import OK, look_at
from payment_dr.side import SIDES, Side
from tests.deploy.test_drill import change_records
from tests.deploy.test_records import records_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

Change = Callable[[Deployment], object]


def record(side: Side, **values: Any) -> Change:
    """Changes values of the record of a side; None takes one away."""

    def changed(found: dict[str, Any]) -> dict[str, Any]:
        if found["SetIdentifier"] != side:
            return found
        return {name: value for name, value in {**found, **values}.items() if value is not None}

    return lambda stack: change_records(stack, changed)


def both(**values: Any) -> Change:
    """Changes values of both records."""
    return lambda stack: change_records(stack, lambda found: found | values)


def to_host(side: Side, host: str) -> Change:
    """Lets the record of a side point to another host; ``{api}`` is that of the primary's API."""

    def change(stack: Deployment) -> None:
        api = f"{stack.value('primary_api_id')}.execute-api.{stack.region('primary')}.amazonaws.com"
        record(side, ResourceRecords=[{"Value": host.format(api=api)}])(stack)

    return change


def batch(stack: Deployment, action: str, record: dict[str, Any]) -> None:
    stack.client("route53", "primary").change_resource_record_sets(
        HostedZoneId=stack.value("hosted_zone_id"),
        ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]},
    )


def without_record(side: Side) -> Change:
    def change(stack: Deployment) -> None:
        batch(stack, "DELETE", next(each for each in records_of(stack) if each["SetIdentifier"] == side))

    return change


def a_third_record(stack: Deployment) -> None:
    found = records_of(stack)[0]
    another = {**found, "SetIdentifier": "third", "Weight": 100, "ResourceRecords": [{"Value": "www.acme.io"}]}
    del another["HealthCheckId"]
    batch(stack, "CREATE", another)


def of_function(side: Side, purpose: str) -> Callable[[Deployment], str]:
    return lambda stack: stack.value(f"{side}_{purpose}_function_arn").rpartition(":")[2]


def lambda_call(side: Side, operation: str, purpose: str = "health_monitor", **arguments: Any) -> Change:
    def change(stack: Deployment) -> None:
        name = of_function(side, purpose)(stack)
        getattr(stack.client("lambda", side), operation)(FunctionName=name, **arguments)

    return change


def routes_deleted(side: Side) -> Change:
    def change(stack: Deployment) -> None:
        gateway, api = stack.client("apigatewayv2", side), stack.value(f"{side}_api_id")
        for route in gateway.get_routes(ApiId=api)["Items"]:
            gateway.delete_route(ApiId=api, RouteId=route["RouteId"])

    return change


def api_deleted(side: Side) -> Change:
    return lambda stack: stack.client("apigatewayv2", side).delete_api(ApiId=stack.value(f"{side}_api_id"))


def fenced(side: Side) -> Change:
    return lambda_call(side, "put_function_concurrency", ReservedConcurrentExecutions=0)


def no_right(action: str, side: Side) -> Change:
    """Denies an action to the role of the health function of a side."""

    def change(stack: Deployment) -> None:
        role = stack.value("lambda_execution_role_arns")[f"{side}_health_monitor"].rpartition("/")[2]
        statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        stack.client("iam", "primary").put_role_policy(RoleName=role, PolicyName="deny", PolicyDocument=document)

    return change


def permission_removed(side: Side) -> Change:
    def change(stack: Deployment) -> None:
        client, name = stack.client("lambda", side), of_function(side, "health_monitor")(stack)
        for statement in json.loads(client.get_policy(FunctionName=name)["Policy"])["Statement"]:
            client.remove_permission(FunctionName=name, StatementId=statement["Sid"])

    return change


def replica_deleted(stack: Deployment) -> None:
    stack.client("dynamodb", "primary").update_table(
        TableName=stack.value("dynamodb_table_name"),
        ReplicaUpdates=[{"Delete": {"RegionName": stack.region("secondary")}}],
    )


def protected_in_one_region(stack: Deployment) -> None:
    stack.client("dynamodb", "primary").update_table(
        TableName=stack.value("dynamodb_table_name"), DeletionProtectionEnabled=True
    )


def alarms_deleted(side: Side) -> Change:
    def change(stack: Deployment) -> None:
        client = stack.client("cloudwatch", side)
        client.delete_alarms(AlarmNames=[each["AlarmName"] for each in client.describe_alarms()["MetricAlarms"]])

    return change


def one_alarm_in_alarm(stack: Deployment) -> None:
    client = stack.client("cloudwatch", "secondary")
    name = client.describe_alarms()["MetricAlarms"][0]["AlarmName"]
    client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")


def parameter(side: Side, operation: str, **arguments: Any) -> Change:
    def change(stack: Deployment) -> None:
        events = stack.client("events", side)
        for rule in events.list_rules()["Rules"]:  # which would copy it
            events.disable_rule(Name=rule["Name"])
        name = stack.value("ssm_parameter_names")[0]
        getattr(stack.client("ssm", side), operation)(Name=name, **arguments)

    return change


# What is done, the row of `dr status` that names it, and what it says.
FAULTS: dict[str, tuple[Change, str, str]] = {
    "primary with weight 0": (record("primary", Weight=0), "failover", "weights swapped"),
    "secondary with a weight": (record("secondary", Weight=100), "failover", "weights swapped"),
    "a TTL of an hour": (both(TTL=3600), "failover", "TTL of app.payment-app.test is 3600 s"),
    "primary without a check": (
        record("primary", HealthCheckId=None),
        "failover",
        "the primary record (us-east-1) has no health check",
    ),
    "secondary without a check": (
        record("secondary", HealthCheckId=None),
        "failover",
        "the secondary record (us-west-2) has no health check",
    ),
    "secondary that points to the primary": (to_host("secondary", "{api}"), "failover", "has no record of us-west-2"),
    "primary that points elsewhere": (to_host("primary", "www.acme.io"), "failover", "has no record of us-east-1"),
    "no secondary record": (without_record("secondary"), "failover", "has no record of us-west-2"),
    "no primary record": (without_record("primary"), "failover", "has no record of us-east-1"),
    "a third record": (a_third_record, "failover", "Route 53 does not answer with us-east-1 only"),
    "no health function": (lambda_call("secondary", "delete_function"), "secondary health", "HTTP status 500"),
    "primary fenced": (fenced("primary"), "primary fenced", "FENCED"),
    "secondary fenced": (fenced("secondary"), "secondary fenced", "FENCED"),
    "the function looks at another table": (
        lambda_call(
            "secondary",
            "update_function_configuration",
            Environment={"Variables": {"DYNAMODB_TABLE_NAME": "another"}},
        ),
        "secondary health",
        "unknown",
    ),
    "no routes": (routes_deleted("secondary"), "failover", "probes a path that its API does not have"),
    "no API": (api_deleted("secondary"), "failover", "probes a path that its API does not have"),
    "no right to look at the table": (
        no_right("dynamodb:DescribeTable", "secondary"),
        "secondary health",
        "unknown",
    ),
    "the API may not invoke the function": (permission_removed("primary"), "primary health", "HTTP status 500"),
    "no replica": (replica_deleted, "primary replica", "none in us-west-2"),
    "one table protected": (protected_in_one_region, "secondary table", "not protected from deletion"),
    "no alarms": (alarms_deleted("secondary"), "secondary alarms", "none of the stack's alarms exists here"),
    "an alarm in ALARM": (one_alarm_in_alarm, "secondary alarms", "alarm-"),
    "a parameter that differs": (
        parameter("secondary", "put_parameter", Value="another", Type="SecureString", Overwrite=True),
        "config",
        "differs: /payment-app/dev/",
    ),
    "a parameter that is gone": (parameter("secondary", "delete_parameter"), "config", "differs: /payment-app/dev/"),
}


def on(service: str, side: Side, operation: str, arguments: Callable[[Deployment, Any], dict[str, Any]]) -> Change:
    """One call of a service, with arguments that depend on the stack."""

    def change(stack: Deployment) -> None:
        client = stack.client(service, side)
        getattr(client, operation)(**arguments(stack, client))

    return change


HARMLESS: dict[str, Change] = {
    "more memory": lambda_call("primary", "update_function_configuration", MemorySize=512),
    "another description": lambda_call("secondary", "update_function_configuration", Description="another"),
    "config sync with another time limit": lambda_call(
        "primary", "update_function_configuration", "config_sync", Timeout=90
    ),
    "logs for a week": on(
        "logs",
        "primary",
        "put_retention_policy",
        lambda stack, _: {
            "logGroupName": f"/aws/lambda/{of_function('primary', 'health_monitor')(stack)}",
            "retentionInDays": 7,
        },
    ),
    "a name of the topic": on(
        "sns",
        "primary",
        "set_topic_attributes",
        lambda stack, _: {
            "TopicArn": stack.value("primary_sns_topic_arn"),
            "AttributeName": "DisplayName",
            "AttributeValue": "alerts",
        },
    ),
    "another parameter": on(
        "ssm", "primary", "put_parameter", lambda *_: {"Name": "/payment-app/dev/other", "Value": "1", "Type": "String"}
    ),
    "another alarm": on(
        "cloudwatch",
        "secondary",
        "put_metric_alarm",
        lambda *_: {
            "AlarmName": "alarm-of-another-team",
            "Namespace": "Another",
            "MetricName": "Errors",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanThreshold",
        },
    ),
    "another table": on(
        "dynamodb",
        "primary",
        "create_table",
        lambda *_: {
            "TableName": "another",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        },
    ),
    "a payment": on(
        "dynamodb",
        "primary",
        "put_item",
        lambda stack, _: {
            "TableName": stack.value("dynamodb_table_name"),
            "Item": {"transaction_id": {"S": "one"}, "timestamp": {"N": "1"}},
        },
    ),
    "a document": on(
        "s3", "primary", "put_object", lambda stack, _: {"Bucket": stack.value("primary_bucket_name"), "Key": "receipt"}
    ),
    "a lower TTL": both(TTL=10),
    "another check, unused": on(
        "route53",
        "primary",
        "create_health_check",
        lambda *_: {
            "CallerReference": "unused",
            "HealthCheckConfig": {"Type": "HTTPS", "FullyQualifiedDomainName": "www.acme.io"},
        },
    ),
    "another role": on(
        "iam",
        "primary",
        "create_role",
        lambda *_: {"RoleName": "another", "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17"})},
    ),
    "another network": on("ec2", "primary", "create_vpc", lambda *_: {"CidrBlock": "10.9.0.0/16"}),
    "a tag on a parameter": on(
        "ssm",
        "secondary",
        "add_tags_to_resource",
        lambda stack, _: {
            "ResourceType": "Parameter",
            "ResourceId": stack.value("ssm_parameter_names")[0],
            "Tags": [{"Key": "rotated", "Value": "2026"}],
        },
    ),
}


@pytest.fixture
def not_ok(branched: Deployment) -> Callable[[Change], dict[str, str]]:
    """Changes the stack, and gives each cell of `dr status` that is not as it should be."""

    def look(change: Change) -> dict[str, str]:
        change(branched)
        with place_of(branched, seed=1) as place:
            found = look_at(place.stack)
        cells = {f"{side} {name}": each for side in SIDES for name, each in found.regions[side].items()} | {
            **found.both
        }
        bad = {name: each.found for name, each in cells.items() if each.state != OK}
        assert (found.exit_code == 0) == (not bad)
        return bad

    return look


@pytest.mark.parametrize("fault", FAULTS)
def test_a_single_fault_is_named_by_status(fault: str, not_ok: Callable[[Change], dict[str, str]]) -> None:
    change, row, sentence = FAULTS[fault]
    assert sentence in not_ok(change).get(row, "")


def test_harmless_changes_are_not_named(not_ok: Callable[[Change], dict[str, str]]) -> None:
    def all_of_them(stack: Deployment) -> None:
        for change in HARMLESS.values():
            change(stack)

    assert not_ok(all_of_them) == {}
