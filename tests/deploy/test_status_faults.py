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
from payment_dr.operations.status import BAD, OK, look_at, look_at_wiring
from payment_dr.side import SIDES, Side
from tests.deploy.test_drill import change_records
from tests.deploy.test_records import records_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

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


def permission_removed(side: Side, purpose: str) -> Change:
    def change(stack: Deployment) -> None:
        client, name = stack.client("lambda", side), of_function(side, purpose)(stack)
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


def on(service: str, side: Side, operation: str, arguments: Callable[[Deployment, Any], dict[str, Any]]) -> Change:
    """One call of a service, with arguments that depend on the stack."""

    def change(stack: Deployment) -> None:
        client = stack.client(service, side)
        getattr(client, operation)(**arguments(stack, client))

    return change


def alarm_with(side: Side, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """Puts the first alarm of a region again, with some other values."""

    def put(stack: Deployment) -> None:
        client = stack.client("cloudwatch", side)
        kept = client.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
        found = client.describe_alarms()["MetricAlarms"][0]
        given = {name: value for name, value in found.items() if name in kept and value not in ("", [], None)}
        client.put_metric_alarm(**change(given))

    return put


def first_alarm(side: Side, operation: str) -> Change:
    return on(
        "cloudwatch",
        side,
        operation,
        lambda _, client: {"AlarmNames": [client.describe_alarms()["MetricAlarms"][0]["AlarmName"]]},
    )


def topic_attribute(side: Side, name: str, value: str) -> Change:
    return on(
        "sns",
        side,
        "set_topic_attributes",
        lambda stack, _: {
            "TopicArn": stack.value(f"{side}_sns_topic_arn"),
            "AttributeName": name,
            "AttributeValue": value.replace("ACCOUNT", stack.aws.account_id).replace(
                "TOPIC", stack.value(f"{side}_sns_topic_arn")
            ),
        },
    )


def topic_policy(condition: dict[str, Any]) -> dict[str, Any]:
    """The policy that SNS gives a topic, with another condition."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["SNS:Publish", "SNS:Subscribe", "SNS:GetTopicAttributes"],
        "Resource": "TOPIC",
        "Condition": condition,
    }
    return {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}


def denied(action: str) -> dict[str, Any]:
    return {"Sid": "Denied", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*"}


def key(side: Side, operation: str, **arguments: Any) -> Change:
    return on("kms", side, operation, lambda stack, _: {"KeyId": stack.value(f"{side}_kms_key_id"), **arguments})


def key_policy(side: Side, change: Callable[[list[Any]], list[Any]]) -> Change:
    """Changes the statements of the policy of a region's key."""

    def put(stack: Deployment) -> None:
        client, key_id = stack.client("kms", side), stack.value(f"{side}_kms_key_id")
        policy = json.loads(client.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"])
        policy["Statement"] = change(policy["Statement"])
        client.put_key_policy(KeyId=key_id, PolicyName="default", Policy=json.dumps(policy))

    return put


def without(*sids: str) -> Callable[[list[Any]], list[Any]]:
    def left(statements: list[Any]) -> list[Any]:
        assert {*sids} <= {each["Sid"] for each in statements}
        return [each for each in statements if each["Sid"] not in sids]

    return left


def role_of(stack: Deployment, name: str) -> str:
    """The name of a role, by its key in the outputs."""
    outputs = {**stack.value("lambda_execution_role_arns"), **stack.value("cross_region_role_arns")}
    outputs["replication"] = stack.value("s3_replication_role_arn")
    return str(outputs[name].rpartition("/")[2])


def in_role(name: str, effect: str, action: str) -> Change:
    """Gives a role an inline policy."""

    def put(stack: Deployment) -> None:
        statement = {"Effect": effect, "Action": action, "Resource": "*"}
        stack.client("iam", "primary").put_role_policy(
            RoleName=role_of(stack, name),
            PolicyName="another",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    return put


def policy_of_role(name: str, change: Callable[[list[Any]], list[Any]]) -> Change:
    """Changes the statements of a role's policy. None left detaches it."""

    def put(stack: Deployment) -> None:
        iam, role = stack.client("iam", "primary"), role_of(stack, name)
        (attached,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        document["Statement"] = change(document["Statement"])
        if document["Statement"]:
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document), SetAsDefault=True)
        else:
            iam.detach_role_policy(RoleName=role, PolicyArn=arn)

    return put


def trust_of(name: str, principal: str) -> Change:
    """Lets another service assume a role."""

    def put(stack: Deployment) -> None:
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": principal}}
        stack.client("iam", "primary").update_assume_role_policy(
            RoleName=role_of(stack, name),
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    return put


def runs_as_another(stack: Deployment) -> None:
    """Gives config sync of the primary region a role of somebody else, which Lambda may assume."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    made = stack.client("iam", "primary").create_role(
        RoleName="theirs", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    lambda_call("primary", "update_function_configuration", "config_sync", Role=made["Role"]["Arn"])(stack)


def rules_of(stack: Deployment, side: Side, purpose: str, trigger: str) -> list[str]:
    client = stack.client("events", side)
    arn = stack.value(f"{side}_{purpose}_function_arn")
    names = client.list_rule_names_by_target(TargetArn=arn)["RuleNames"]
    return [each for each in names if trigger in each]


def rule(side: Side, operation: str, trigger: str, purpose: str = "config_sync", **arguments: Any) -> Change:
    """Does something to the rule of a trigger."""

    def change(stack: Deployment) -> None:
        (name,) = rules_of(stack, side, purpose, trigger)
        place = "Rule" if operation == "remove_targets" else "Name"
        getattr(stack.client("events", side), operation)(**{place: name}, **arguments)

    return change


def sync_variable(side: Side, name: str, value: str) -> Change:
    def change(stack: Deployment) -> None:
        client, function = stack.client("lambda", side), of_function(side, "config_sync")(stack)
        variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=function, Environment={"Variables": {**variables, name: value}}
        )

    return change


def encrypted_with(side: Side, policy: dict[str, Any] | None = None) -> Change:
    """Encrypts the first parameter of a region with another key, whose policy AWS or somebody has written."""

    def change(stack: Deployment) -> None:
        more = {"Policy": json.dumps(policy).replace("ACCOUNT", stack.aws.account_id)} if policy else {}
        made = stack.client("kms", side).create_key(**more)["KeyMetadata"]["KeyId"]
        ssm, name = stack.client("ssm", side), stack.value("ssm_parameter_names")[0]
        value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        ssm.put_parameter(Name=name, Value=value, Type="SecureString", KeyId=made, Overwrite=True)

    return change


# As the key of AWS that Parameter Store uses otherwise, whose policy leaves nothing to that of a role.
FOR_THE_WHOLE_ACCOUNT = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {
                "StringEquals": {"kms:ViaService": "ssm.us-west-2.amazonaws.com", "kms:CallerAccount": "ACCOUNT"}
            },
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::ACCOUNT:root"},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
            "Resource": "*",
        },
    ],
}


def another_rule(side: Side) -> Change:
    """Somebody's own rule runs config sync, and is disabled."""

    def put(stack: Deployment) -> None:
        client = stack.client("events", side)
        client.put_rule(Name="theirs", ScheduleExpression="rate(1 day)", State="DISABLED")
        arn = stack.value(f"{side}_config_sync_function_arn")
        client.put_targets(Rule="theirs", Targets=[{"Id": "theirs", "Arn": arn}])

    return put


def replication(side: Side, change: Callable[[dict[str, Any]], object]) -> Change:
    """Changes the replication rule of a bucket."""

    def put(stack: Deployment) -> None:
        s3, bucket = stack.client("s3", side), stack.value(f"{side}_bucket_name")
        found = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
        change(found)
        s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=found)

    return put


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
        in_role("secondary_health_monitor", "Deny", "dynamodb:DescribeTable"),
        "secondary health",
        "unknown",
    ),
    "the API may not invoke the function": (
        permission_removed("primary", "health_monitor"),
        "primary health",
        "HTTP status 500",
    ),
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
# The same for what would keep alarms, changed parameters or documents from arriving.
WIRING_FAULTS: dict[str, tuple[Change, str, str]] = {
    "one alarm is gone": (first_alarm("primary", "delete_alarms"), "alerts", "no region has alarm-"),
    "an alarm without an action": (
        alarm_with("primary", lambda alarm: alarm | {"AlarmActions": []}),
        "alerts",
        "no action is set on alarm-",
    ),
    "an alarm whose actions are disabled": (
        first_alarm("secondary", "disable_alarm_actions"),
        "alerts",
        "actions are disabled on alarm-",
    ),
    "an alarm for a topic that does not exist": (
        alarm_with("primary", lambda alarm: alarm | {"AlarmActions": [f"{alarm['AlarmActions'][0]}-gone"]}),
        "alerts",
        "no action publishes to arn:aws:sns:us-east-1:",
    ),
    "no topic": (
        on("sns", "secondary", "delete_topic", lambda stack, _: {"TopicArn": stack.value("secondary_sns_topic_arn")}),
        "alerts",
        "does not exist, so alarms of us-west-2 reach nobody",
    ),
    "a topic that refuses alarms": (
        topic_attribute("primary", "Policy", json.dumps({"Version": "2012-10-17", "Statement": []})),
        "alerts",
        "does not let alarms publish",
    ),
    "a topic that takes alarms of another account": (
        topic_attribute(
            "primary", "Policy", json.dumps(topic_policy({"StringEquals": {"aws:SourceAccount": "999999999999"}}))
        ),
        "alerts",
        "does not let alarms publish",
    ),
    "a topic with the key of AWS": (
        topic_attribute("secondary", "KmsMasterKeyId", "alias/aws/sns"),
        "alerts",
        "is encrypted with alias/aws/sns, which no alarm may use",
    ),
    "a key that alarms may not use": (
        key_policy("primary", without("AlarmsPublishToEncryptedTopic")),
        "alerts",
        "does not let alarms kms:Decrypt and 1 more",
    ),
    "a key that is disabled": (key("secondary", "disable_key"), "config sync", "is disabled: run aws kms enable-key"),
    "a key that will be deleted": (
        key("primary", "schedule_key_deletion", PendingWindowInDays=7),
        "alerts",
        "is scheduled for deletion",
    ),
    "a key that the account may not use": (
        key_policy("secondary", without("AccountHasFullControl", "ParameterStoreEncryptsAndDecrypts")),
        "config sync",
        "the role iam-role-config-sync-west-dev may not kms:Decrypt with the key",
    ),
    "a key that denies Parameter Store": (
        key_policy("primary", lambda found: [*found, denied("kms:Decrypt")]),
        "config sync",
        "may not kms:Decrypt with the key",
    ),
    "a parameter with the key of somebody else": (
        encrypted_with("primary"),
        "config sync",
        "the role iam-role-config-sync-east-dev may not kms:Decrypt with the key",
    ),
    "the health function may not publish": (
        in_role("primary_health_monitor", "Deny", "sns:Publish"),
        "alerts",
        "lacks sns:Publish",
    ),
    "the health function may not encrypt": (
        in_role("secondary_health_monitor", "Deny", "kms:GenerateDataKey"),
        "alerts",
        "so the health function of us-west-2 cannot mail",
    ),
    "nobody watches the other region": (
        rule("primary", "disable_rule", "", "health_monitor"),
        "alerts",
        "is disabled, so it does not run lambda-health-monitor-east-dev",
    ),
    "config sync without its policy": (
        policy_of_role("primary_config_sync", lambda _: []),
        "config sync",
        "the role iam-role-config-sync-east-dev lacks ssm:GetParameter and 1 more",
    ),
    "config sync that may not read": (
        policy_of_role("secondary_config_sync", without("ReadParameters")),
        "config sync",
        "the role iam-role-config-sync-west-dev lacks ssm:GetParameter",
    ),
    "config sync that may not decrypt": (
        policy_of_role("primary_config_sync", without("ReadParametersWithKey")),
        "config sync",
        "the role iam-role-config-sync-east-dev may not kms:Decrypt with the key",
    ),
    "config sync that may not reach the other region": (
        policy_of_role("primary_config_sync", without("WriteToOtherRegion")),
        "config sync",
        "may not assume iam-role-config-sync-target-west-dev",
    ),
    "config sync that is denied": (
        in_role("secondary_to_primary", "Deny", "ssm:PutParameter"),
        "config sync",
        "lacks ssm:PutParameter",
    ),
    "config sync that may not write": (
        policy_of_role("primary_to_secondary", without("WriteParametersWithKey")),
        "config sync",
        "the role iam-role-config-sync-target-west-dev may not kms:Decrypt with the key",
    ),
    "config sync that may not be assumed": (
        trust_of("primary_to_secondary", "lambda.amazonaws.com"),
        "config sync",
        "may not assume iam-role-config-sync-target-west-dev",
    ),
    "config sync that Lambda may not run": (
        trust_of("primary_config_sync", "ec2.amazonaws.com"),
        "config sync",
        "does not trust lambda.amazonaws.com",
    ),
    "config sync with another role": (
        runs_as_another,
        "config sync",
        "runs as the role theirs, not as iam-role-config-sync-east-dev",
    ),
    "config sync that copies elsewhere": (
        sync_variable("primary", "TARGET_REGION", "eu-west-1"),
        "config sync",
        "has another TARGET_REGION than the stack",
    ),
    "config sync that never runs": (
        lambda_call("secondary", "put_function_concurrency", "config_sync", ReservedConcurrentExecutions=0),
        "config sync",
        "never runs, as its reserved concurrency is 0",
    ),
    "no config sync": (
        lambda_call("primary", "delete_function", "config_sync"),
        "config sync",
        "the function lambda-config-sync-east-dev of us-east-1 does not exist",
    ),
    "a rule of config sync that is disabled": (
        rule("primary", "disable_rule", "reconcile"),
        "config sync",
        "is disabled, so it does not run lambda-config-sync-east-dev",
    ),
    "a rule of config sync without a target": (
        rule("secondary", "remove_targets", "change", Ids=["change"]),
        "config sync",
        "no rule runs lambda-config-sync-west-dev on a change event",
    ),
    "rules that may not invoke config sync": (
        permission_removed("primary", "config_sync"),
        "config sync",
        "lambda-config-sync-east-dev does not let the rule",
    ),
    "no replication of documents": (
        on(
            "s3",
            "primary",
            "delete_bucket_replication",
            lambda stack, _: {"Bucket": stack.value("primary_bucket_name")},
        ),
        "document copies",
        "no replication rule copies all documents of",
    ),
    "a replication rule that is disabled": (
        replication("primary", lambda found: found["Rules"][0].update(Status="Disabled")),
        "document copies",
        "the replication rule all-documents of",
    ),
    "a replication rule of some documents": (
        replication("primary", lambda found: found["Rules"][0].update(Filter={"Prefix": "receipts/"})),
        "document copies",
        "no replication rule copies all documents of",
    ),
    "replication that may not write": (
        policy_of_role("replication", without("WriteReplicas")),
        "document copies",
        "lacks s3:ReplicateObject",
    ),
    "replication that S3 may not do": (
        trust_of("replication", "lambda.amazonaws.com"),
        "document copies",
        "does not trust s3.amazonaws.com",
    ),
}


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
    "another statement of a key": key_policy(
        "primary",
        lambda found: [
            *found,
            {
                "Sid": "Theirs",
                "Effect": "Allow",
                "Principal": {"Service": "logs.amazonaws.com"},
                "Action": "kms:Decrypt",
                "Resource": "*",
            },
            {**denied("kms:*"), "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        ],
    ),
    "a key that names the account alone": key_policy("secondary", without("ParameterStoreEncryptsAndDecrypts")),
    "a topic with the policy of SNS": topic_attribute(
        "primary", "Policy", json.dumps(topic_policy({"StringEquals": {"AWS:SourceOwner": "ACCOUNT"}}))
    ),
    "a topic without a key": topic_attribute("secondary", "KmsMasterKeyId", ""),
    "another action of an alarm": alarm_with(
        "primary", lambda alarm: alarm | {"AlarmActions": [*alarm["AlarmActions"], f"{alarm['AlarmActions'][0]}-other"]}
    ),
    "another policy of a role": in_role("primary_config_sync", "Allow", "dynamodb:ListTables"),
    "a denial of something else": in_role("secondary_to_primary", "Deny", "ssm:DeleteParameter"),
    "another rule of config sync": another_rule("primary"),
    "another replication rule": replication(
        "primary",
        lambda found: found["Rules"].append(
            {**found["Rules"][0], "ID": "theirs", "Priority": 9, "Status": "Disabled", "Filter": {"Prefix": "x/"}}
        ),
    ),
    "a parameter with the key of the account": encrypted_with("secondary", FOR_THE_WHOLE_ACCOUNT),
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


@pytest.mark.parametrize("fault", WIRING_FAULTS)
def test_a_single_fault_of_the_wiring_is_named_by_status(fault: str, branched: Deployment) -> None:
    """Without the rest of `dr status`, which takes longer."""
    change, row, sentence = WIRING_FAULTS[fault]
    change(branched)
    with place_of(branched, seed=1) as place:
        found = look_at_wiring(place.stack)[row]
    assert found.state == BAD
    assert sentence in found.found


def test_harmless_changes_are_not_named(not_ok: Callable[[Change], dict[str, str]]) -> None:
    def all_of_them(stack: Deployment) -> None:
        for change in HARMLESS.values():
            change(stack)

    assert not_ok(all_of_them) == {}
