"""Grants that are too wide: found by reading the account, and by requesting the neighbours of each granted resource.

This removes no right, so it takes seconds.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from embedded_aws.deployment import Deployment
from payment_dr.operations.aws import listed
from payment_dr.side import SIDES, Side
from permission_proof.claims import ALL_CLAIMS, ANOTHER_ACCOUNT, CLAIMS, Claims
from permission_proof.policies import Document, Policy, Row, principals_of, rows_of
from permission_proof.scenarios import OF_CANARY, OF_SWITCH
from permission_proof.stage import NAME, Stage, refusals_in

# A wildcard, or a policy variable, which is another value for each caller.
_WIDE = re.compile(r"[*?]|\$\{")
_LOG_GROUP = re.compile(r"(arn:aws:logs:[\w-]+:\d{12}:log-group:[^:*?]+):\*")
_BUCKET = re.compile(r"(arn:aws:s3:::[^:/*?]+)/\*")
# In a key's policy this is the key itself:
# https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html#key-policy-elements
_THIS_KEY = "*"
# The keys of a statement that `rows_of` reads. Any other one, such as NotResource, could widen it unnoticed.
_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}

_LAMBDA, _EVENTS, _ALARMS, _APIS = (
    f"Service {name}.amazonaws.com" for name in ("lambda", "events", "cloudwatch", "apigateway")
)
_ACCOUNT = "AWS arn:aws:iam::{account}:root"
# The owners that exist in one region only.
ONE_SIDED: Mapping[str, Sequence[Side]] = {
    owner: ["secondary"]
    for owner in ("switch role", "switch function", "switch takeover role", "switch takeover function")
}
# The principal of a statement, by owner and statement. {account} is the stack's own.
PRINCIPALS: Mapping[tuple[str, str], str] = {
    ("health monitor role", "AssumedByItsFunction"): _LAMBDA,
    ("config sync role", "AssumedByItsFunction"): _LAMBDA,
    ("cross-region role", "AssumedByConfigSync"): _ACCOUNT,  # the condition names one role of it
    ("replication role", "AssumedByS3"): "Service s3.amazonaws.com",
    ("key", "AccountHasFullControl"): _ACCOUNT,
    ("key", "SnsDeliversAlerts"): "Service sns.amazonaws.com",
    ("key", "AlarmsPublishToEncryptedTopic"): _ALARMS,
    ("key", "ParameterStoreEncryptsAndDecrypts"): _ACCOUNT,
    ("topic", "AlarmsPublish"): _ALARMS,
    ("health monitor function", "AllowSchedule"): _EVENTS,
    ("health monitor function", "AllowHealthRoute"): _APIS,
    ("health monitor function", "AllowPrivateHealthRoute"): _APIS,
    ("config sync function", "AllowChange"): _EVENTS,
    ("config sync function", "AllowReconcile"): _EVENTS,
    ("data canary role", "AssumedByItsFunction"): _LAMBDA,
    ("data canary function", "AllowSchedule"): _EVENTS,
    ("service role", "AssumedByItsFunction"): _LAMBDA,
    ("service function", "AllowPostPayments"): _APIS,
    ("service function", "AllowGetPaymentsId"): _APIS,
    ("switch role", "AssumedByItsFunction"): _LAMBDA,
    ("switch function", "AllowSwitchRoute"): _APIS,
    ("switch takeover role", "AssumedByItsFunction"): _LAMBDA,
    ("switch takeover function", "AllowSchedule"): _EVENTS,
}
# The one wildcard in a condition: all alarms of the account and the region, because the stack's alarms and those that
# its user adds publish to the same topic.
_OF_ALARMS = {("topic", "AlarmsPublish"), ("key", "AlarmsPublishToEncryptedTopic")}
ALARMS_OF_REGION = "arn:aws:cloudwatch:{region}:{account}:alarm:*"

# What can act, or let others act, and does not exist in the stack.
ABSENT = (
    "IAM users",
    "IAM groups",
    "access keys",
    "identity providers",
    "instance profiles",
    "managed policies without a role",
    "inline policies",
    "KMS grants",
    "function URLs",
    "policies of function versions and aliases",
    "policies of tables, event buses and log groups",
    "bucket ACLs for anyone but the owner",
    "subscribers of topics and targets of rules in other accounts",
)


@dataclass(frozen=True)
class Ask:
    """The call that requests an action.

    Attributes:
        operation: Name of the call in boto3.
        arguments: Its arguments, for the ARN of the resource.
        by_arn: Whether the call names an ARN, which may be that of another account.
    """

    operation: str
    arguments: Callable[[str], Mapping[str, Any]]
    by_arn: bool = True


def _stream(arn: str) -> Mapping[str, Any]:
    return {"logGroupName": arn.split(":")[6], "logStreamName": NAME}


def _object(arn: str) -> Mapping[str, Any]:
    bucket, _, key = arn.rpartition(":")[2].partition("/")
    return {"Bucket": bucket, "Key": key, "VersionId": NAME}


def _bucket(arn: str) -> Mapping[str, Any]:
    return {"Bucket": arn.rpartition(":")[2]}


def _item(arn: str) -> Mapping[str, Any]:
    """An item of the switch or canary that the role may write, so that a refusal is about the table."""
    if ":table/table-switch-" in arn:
        return {"region": {"S": OF_SWITCH["ExpressionAttributeValues"][":region"]["S"]}, "version": {"N": "1"}}
    return {"transaction_id": {"S": f"{OF_CANARY}{arn.split(':')[3]}"}, "timestamp": {"N": "0"}}


ASKS: Mapping[str, Ask] = {
    "dynamodb:DescribeTable": Ask("describe_table", lambda arn: {"TableName": arn}),
    "dynamodb:GetItem": Ask("get_item", lambda arn: {"TableName": arn, "Key": _item(arn)}),
    "dynamodb:PutItem": Ask("put_item", lambda arn: {"TableName": arn, "Item": _item(arn)}),
    "dynamodb:Query": Ask("query", lambda arn: {"TableName": arn, **OF_SWITCH}),
    "cloudwatch:DescribeAlarms": Ask(
        "describe_alarms", lambda arn: {"AlarmNames": [arn.partition(":alarm:")[2]]}, by_arn=False
    ),
    "sns:Publish": Ask("publish", lambda arn: {"TopicArn": arn, "Message": "?"}),
    "logs:CreateLogStream": Ask("create_log_stream", _stream, by_arn=False),
    "logs:PutLogEvents": Ask(
        "put_log_events", lambda arn: {**_stream(arn), "logEvents": [{"timestamp": 0, "message": "?"}]}, by_arn=False
    ),
    "ssm:GetParameter": Ask("get_parameter", lambda arn: {"Name": arn}),
    "ssm:GetParameterHistory": Ask("get_parameter_history", lambda arn: {"Name": arn}),
    "ssm:PutParameter": Ask(
        "put_parameter",
        lambda arn: {"Name": arn.partition(":parameter")[2], "Value": "?", "Type": "String"},
        by_arn=False,
    ),
    "sts:AssumeRole": Ask("assume_role", lambda arn: {"RoleArn": arn, "RoleSessionName": NAME}),
    "s3:ListBucket": Ask("list_objects_v2", _bucket),
    "s3:GetReplicationConfiguration": Ask("get_bucket_replication", _bucket),
    "s3:GetObjectVersionAcl": Ask("get_object_acl", _object),
    "s3:GetObjectVersionTagging": Ask("get_object_tagging", _object),
}
# Used through another service, or by S3 itself. No call of a role requests them; `outside` of their claim does.
NOT_ASKED = frozenset(
    {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "s3:GetObjectVersionForReplication", "s3:ReplicateObject"}
)


@dataclass(frozen=True)
class Asked:
    """A request for a neighbour of a granted resource, or by another principal than the granted one.

    Attributes:
        owner: The owner of the policy that decides.
        side: ``primary`` or ``secondary``.
        action: The requested action.
        granted: ARN of the resource in the policy.
        neighbour: The difference of this request, for the report.
        refused: Whether it was refused because exactly this right is missing.
        found: The result, if it was not.
    """

    owner: str
    side: Side
    action: str
    granted: str
    neighbour: str
    refused: bool
    found: str


def excess_in(stack: Deployment, policies: Sequence[Policy], claims: Claims = CLAIMS) -> list[str]:
    """Read the account, and name each grant beyond the claims, one line each. Changes and tries nothing.

    Args:
        stack: The stack, applied.
        policies: Its policies, as deployed.
        claims: The grants that it may have.
    """
    rows = [row for policy in policies for row in rows_of(policy)]
    wide = [found for policy in policies for found in _too_wide(policy, stack)]
    return [*gaps_between(rows, claims), *_policies_too_many(policies), *wide, *_unclaimed(stack)]


def ask_neighbours(stage: Stage, policies: Sequence[Policy]) -> list[Asked]:
    """Request the neighbours of each granted resource, and each granted resource as another principal.

    Args:
        stage: The stack.
        policies: Its policies, as deployed.
    """
    rows = [row for policy in policies for row in rows_of(policy)]
    return [*_neighbours(stage, rows), *_strangers(stage, policies)]


def not_refused(asked: Iterable[Asked]) -> list[str]:
    """Name each request that was not refused, one line each."""
    return [
        f"not refused: {ask.owner} ({ask.side}): {ask.action} on {ask.granted}, requested: {ask.neighbour}: {ask.found}"
        for ask in asked
        if not ask.refused
    ]


# Read


def gaps_between(rows: Sequence[Row], claims: Claims = CLAIMS) -> list[str]:
    """Name each right without a scenario, and each scenario whose right is no longer in the policies."""
    gaps = [f"no scenario: {row}" for row in rows if row.claim not in claims]
    there = {(*row.claim, row.policy.side) for row in rows}
    for owner, sid, what in claims:
        for side in ONE_SIDED.get(owner, SIDES):
            if (owner, sid, what, side) not in there:
                gaps.append(f"dropped: {owner} ({side}), statement {sid}: {what}")
    # A role's own right also needs a request for something else.
    gaps += [
        f"no request outside of it: {row}"
        for row in rows
        if row.policy.part == "permissions"
        and not row.condition
        and row.claim in claims
        and not claims[row.claim].outside
    ]
    return gaps


def _policies_too_many(policies: Sequence[Policy]) -> Iterator[str]:
    """Name extra policies. A claim names no policy, so each owner has one policy of each part, and none inline."""
    seen: set[tuple[str, str, str]] = set()
    for policy in policies:
        part = policy.owner, policy.side, policy.part
        if part in seen or policy.part.startswith("inline"):
            yield f"extra policy: {policy.owner} ({policy.side}), {policy.part}"
        seen.add(part)


def _too_wide(policy: Policy, stack: Deployment) -> Iterator[str]:
    """Name every wildcard, principal and element of a policy that the stack does not need."""
    account, region = stack.aws.account_id, stack.region(policy.side)
    for statement in policy.document["Statement"]:
        if statement["Effect"] == "Deny":
            continue  # it grants nothing
        sid = statement.get("Sid", "")
        where = f"too wide: {policy.owner} ({policy.side}), {policy.part}, statement {sid}"
        yield from (f"{where}: {element}" for element in sorted(statement.keys() - _ELEMENTS))
        yield from (
            f"{where}: resource {resource}"
            for resource in statement.get("Resource", ())
            if _is_wide_resource(resource) and not (policy.owner == "key" and resource == _THIS_KEY)
        )
        expected = PRINCIPALS.get((policy.owner, sid), "").format(account=account)
        yield from (f"{where}: principal {found}" for found in principals_of(statement) if found != expected)
        alarms = ALARMS_OF_REGION.format(region=region, account=account)
        allowed = {alarms} if (policy.owner, sid) in _OF_ALARMS else set()
        yield from (
            f"{where}: {condition} = {value}"
            for condition, value in _condition_values(statement)
            if _WIDE.search(value) and value not in allowed
        )


def _condition_values(statement: Document) -> Iterator[tuple[str, str]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            for value in values:
                yield f"{operator} {key}", value


def _is_wide_resource(resource: str) -> bool:
    allowed = _LOG_GROUP.fullmatch(resource) or _BUCKET.fullmatch(resource)
    return bool(_WIDE.search(allowed[1] if allowed else resource))


def _unclaimed(stack: Deployment) -> Iterator[str]:
    """Name what can act, let others act, or send to others, apart from the policies: all that `ABSENT` lists."""
    iam = stack.client("iam", "primary")
    for kind, operation, items, name in (
        ("IAM user", "list_users", "Users", "UserName"),
        ("IAM group", "list_groups", "Groups", "GroupName"),
        ("access key of the root", "list_access_keys", "AccessKeyMetadata", "AccessKeyId"),
        ("identity provider", "list_saml_providers", "SAMLProviderList", "Arn"),
        ("identity provider", "list_open_id_connect_providers", "OpenIDConnectProviderList", "Arn"),
        ("instance profile", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    ):
        for found in listed(iam, operation, items):
            yield f"not in the stack: {kind} {found[name]}"
            if kind == "IAM user":
                for key in listed(iam, "list_access_keys", "AccessKeyMetadata", UserName=found[name]):
                    yield f"not in the stack: access key {key['AccessKeyId']} of IAM user {found[name]}"
    for found in listed(iam, "list_policies", "Policies", Scope="Local"):
        if not list(listed(iam, "list_entities_for_policy", "PolicyRoles", PolicyArn=found["Arn"])):
            yield f"not in the stack: managed policy {found['PolicyName']}, which no role has"
    for side in SIDES:
        yield from (f"not in the stack: {found} ({side})" for found in _unclaimed_on(stack, side))
    s3 = stack.client("s3", "primary")
    for bucket in s3.list_buckets()["Buckets"]:
        acl = s3.get_bucket_acl(Bucket=bucket["Name"])
        for grant in acl["Grants"]:
            grantee = grant["Grantee"].get("ID") or grant["Grantee"].get("URI")
            if grantee != acl["Owner"]["ID"]:
                yield f"not in the stack: {grant['Permission']} for {grantee} in the ACL of bucket {bucket['Name']}"


def _unclaimed_on(stack: Deployment, side: Side) -> Iterator[str]:
    kms, lambda_, dynamodb, events, logs, sns = (
        stack.client(service, side) for service in ("kms", "lambda", "dynamodb", "events", "logs", "sns")
    )
    for key in listed(kms, "list_keys", "Keys"):
        for grant in listed(kms, "list_grants", "Grants", KeyId=key["KeyArn"]):
            operations = ", ".join(grant["Operations"])
            yield f"KMS grant of {operations} on {key['KeyArn']} to {grant['GranteePrincipal']}"
    for function in listed(lambda_, "list_functions", "Functions"):
        name = function["FunctionName"]
        for url in listed(lambda_, "list_function_url_configs", "FunctionUrlConfigs", FunctionName=name):
            yield f"URL of function {name} for {url['AuthType']}"
        versions = listed(lambda_, "list_versions_by_function", "Versions", FunctionName=name)
        aliases = listed(lambda_, "list_aliases", "Aliases", FunctionName=name)
        qualifiers = [version["Version"] for version in versions if version["Version"] != "$LATEST"]
        for qualifier in (*qualifiers, *(alias["Name"] for alias in aliases)):
            with suppress(lambda_.exceptions.ResourceNotFoundException):
                lambda_.get_policy(FunctionName=name, Qualifier=qualifier)
                yield f"policy of function {name}:{qualifier}"
    for table in listed(dynamodb, "list_tables", "TableNames"):
        arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
        with suppress(dynamodb.exceptions.PolicyNotFoundException):
            dynamodb.get_resource_policy(ResourceArn=arn)
            yield f"policy of table {table}"
    for bus in listed(events, "list_event_buses", "EventBuses"):
        if bus.get("Policy"):
            yield f"policy of event bus {bus['Name']}"
        for rule in listed(events, "list_rules", "Rules", EventBusName=bus["Name"]):
            of_rule = {"Rule": rule["Name"], "EventBusName": bus["Name"]}
            for target in listed(events, "list_targets_by_rule", "Targets", **of_rule):
                if _is_elsewhere(target["Arn"], stack):
                    yield f"target {target['Arn']} of rule {rule['Name']}"
    for topic in listed(sns, "list_topics", "Topics"):
        for subscription in listed(sns, "list_subscriptions_by_topic", "Subscriptions", **topic):
            if _is_elsewhere(subscription["Endpoint"], stack):
                yield f"subscriber {subscription['Endpoint']} of topic {topic['TopicArn']}"
    for policy in listed(logs, "describe_resource_policies", "resourcePolicies"):
        yield f"policy of log groups {policy['policyName']}"


def _is_elsewhere(endpoint: str, stack: Deployment) -> bool:
    """Whether this is an ARN in another account. Addresses of mail and https name no account."""
    return endpoint.startswith("arn:") and endpoint.split(":")[4] != stack.aws.account_id


# Asked for


def _neighbours(stage: Stage, rows: Iterable[Row]) -> Iterator[Asked]:
    """With each right of a role, request what a wildcard in its resource would also allow."""
    for row in rows:
        if row.policy.part != "permissions" or row.condition or row.claim not in ALL_CLAIMS or row.action in NOT_ASKED:
            continue
        for neighbour, arn in _neighbours_of(row.resource, stage):
            if neighbour == "another account" and not ASKS[row.action].by_arn:
                continue
            region = arn.split(":")[3]
            where = next((side for side in SIDES if stage.region(side) == region), row.policy.side)
            client = stage.as_role(row.policy.owner, row.policy.side, row.action.partition(":")[0], where)
            by = row.policy.name.rpartition("/")[2]
            yield _ask(stage, row.policy, row.action, row.resource, neighbour, client, by, arn)


def _neighbours_of(granted: str, stage: Stage) -> Iterator[tuple[str, str]]:
    """The ARN with a longer name, in the other region, and in another account, as far as it has these parts."""
    if granted.count(":") < 5:
        return  # a lone *, which is reported as too wide
    pattern = _LOG_GROUP.fullmatch(granted) or _BUCKET.fullmatch(granted)
    arn = pattern[1] if pattern else granted
    in_bucket = f"/{NAME}" if _BUCKET.fullmatch(granted) else ""
    yield "a longer name", f"{arn}-{NAME}{in_bucket}"
    start, partition, service, region, account, name = arn.split(":", 5)
    if region:
        other = next(stage.region(side) for side in SIDES if stage.region(side) != region)
        yield "the other region", ":".join((start, partition, service, other, account, name))
    if account:
        yield "another account", ":".join((start, partition, service, region, ANOTHER_ACCOUNT, name))


def _strangers(stage: Stage, policies: Iterable[Policy]) -> Iterator[Asked]:
    """Request what a trust or a topic's policy grants, as another role and another account's root with every right."""
    outsider = {"AccessKeyId": ANOTHER_ACCOUNT, "SecretAccessKey": stage.stack.aws.secret_access_key}
    for policy in policies:
        arn = policy.name

        def by_outsider(service: str, action: str, policy: Policy = policy, arn: str = arn) -> Asked:
            client = stage.stack.aws.client(service, stage.region(policy.side), outsider)
            who = f":{ANOTHER_ACCOUNT}:root"
            return _ask(stage, policy, action, arn, "by another account's root", client, who, arn)

        if policy.part == "trust":
            client = stage.as_role("operator", policy.side, "sts", policy.side)
            neighbour = "by another role"
            yield _ask(stage, policy, "sts:AssumeRole", arn, neighbour, client, f"/{NAME}/", arn)
        # ministack treats any root as a service, so only a trust in an account can be requested by one.
        if policy.owner == "cross-region role" and policy.part == "trust":
            yield by_outsider("sts", "sts:AssumeRole")
        if policy.owner == "topic":
            yield by_outsider("sns", "sns:Publish")


def _ask(
    stage: Stage, policy: Policy, action: str, granted: str, neighbour: str, client: Any, by: str, arn: str
) -> Asked:
    ask = ASKS[action]
    outcome = stage.outcome(lambda: getattr(client, ask.operation)(**ask.arguments(arn)))
    # SNS's refusal of another account is only in the answer.
    refusals = [*outcome.refusals, *refusals_in(outcome.why)]
    refused = not outcome.passed and any(
        refusal.action == action and by in refusal.principal and refusal.resource.startswith(arn)
        for refusal in refusals
    )
    return Asked(policy.owner, policy.side, action, granted, neighbour, refused, outcome.why or "passes")
