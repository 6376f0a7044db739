"""Which scenario proves which right, by owner, statement, and action or condition. A right without a claim is a gap."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from payment_dr.side import Side
from permission_proof import documented
from permission_proof.documented import Basis
from permission_proof.policies import Row
from permission_proof.scenarios import (
    CANARY,
    GET_PAYMENT,
    MONITOR,
    OF_SWITCH,
    PAYMENT_ITEM,
    PAYMENT_KEY,
    POST_PAYMENTS,
    SERVICE,
    SWITCH,
    SYNC,
    TAKEOVER,
    Scenario,
    alarm_heard,
    another_api_asks,
    another_bucket_replicated,
    another_function_takes_role,
    another_rule_starts,
    assumes_another_role,
    call,
    canary_looks,
    canary_reads,
    canary_uses_another_table,
    canary_writes,
    compared,
    copied,
    copied_advanced,
    health_answers,
    log_written,
    monitor_asks_for_a_key,
    monitor_mails,
    of_region,
    operator_describes,
    operator_encrypts,
    operator_reads,
    operator_writes,
    payment_shown,
    payment_taken,
    private_route_answers,
    publishes_with_another_key,
    read_without_tls,
    reads_another_parameter,
    reads_with_another_key,
    replicated,
    route_answers,
    rule_starts,
    seen_alarm,
    switch_answers,
    switch_reads,
    sync_decrypts,
    takeover_arms,
    takeover_sees_alarm,
    takeover_sets,
    takes_role,
    target_decrypts,
    uses_another_table,
    writes,
    wrong_function_assumes,
    wrong_role_assumes,
)
from permission_proof.stage import NAME, Stage

ANOTHER_ACCOUNT = "111111111111"
WrongValue = Callable[[Stage, Side], tuple[str, str]]


@dataclass(frozen=True)
class Claim:
    """How one right or condition is proven.

    Args:
        scenario: For an action, a request that passes with it and is refused without it. For a condition, a request
            that is refused with it and passes without it: an unintended one, or, with `wrong_value`, the intended one.
        wrong_value: Old and new text in the condition's value, where an unintended request cannot be made. With the new
            value, the condition refuses the intended request.
        hidden_by: Statements of the same policy that would hide this one. The proof removes them for both runs.
        about: The subject of the scenario, such as a parameter.
        outside: Requests for something else with the same action, which the policy as deployed refuses.
        basis: The sentence that the embedded AWS's refusal relies on, where a service acts without being called.
    """

    scenario: Scenario
    wrong_value: WrongValue | None = None
    hidden_by: tuple[str, ...] = ()
    about: Callable[[Row], str] = lambda _: ""
    outside: tuple[Scenario, ...] = ()
    basis: Basis | None = None


Claims = Mapping[tuple[str, str, str], Claim]


def _other_account(stage: Stage, _: str) -> tuple[str, str]:
    return stage.stack.aws.account_id, ANOTHER_ACCOUNT


def _other_region(stage: Stage, side: Side) -> tuple[str, str]:
    return stage.region(side), stage.region(stage.other(side))


def _parameter(row: Row) -> str:
    return (row.value or row.resource).partition(":parameter")[2]


def _statement(owner: str, sid: str, claims: Mapping[str, Claim]) -> dict[tuple[str, str, str], Claim]:
    return {(owner, sid, what): claim for what, claim in claims.items()}


FROM_ACCOUNT, FROM_ARN, LIKE_ARN = "StringEquals aws:SourceAccount", "ArnEquals aws:SourceArn", "ArnLike aws:SourceArn"
OF_FUNCTION = "ArnLike AWS:SourceArn"  # as Lambda writes it
VIA, FOR_PARAMETER = "StringEquals kms:ViaService", "StringEquals kms:EncryptionContext:PARAMETER_ARN"
_ROOT = ("AccountHasFullControl",)


def _function_role(purpose: str, owner: str) -> dict[tuple[str, str, str], Claim]:
    other = SYNC if purpose == MONITOR else MONITOR

    def log_of_other(operation: str, **more: Any) -> tuple[Scenario, ...]:
        def arguments(stage: Stage, side: Side) -> dict[str, Any]:
            return {"logGroupName": f"/aws/lambda/{stage.function(side, other)}", "logStreamName": NAME, **more}

        return (call("The role writes into the other function's log", owner, "logs", operation, arguments),)

    logged, events = log_written(purpose), [{"timestamp": 0, "message": "?"}]
    return {
        **_statement(
            owner,
            "AssumedByItsFunction",
            {
                "sts:AssumeRole": Claim(takes_role(purpose), basis=documented.LAMBDA_ASSUMES),
                FROM_ACCOUNT: Claim(
                    takes_role(purpose), wrong_value=_other_account, basis=documented.LAMBDA_NAMES_FUNCTION
                ),
                FROM_ARN: Claim(another_function_takes_role(purpose), basis=documented.LAMBDA_NAMES_FUNCTION),
            },
        ),
        **_statement(
            owner,
            "WriteOwnLog",
            {
                "logs:CreateLogStream": Claim(
                    logged, outside=log_of_other("create_log_stream"), basis=documented.LAMBDA_LOGS
                ),
                "logs:PutLogEvents": Claim(
                    logged, outside=log_of_other("put_log_events", logEvents=events), basis=documented.LAMBDA_LOGS
                ),
            },
        ),
    }


def _reads_of_another(owner: str, operation: str, *, other_region: bool) -> Scenario:
    text = "The role reads a parameter that is not ours"
    return call(text, owner, "ssm", operation, lambda _, __: {"Name": f"/{NAME}/x"}, other_region=other_region)


def _use_of_parameters(verb: str, owner: str, *, other_region: bool) -> dict[tuple[str, str, str], Claim]:
    key = (reads_with_another_key(owner, other_region=other_region),)
    read = compared if other_region else copied  # config sync replaces a value in the other region that it cannot read
    return {
        **_statement(
            owner,
            f"{verb}Parameters",
            {
                action: Claim(
                    read, about=_parameter, outside=(_reads_of_another(owner, operation, other_region=other_region),)
                )
                for action, operation in {
                    "ssm:GetParameter": "get_parameter",
                    "ssm:GetParameterHistory": "get_parameter_history",
                }.items()
            },
        ),
        **_statement(
            owner,
            f"{verb}ParametersWithKey",
            {
                "kms:Decrypt": Claim(read, outside=key),
                VIA: Claim(target_decrypts if other_region else sync_decrypts),
                FOR_PARAMETER: Claim(reads_another_parameter(owner, other_region=other_region)),
                f"each value of {FOR_PARAMETER}": Claim(copied, about=_parameter),
            },
        ),
    }


def _started(owner: str, purpose: str, **triggers: str) -> dict[tuple[str, str, str], Claim]:
    return {
        key: claim
        for sid, trigger in triggers.items()
        for key, claim in _statement(
            owner,
            sid,
            {
                "lambda:InvokeFunction": Claim(rule_starts(purpose, trigger), basis=documented.RULE_INVOKES),
                OF_FUNCTION: Claim(another_rule_starts(purpose), basis=documented.RULE_INVOKES),
            },
        ).items()
    }


_asks_another_table = call(
    "The role describes another table",
    "health monitor role",
    "dynamodb",
    "describe_table",
    lambda _, __: {"TableName": NAME},
)
_publishes_abroad = call(
    "The role publishes to the other region's topic",
    "health monitor role",
    "sns",
    "publish",
    lambda stage, side: {"TopicArn": stage.stack.value(f"{stage.other(side)}_sns_topic_arn"), "Message": "?"},
    other_region=True,
)


def _assumes_cross_region_role(owner: str) -> Scenario:
    def arguments(stage: Stage, side: Side) -> dict[str, Any]:
        return {"RoleArn": stage.policy("cross-region role", side, "trust").name, "RoleSessionName": NAME}

    return call(
        f"The {owner.removesuffix(' role')}'s role assumes the cross-region role",
        owner,
        "sts",
        "assume_role",
        arguments,
    )


def _scans(owner: str) -> Scenario:
    def arguments(stage: Stage, _: Side) -> dict[str, Any]:
        return {"TableName": stage.stack.value("dynamodb_table_name")}

    return call("The role reads all payments", owner, "dynamodb", "scan", arguments)


_switch_is_set = call(
    "The role sets the switch",
    "switch role",
    "dynamodb",
    "put_item",
    lambda stage, _: {
        "TableName": stage.stack.value("switch_table_name"),
        "Item": {"region": {"S": NAME}, "version": {"N": "1"}},
    },
)


def _queries_elsewhere(owner: str) -> tuple[Scenario, Scenario]:
    """The requests that read the switch, for something other than the switch."""

    def of_payments(stage: Stage, _: Side) -> dict[str, Any]:
        return {
            "TableName": stage.stack.value("dynamodb_table_name"),
            "KeyConditionExpression": "transaction_id = :id",
            "ExpressionAttributeValues": {":id": {"S": NAME}},
        }

    return (
        call("The role reads payments", owner, "dynamodb", "query", of_payments),
        call(
            "The role reads another table", owner, "dynamodb", "query", lambda _, __: {"TableName": NAME, **OF_SWITCH}
        ),
    )


_takeover_reads_another_region = call(
    "The role reads the switch of another region",
    "switch takeover role",
    "dynamodb",
    "query",
    lambda stage, _: {
        "TableName": stage.stack.value("switch_table_name"),
        **OF_SWITCH,
        "ExpressionAttributeValues": {":region": {"S": NAME}},
    },
)
_takeover_sets_another_region = takeover_sets("The role sets the switch of another region", NAME)
_takeover_writes_payment = call(
    "The role writes a payment",
    "switch takeover role",
    "dynamodb",
    "put_item",
    lambda stage, _: {"TableName": stage.stack.value("dynamodb_table_name"), "Item": PAYMENT_ITEM},
)
_takeover_sees_elsewhere = tuple(
    call(text, "switch takeover role", "cloudwatch", "describe_alarms", arguments, other_region=other_region)
    for text, arguments, other_region in (
        ("The role reads another alarm of the primary region", lambda *_: {"AlarmNames": [NAME]}, True),
        ("The role reads all alarms of the primary region", lambda *_: {}, True),
        (
            "The role reads an alarm of that name in its own region",
            lambda stage, side: {"AlarmNames": [seen_alarm(stage, side)]},
            False,
        ),
    )
)
_copied_buckets = (another_bucket_replicated,)


def _alarm_statement(basis: Basis) -> dict[str, Claim]:
    return {
        FROM_ACCOUNT: Claim(alarm_heard, wrong_value=_other_account, basis=basis),
        LIKE_ARN: Claim(alarm_heard, wrong_value=_other_region, basis=basis),
    }


# The claims of the stack with two-way documents.
CLAIMS: Claims = {
    **_function_role(MONITOR, "health monitor role"),
    **_statement(
        "health monitor role",
        "DescribeTable",
        {"dynamodb:DescribeTable": Claim(health_answers, outside=(_asks_another_table,))},
    ),
    **_statement(
        "health monitor role",
        "PublishAlerts",
        {"sns:Publish": Claim(monitor_mails, outside=(_publishes_abroad,))},
    ),
    **_statement(
        "health monitor role",
        "EncryptAlerts",
        {
            "kms:Decrypt": Claim(monitor_mails, outside=(publishes_with_another_key,)),
            "kms:GenerateDataKey": Claim(monitor_mails, outside=(publishes_with_another_key,)),
            VIA: Claim(monitor_asks_for_a_key),
        },
    ),
    **_function_role(SYNC, "config sync role"),
    **_use_of_parameters("Read", "config sync role", other_region=False),
    **_statement(
        "config sync role",
        "WriteToOtherRegion",
        {
            "sts:AssumeRole": Claim(copied, outside=(assumes_another_role,)),
            "ArnEquals lambda:SourceFunctionArn": Claim(wrong_function_assumes),
        },
    ),
    **_statement(
        "cross-region role",
        "AssumedByConfigSync",
        {"sts:AssumeRole": Claim(copied), "ArnEquals aws:PrincipalArn": Claim(wrong_role_assumes)},
    ),
    **_use_of_parameters("Write", "cross-region role", other_region=True),
    **_statement(
        "cross-region role",
        "WriteParameters",
        {
            "ssm:PutParameter": Claim(
                copied,
                about=_parameter,
                outside=(
                    writes("The role writes a parameter that is not ours", name=f"/{NAME}/x"),
                    writes("The role writes in the wrong region", other_region=False),
                ),
            )
        },
    ),
    **_statement(
        "cross-region role",
        "WriteParametersWithKey",
        {
            "kms:Encrypt": Claim(copied, outside=(writes("The role writes with another key", own_key=False),)),
            "kms:GenerateDataKey": Claim(
                copied_advanced,
                outside=(writes("The role writes with another key", own_key=False, tier="Advanced"),),
            ),
        },
    ),
    **_statement(
        "replication role",
        "AssumedByS3",
        {"sts:AssumeRole": Claim(replicated, basis=documented.S3_ASSUMES)},
    ),
    **{
        ("replication role", sid, action): Claim(replicated, outside=_copied_buckets, basis=basis)
        for sid, action, basis in (
            ("ReadReplicationSettings", "s3:GetReplicationConfiguration", documented.S3_SETTINGS),
            ("ReadReplicationSettings", "s3:ListBucket", documented.S3_SETTINGS),
            ("ReadSourceVersions", "s3:GetObjectVersionAcl", documented.S3_VERSIONS),
            ("ReadSourceVersions", "s3:GetObjectVersionForReplication", documented.S3_VERSIONS),
            ("ReadSourceVersions", "s3:GetObjectVersionTagging", documented.S3_TAGS),
            ("WriteReplicas", "s3:ReplicateObject", documented.S3_WRITES),
        )
    },
    **_statement("key", *_ROOT, {"kms:*": Claim(operator_describes)}),
    **_statement(
        "key",
        "SnsDeliversAlerts",
        {
            "kms:Decrypt": Claim(alarm_heard, basis=documented.SNS_ENCRYPTS),
            "kms:GenerateDataKey*": Claim(alarm_heard, basis=documented.SNS_ENCRYPTS),
            FROM_ACCOUNT: Claim(alarm_heard, wrong_value=_other_account, basis=documented.SNS_NAMES_ACCOUNT),
        },
    ),
    **_statement(
        "key",
        "AlarmsPublishToEncryptedTopic",
        {
            "kms:Decrypt": Claim(alarm_heard, basis=documented.ALARM_ENCRYPTS),
            "kms:GenerateDataKey*": Claim(alarm_heard, basis=documented.ALARM_ENCRYPTS),
            **_alarm_statement(documented.ALARM_ENCRYPTS),
        },
    ),
    **_statement(
        "key",
        "ParameterStoreEncryptsAndDecrypts",
        {
            "kms:Decrypt": Claim(operator_reads, hidden_by=_ROOT),
            "kms:Encrypt": Claim(operator_writes("Standard"), hidden_by=_ROOT),
            "kms:GenerateDataKey*": Claim(operator_writes("Advanced"), hidden_by=_ROOT),
            VIA: Claim(operator_encrypts, hidden_by=_ROOT),
            "StringEquals kms:CallerAccount": Claim(operator_reads, wrong_value=_other_account, hidden_by=_ROOT),
        },
    ),
    **_statement(
        "topic",
        "AlarmsPublish",
        {
            "sns:Publish": Claim(alarm_heard, basis=documented.ALARM_PUBLISHES),
            **_alarm_statement(documented.ALARM_PUBLISHES),
        },
    ),
    **_statement(
        "health monitor function",
        "AllowHealthRoute",
        {
            "lambda:InvokeFunction": Claim(health_answers),
            OF_FUNCTION: Claim(another_api_asks(MONITOR), basis=documented.API_INVOKES),
        },
    ),
    **_statement(
        "bucket",
        "TlsOnly",
        {"deny s3:*: Bool aws:SecureTransport": Claim(read_without_tls, about=lambda row: row.resource)},
    ),
    **_started("health monitor function", MONITOR, AllowSchedule=""),
    **_started("config sync function", SYNC, AllowChange="change", AllowReconcile="reconcile"),
}

_OF_KEYS, _HAS_KEYS = "ForAllValues:StringEquals dynamodb:LeadingKeys", "Null dynamodb:LeadingKeys"


def _no_keys(_: Stage, __: Side) -> tuple[str, str]:
    return "false", "true"


def _another_region(stage: Stage, side: Side) -> str:
    return of_region(stage, stage.other(side))


def _longer(stage: Stage, side: Side) -> str:
    return f"{of_region(stage, side)}-{NAME}"


def _payment(_: Stage, __: Side) -> str:
    return NAME


# The claims of the production preset, which has more rights.
PRODUCTION_CLAIMS: Claims = {
    **CLAIMS,
    **_statement(
        "health monitor function",
        "AllowPrivateHealthRoute",
        {
            "lambda:InvokeFunction": Claim(private_route_answers),
            OF_FUNCTION: Claim(another_api_asks(MONITOR), basis=documented.API_INVOKES),
        },
    ),
    **_function_role(CANARY, "data canary role"),
    **_statement(
        "data canary role",
        "WriteOwnItem",
        {
            "dynamodb:PutItem": Claim(
                canary_looks,
                outside=(
                    canary_writes("The role writes a payment", _payment),
                    canary_writes("The role writes the item of the other region's canary", _another_region),
                    canary_writes("The role writes an item whose key begins with that of its own item", _longer),
                    canary_writes("The role writes its item in the other region", of_region, other_region=True),
                    canary_uses_another_table("The role writes its item to another table", "put_item", "Item"),
                ),
            ),
            _OF_KEYS: Claim(canary_writes("The role writes a payment", _payment)),
            _HAS_KEYS: Claim(canary_looks, wrong_value=_no_keys),
        },
    ),
    **_statement(
        "data canary role",
        "ReadBothItems",
        {
            "dynamodb:GetItem": Claim(
                canary_looks,
                outside=(
                    canary_reads("The role reads a payment", _payment),
                    canary_reads("The role reads an item whose key begins with that of its own item", _longer),
                    canary_reads("The role reads its item in the other region", of_region, other_region=True),
                    canary_uses_another_table("The role reads its item from another table", "get_item", "Key"),
                ),
            ),
            _OF_KEYS: Claim(canary_reads("The role reads a payment", _payment)),
            f"each value of {_OF_KEYS}": Claim(canary_looks),
            _HAS_KEYS: Claim(canary_looks, wrong_value=_no_keys),
        },
    ),
    **_started("data canary function", CANARY, AllowSchedule=""),
    **_function_role(SWITCH, "switch role"),
    **_statement(
        "switch role",
        "ReadSwitch",
        {"dynamodb:Query": Claim(switch_reads, outside=_queries_elsewhere("switch role"))},
    ),
    **_statement(
        "switch function",
        "AllowSwitchRoute",
        {
            "lambda:InvokeFunction": Claim(switch_answers),
            OF_FUNCTION: Claim(another_api_asks(SWITCH), basis=documented.API_INVOKES),
        },
    ),
    **_function_role(TAKEOVER, "switch takeover role"),
    **_statement(
        "switch takeover role",
        "SetSwitch",
        {
            "dynamodb:Query": Claim(
                takeover_arms,
                outside=(_takeover_reads_another_region, *_queries_elsewhere("switch takeover role")),
            ),
            "dynamodb:PutItem": Claim(takeover_arms, outside=(_takeover_sets_another_region, _takeover_writes_payment)),
            _OF_KEYS: Claim(_takeover_sets_another_region),
            _HAS_KEYS: Claim(takeover_arms, wrong_value=_no_keys),
        },
    ),
    **_statement(
        "switch takeover role",
        "SeeAlarm",
        {"cloudwatch:DescribeAlarms": Claim(takeover_sees_alarm, outside=_takeover_sees_elsewhere)},
    ),
    **_started("switch takeover function", TAKEOVER, AllowSchedule=""),
}


def _uses_table(what: str, operation: str, **arguments: Any) -> tuple[Scenario, ...]:
    owner = "service role"

    def of_the_stack(stage: Stage, _: Side) -> dict[str, Any]:
        return {"TableName": stage.stack.value("dynamodb_table_name"), **arguments}

    return (
        call(f"The role {what} in the other region", owner, "dynamodb", operation, of_the_stack, other_region=True),
        uses_another_table(f"The role {what} in another table", owner, operation, lambda *_: arguments),
    )


# The claims of the example payments service. Another service has its own actions and routes.
SERVICE_CLAIMS: Claims = {
    **_function_role(SERVICE, "service role"),
    **_statement(
        "service role",
        "UseTable",
        {
            "dynamodb:PutItem": Claim(payment_taken, outside=_uses_table("writes", "put_item", Item=PAYMENT_ITEM)),
            "dynamodb:GetItem": Claim(payment_shown, outside=_uses_table("reads", "get_item", Key=PAYMENT_KEY)),
        },
    ),
    **{
        key: claim
        for sid, route in (("AllowPostPayments", POST_PAYMENTS), ("AllowGetPaymentsId", GET_PAYMENT))
        for key, claim in _statement(
            "service function",
            sid,
            {
                "lambda:InvokeFunction": Claim(route_answers(route)),
                OF_FUNCTION: Claim(another_api_asks(SERVICE, route), basis=documented.API_INVOKES),
            },
        ).items()
    },
}
ALL_CLAIMS: Claims = {**PRODUCTION_CLAIMS, **SERVICE_CLAIMS}

# Actions that a role must not have at all.
REFUSED: tuple[tuple[str, str, Scenario], ...] = (
    ("health monitor role", "sts:AssumeRole", _assumes_cross_region_role("health monitor role")),
    ("config sync role", "sts:AssumeRole", wrong_function_assumes),
)
ALL_REFUSED = (
    *REFUSED,
    ("data canary role", "sts:AssumeRole", _assumes_cross_region_role("data canary role")),
    ("data canary role", "dynamodb:Scan", _scans("data canary role")),
    ("service role", "sts:AssumeRole", _assumes_cross_region_role("service role")),
    ("service role", "dynamodb:Scan", _scans("service role")),
    ("switch role", "sts:AssumeRole", _assumes_cross_region_role("switch role")),
    ("switch role", "dynamodb:PutItem", _switch_is_set),
    ("switch takeover role", "sts:AssumeRole", _assumes_cross_region_role("switch takeover role")),
    ("switch takeover role", "dynamodb:Scan", _scans("switch takeover role")),
)
