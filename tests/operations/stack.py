"""A deployed stack of fakes, of which everything is well until a test says otherwise."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError

from handlers import lambda_switch
from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.deployed import HEALTH_PATH, Deployed
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.route53.zone import CalculatedCheck, HealthCheck, Record, Zone
from payment_dr.side import OTHER, SIDES, Side

REGIONS: dict[Side, str] = {"primary": "us-east-1", "secondary": "us-west-2"}
ACCOUNT = "123456789012"
SERVICES = frozenset(boto3.Session().get_available_services())
STREAM = f"arn:aws:dynamodb:us-west-2:{ACCOUNT}:table/transactions/stream/2026-11-26T00:00:00.000"
NAMES = ["/payment-app/dev/api-key", "/payment-app/dev/database-connection-string"]
OUTPUTS: dict[str, Any] = {
    "alarm_names": ["alarm-drift-east-dev", "alarm-drift-west-dev"],
    "application_fqdn": "app.pay.acme.io",
    "cross_region_role_arns": {
        f"{side}_to_{other}": f"arn:aws:iam::{ACCOUNT}:role/role-target-{other}" for side, other in OTHER.items()
    },
    "dynamodb_table_arn": f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/transactions",
    "dynamodb_table_name": "transactions",
    "hosted_zone_id": "Z1",
    "hosted_zone_name": "pay.acme.io",
    "hosted_zone_name_servers": ["ns-1.awsdns-01.org", "ns-2.awsdns-02.com"],
    "lambda_execution_role_arns": {
        f"{side}_{purpose}": f"arn:aws:iam::{ACCOUNT}:role/role-{purpose}-{side}"
        for side in SIDES
        for purpose in ("health_monitor", "config_sync")
    },
    "rto_target_seconds": 180,
    "ssm_parameter_names": NAMES,
    "ssm_parameter_values": dict.fromkeys(NAMES, "hunter2"),
    **{f"{side}_region": region for side, region in REGIONS.items()},
    **{f"{side}_api_id": side for side in SIDES},
    **{f"{side}_bucket_name": f"documents-{side}" for side in SIDES},
    **{f"{side}_api_endpoint": f"https://{side}.execute-api.{REGIONS[side]}.amazonaws.com" for side in SIDES},
    **{
        f"{side}_sns_topic_arn": f"arn:aws:sns:{region}:{ACCOUNT}:sns-dr-alerts-{side}"
        for side, region in REGIONS.items()
    },
    **{f"{side}_kms_key_arn": f"arn:aws:kms:{region}:{ACCOUNT}:key/{side}" for side, region in REGIONS.items()},
    **{f"{side}_config_sync_function_name": f"lambda-config-sync-{side}" for side in SIDES},
    **{f"{side}_health_check_id": f"check-{side}" for side in SIDES},
    **{f"{side}_health_monitor_function_name": f"lambda-health-monitor-{side}" for side in SIDES},
}
TARGETS = {f"{side}_target_name": f"d-{side}.execute-api.{region}.amazonaws.com" for side, region in REGIONS.items()}
TWO_WAY = {"s3_replication_back_role_arn": f"arn:aws:iam::{ACCOUNT}:role/iam-role-payment-docs-replication-west-dev"}
SWITCH = {"switch_table_name": "table-switch-west-dev", "switch_path": "/switch"}
GONE = EndpointConnectionError(endpoint_url="https://…")


def refusal(status: int, code: str = "AccessDeniedException") -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Anything")  # type: ignore[typeddict-item]


def host(side: Side) -> str:
    """The host of the API of a side's region."""
    return f"{side}.execute-api.{REGIONS[side]}.amazonaws.com"


def zone(weights: tuple[int, int] = (100, 0), *, custom_domain: bool = False) -> Zone:
    records = [
        Record(
            name="app.pay.acme.io",
            type="A" if custom_domain else "CNAME",
            ttl_seconds=60 if custom_domain else 30,
            values=(TARGETS[f"{side}_target_name"] if custom_domain else host(side),),
            routing="weighted",
            set_identifier=side,
            weight=weight,
            health_check_id=f"check-{side}",
        )
        for side, weight in zip(SIDES, weights, strict=True)
    ]
    checks = (HealthCheck(id=f"check-{side}", host=host(side), path="/health") for side in SIDES)
    return Zone("Z1", tuple(records), {check.id: check for check in checks})


def with_switch(zone: Zone) -> Zone:
    """The same zone, whose primary record follows the switch of the standby region too."""
    switch = HealthCheck(id="check-switch", host=host("secondary"), path="/switch", inverted=True)
    both = CalculatedCheck(id="check-calculated", children=(switch.id, "check-primary"), threshold=2)  # in no order
    first, *others = zone.records
    checks = {**zone.health_checks, switch.id: switch, both.id: both}
    return replace(zone, records=(replace(first, health_check_id=both.id), *others), health_checks=checks)


PRIVATE_PATH = "/health/s3cret"


def probed_privately(zone: Zone) -> Zone:
    """The same zone, whose health checks probe a private route."""
    return with_checks(zone, path=PRIVATE_PATH)


def with_checks(zone: Zone, *sides: Side, **change: Any) -> Zone:
    """The same zone, in which the health checks of these sides, or of both, have other fields."""
    checks = dict(zone.health_checks)
    for side in sides or SIDES:
        check = checks[f"check-{side}"]
        assert isinstance(check, HealthCheck)
        checks[check.id] = replace(check, **change)
    return replace(zone, health_checks=checks)


def subscription(endpoint: str, arn: str) -> dict[str, str]:
    return {"Protocol": "email", "Endpoint": endpoint, "SubscriptionArn": arn}


class Clock:
    """Time that passes only while somebody sleeps.

    Args:
        real_seconds: What a sleep takes of real time, however long it is: what is waited for may need some.
    """

    def __init__(self, real_seconds: float = 0.0) -> None:
        self.now, self._real_seconds = 1000.0, real_seconds

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(self._real_seconds)


OF_ACCOUNT = f"arn:aws:iam::{ACCOUNT}:root"


def allowing(action: str, **principal: Any) -> dict[str, Any]:
    """A policy that allows an action, of an identity if it names no principal."""
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Statement": [statement | ({"Principal": principal} if principal else {})]}


@dataclass
class Wired:
    """What the parts of the stack need from each other.

    Attributes:
        keys: What KMS says of a key, by the name that its user has for it. None: it does not exist.
        rules: The kinds of rules that run a function, by its name: "every" minute, or "on" an event.
        policies: What each attached policy says, or what IAM answers in place of that.
        more: A further policy of a role, by the role's name.
        inline: The inline policies of a role.
    """

    keys: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=lambda: {"own": allowing("*")})
    more: dict[str, str] = field(default_factory=dict)
    inline: dict[str, dict[str, Any]] = field(default_factory=dict)

    def attached(self, role: str) -> list[str]:
        return ["own", *([self.more[role]] if role in self.more else [])]


@dataclass
class Shard:
    """A shard of the stream of the secondary region's table, of which the oldest records may be gone."""

    records: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False
    trimmed: int = 0

    def check(self, start: int) -> None:
        if start < self.trimmed:
            raise refusal(400, "TrimmedDataAccessException")


class Stack(Deployed):
    """The stack, and what can be wrong with it.

    Attributes:
        failing: What a service in a region, or one operation of it, answers in place of the truth.
        reserved: Reserved concurrency of the health functions.
        passes: Whether the probe of a side passes, beyond its fence.
        replicates: Whether what is written in one region arrives in the other.
        syncs: Whether config sync copies what is written into Parameter Store of a side, when an event tells it.
        objects: What is in the bucket of each side, by key.
        written: When each object was written or deleted, in seconds, by side and key. Default: at 0.
        deleted: Keys that are deleted, by side.
        described: What CloudWatch says of an alarm beside its state, by the alarm's name.
        history: What became of the actions of an alarm, by its name.
        copies: Data points of the documents that failed and that wait, by the side of their source.
        hiccups: What a service in a region answers to an operation before it does what it should.
        shards: Those of the stream in the secondary region, by id.
        records_a_page: How many records an answer has.
        read_at_once: How many items an answer to BatchGetItem has.
        before_read: Called with the side before BatchGetItem answers.
        wired: What the parts of the stack need from each other.
        calls: Every call that changes something.
    """

    def __init__(
        self, *, live: bool = False, custom_domain: bool = False, two_way: bool = False, switch: bool = False
    ) -> None:
        more = (TARGETS if custom_domain else {}) | (TWO_WAY if two_way else {}) | (SWITCH if switch else {})
        super().__init__(OUTPUTS | more, None if live else "http://127.0.0.1:1")
        self.failing: dict[tuple[str, ...], Exception] = {}
        self.reserved: dict[str, int | None] = {"primary": None, "secondary": None}
        self.passes: dict[str, Callable[[], bool]] = {side: lambda: True for side in SIDES}
        self.fence_works = self.switch_works = True
        self.changes: list[dict[str, Any]] = []  # of the switch, the oldest first
        self.replicates = True
        self.syncs = dict.fromkeys(SIDES, True)
        self.tables = dict.fromkeys(SIDES, "ACTIVE")
        self.replicas = dict.fromkeys(SIDES, "ACTIVE")
        self.protected = dict.fromkeys(SIDES, False)
        self.parameters = {side: dict.fromkeys(NAMES, "hunter2") for side in SIDES}
        self.alarms = {side: {OUTPUTS["alarm_names"][number]: "OK"} for number, side in enumerate(SIDES)}
        self.described: dict[str, dict[str, Any]] = {}
        self.history: dict[str, list[str]] = {}
        self.latencies: dict[str, list[float]] = {side: [] for side in SIDES}
        self.items: dict[str, list[Any]] = {side: [] for side in SIDES}
        self.objects: dict[str, dict[str, bytes]] = {side: {} for side in SIDES}
        self.written: dict[tuple[str, str], float] = {}
        self.deleted: dict[str, set[str]] = {side: set() for side in SIDES}
        self.copies: dict[str, tuple[list[int], list[int]]] = {side: ([], []) for side in SIDES}
        self.subscriptions = {side: [subscription("oncall@acme.io", "arn:aws:sns:…:1")] for side in SIDES}
        self.answered: Iterator[list[str] | Exception] = iter(())  # by the zone's name servers
        self.hiccups: dict[tuple[str, ...], list[Exception]] = {}
        self.shards = {"shard-1": Shard()}
        self.records_a_page, self.read_at_once = 1000, 100
        self.before_read: Callable[[Side], None] = lambda _side: None
        self.table_size = (0, 0)  # items, and bytes
        self.asked: list[tuple[str, Side, Any]] = []  # of the table's data
        self.wired = Wired()
        self.calls: list[tuple[Any, ...]] = []
        self.account = ACCOUNT
        self.arn = f"arn:aws:iam::{ACCOUNT}:user/oncall"
        self.table_ids: dict[Side, str] = {"primary": "table-1", "secondary": "table-2"}
        self.zone = with_switch(zone(custom_domain=custom_domain)) if switch else zone(custom_domain=custom_domain)
        self.now = time.time

    def pay(
        self, name: str, *sides: Side, shard: str = "shard-1", at: float | None = None, **attributes: Any
    ) -> dict[str, Any]:
        """Write a payment in the secondary region, which has arrived on these sides; by default on both."""
        key = {"transaction_id": {"S": name}, "timestamp": {"N": "1"}}
        item = key | attributes
        for side in sides or SIDES:
            self.items[side] = [each for each in self.items[side] if not key.items() <= each.items()] + [item]
        self.record(key, shard=shard, at=at)
        return key

    def delete(self, key: dict[str, Any], *sides: Side) -> None:
        """Delete a payment in the secondary region; the deletion has arrived on these sides."""
        for side in sides:
            self.items[side] = [each for each in self.items[side] if not key.items() <= each.items()]
        self.record(key)

    def record(self, key: dict[str, Any], *, shard: str = "shard-1", at: float | None = None) -> None:
        """Add a record to the stream of the secondary region."""
        records = self.shards[shard].records
        time = datetime.fromtimestamp(self.now() if at is None else at, UTC)
        found = {"Keys": key, "ApproximateCreationDateTime": time, "SequenceNumber": str(len(records) + 1)}
        records.append({"dynamodb": found})

    def client(self, service: str, side: Side, *, seconds: float | None = None) -> Any:  # noqa: ARG002
        assert service in SERVICES
        return _Client(self, service, side)

    def answer(self) -> list[str]:
        """What a name server of the zone answers."""
        answer = next(self.answered)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def probe(self, check: HealthCheck) -> ProbeResult:
        """What a probe meets: the health function, in the region that has the host."""
        side = self.side_of_api(check.host)
        if side is None:
            raise CannotTellError(f"{check.host} is not known", hint="name a host of the stack")
        if self.has_switch and check.path == self.switch_path and side == "secondary":
            if ("dynamodb", "secondary") in self.failing:
                return ProbeResult(connect_seconds=0, response_seconds=0.1, status=500)
            item = self.changes[-1] if self.changes and self.switch_works else None
            return ProbeResult(
                connect_seconds=0,
                response_seconds=0.1,
                status=200 if lambda_switch.is_switched(item, int(self.now() * 1000)) else 503,
            )
        if check.path not in (HEALTH_PATH, PRIVATE_PATH):
            return ProbeResult(connect_seconds=0, status=404)
        passes = self.passes[side]() and not (self.fence_works and self.reserved[side] == 0)
        body = b'{"status": "healthy"}' if passes else b"{}"
        return ProbeResult(connect_seconds=0, response_seconds=0.1, status=200 if passes else 503, body=body)


class _Client:
    def __init__(self, stack: Stack, service: str, side: Side) -> None:
        self._stack, self._service, self._role = stack, service, side

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        answer = getattr(type(self), f"_{operation}")

        def call(*positional: Any, **arguments: Any) -> Any:
            for place in ((self._service, self._role), (self._service, self._role, operation)):
                if place in self._stack.failing:
                    raise self._stack.failing[place]
            if self._stack.hiccups.get((self._service, self._role, operation)):
                raise self._stack.hiccups[self._service, self._role, operation].pop(0)
            if operation.startswith(("put_", "delete_")):
                self._stack.calls.append((operation, self._role))
            return answer(self, *positional, **arguments)

        return call

    def _get_caller_identity(self) -> Any:
        return {"Account": self._stack.account, "Arn": self._stack.arn}

    def _describe_table(self, **_: Any) -> Any:
        other = OTHER[self._role]
        replicas = [{"RegionName": REGIONS[other], "ReplicaStatus": self._stack.replicas[self._role]}]
        protected = self._stack.protected[self._role]
        status = self._stack.tables[self._role]
        found = {"TableStatus": status, "Replicas": replicas, "DeletionProtectionEnabled": protected}
        items, size = self._stack.table_size
        keys = [{"AttributeName": "transaction_id"}, {"AttributeName": "timestamp"}]
        more = {"LatestStreamArn": STREAM, "KeySchema": keys, "ItemCount": items, "TableSizeBytes": size}
        return {"Table": {**found, **more, "TableId": self._stack.table_ids[self._role]}}

    def _describe_stream(self, **arguments: Any) -> Any:
        """A page for each shard."""
        assert (self._service, self._role, arguments.pop("StreamArn")) == ("dynamodbstreams", "secondary", STREAM)
        shards = list(self._stack.shards)
        if start := arguments.get("ExclusiveStartShardId"):
            shards = shards[shards.index(start) + 1 :]
        headers = {"date": formatdate(self._stack.now(), usegmt=True)}
        found: dict[str, Any] = {"Shards": [{"ShardId": each} for each in shards[:1]]}
        if shards[1:]:
            found["LastEvaluatedShardId"] = shards[0]
        return {"StreamDescription": found, "ResponseMetadata": {"HTTPHeaders": headers}}

    def _get_shard_iterator(self, **arguments: Any) -> Any:
        assert arguments.pop("StreamArn") == STREAM
        shard, last = arguments["ShardId"], arguments.get("SequenceNumber")
        if arguments["ShardIteratorType"] == "TRIM_HORIZON":
            return {"ShardIterator": f"{shard}:{self._stack.shards[shard].trimmed}"}
        assert (arguments["ShardIteratorType"], bool(last)) == ("AFTER_SEQUENCE_NUMBER", True)
        self._stack.shards[shard].check(int(last or 0))
        return {"ShardIterator": f"{shard}:{last}"}

    def _get_records(self, **arguments: Any) -> Any:
        shard, _, place = arguments["ShardIterator"].partition(":")
        self._stack.asked.append(("get_records", self._role, shard))
        found, start = self._stack.shards[shard], int(place)
        found.check(start)
        records = found.records[start : start + self._stack.records_a_page]
        end = start + len(records)
        more = not found.closed or end < len(found.records)
        return {"Records": records, **({"NextShardIterator": f"{shard}:{end}"} if more else {})}

    def _batch_get_item(self, **arguments: Any) -> Any:
        ((table, asked),) = arguments["RequestItems"].items()
        assert asked["ConsistentRead"]
        assert 0 < len(asked["Keys"]) == len({str(key) for key in asked["Keys"]}) <= 100
        self._stack.before_read(self._role)
        self._stack.asked.append(("batch_get_item", self._role, len(asked["Keys"])))
        keys, left = asked["Keys"][: self._stack.read_at_once], asked["Keys"][self._stack.read_at_once :]
        items = [item for item in self._stack.items[self._role] if any(key.items() <= item.items() for key in keys)]
        return {
            "Responses": {table: items},
            **({"UnprocessedKeys": {table: {**asked, "Keys": left}}} if left else {}),
        }

    def _scan(self, **arguments: Any) -> Any:
        """A page for each item of the segment."""
        assert (arguments["TableName"], arguments["ConsistentRead"]) == (OUTPUTS["dynamodb_table_name"], True)
        names = arguments["ExpressionAttributeNames"]
        assert arguments["ProjectionExpression"] == ", ".join(names)
        self._stack.asked.append(("scan", self._role, arguments["Segment"]))
        found = self._stack.items[self._role][arguments["Segment"] :: arguments["TotalSegments"]]
        keys = [{name: item[name] for name in names.values()} for item in found]
        if start := arguments.get("ExclusiveStartKey"):
            keys = keys[keys.index(start) + 1 :]
        return {"Items": keys[:1], **({"LastEvaluatedKey": keys[0]} if keys[1:] else {})}

    def _get_function_concurrency(self, **arguments: Any) -> Any:
        assert self._service == "lambda"
        if arguments["FunctionName"] == OUTPUTS[f"{self._role}_config_sync_function_name"]:
            return {}
        assert arguments == self._health_function
        reserved = self._stack.reserved[self._role]
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def _put_function_concurrency(self, **arguments: Any) -> None:
        self._stack.reserved[self._role] = arguments.pop("ReservedConcurrentExecutions")
        assert arguments == self._health_function

    @property
    def _health_function(self) -> dict[str, Any]:
        return {"FunctionName": OUTPUTS[f"{self._role}_health_monitor_function_name"]}

    def _delete_function_concurrency(self, **arguments: Any) -> None:
        assert arguments == self._health_function
        self._stack.reserved[self._role] = None

    def _get_parameters(self, **arguments: Any) -> Any:
        assert arguments["WithDecryption"] is True
        found = self._stack.parameters[self._role]
        return {"Parameters": [{"Name": n, "Value": found[n]} for n in arguments["Names"] if n in found]}

    def _get_parameter(self, **arguments: Any) -> Any:
        assert arguments["WithDecryption"]
        return {"Parameter": {"Value": self._stack.parameters[self._role][arguments["Name"]]}}

    def _describe_parameters(self, **arguments: Any) -> Any:
        (wanted,) = arguments["ParameterFilters"]
        assert wanted["Key"] == "Name"
        return {"Parameters": [{"Name": name, "KeyId": f"key-{self._role}"} for name in wanted["Values"]]}

    def _put_parameter(self, **arguments: Any) -> None:
        assert (arguments["Type"], arguments["KeyId"]) == ("SecureString", f"key-{self._role}")
        assert arguments["Overwrite"] is True
        for side in SIDES if self._stack.syncs[self._role] else [self._role]:
            self._stack.parameters[side][arguments["Name"]] = arguments["Value"]

    def _can_paginate(self, _operation: str) -> bool:
        return False

    def _list_subscriptions_by_topic(self, **arguments: Any) -> Any:
        assert arguments == {"TopicArn": OUTPUTS[f"{self._role}_sns_topic_arn"]}
        return {"Subscriptions": self._stack.subscriptions[self._role]}

    def _describe_alarms(self, **arguments: Any) -> Any:
        found = self._stack.alarms[self._role]
        return {
            "MetricAlarms": [
                {
                    "AlarmName": n,
                    "StateValue": found[n],
                    "AlarmActions": [OUTPUTS[f"{self._role}_sns_topic_arn"]],
                    **self._stack.described.get(n, {}),
                }
                for n in arguments["AlarmNames"]
                if n in found
            ]
        }

    def _describe_alarm_history(self, **arguments: Any) -> Any:
        assert arguments["HistoryItemType"] == "Action"
        found = self._stack.history.get(arguments["AlarmName"], [])
        return {"AlarmHistoryItems": [{"HistorySummary": each} for each in found]}

    def _get_topic_attributes(self, **arguments: Any) -> Any:
        assert arguments == {"TopicArn": OUTPUTS[f"{self._role}_sns_topic_arn"]}
        policy = allowing("sns:Publish", Service="cloudwatch.amazonaws.com")
        return {"Attributes": {"Policy": json.dumps(policy), "KmsMasterKeyId": f"key-{self._role}"}}

    def _describe_key(self, **arguments: Any) -> Any:
        key = self._stack.wired.keys.get(arguments["KeyId"], {"KeyState": "Enabled"})
        if key is None:
            raise refusal(400, "NotFoundException")
        return {"KeyMetadata": {"Arn": OUTPUTS[f"{self._role}_kms_key_arn"], **key}}

    def _get_key_policy(self, **arguments: Any) -> Any:
        assert arguments == {"KeyId": OUTPUTS[f"{self._role}_kms_key_arn"], "PolicyName": "default"}
        return {"Policy": json.dumps(allowing("kms:*", AWS=OF_ACCOUNT, Service="cloudwatch.amazonaws.com"))}

    def _list_rule_names_by_target(self, **arguments: Any) -> Any:
        function = arguments["TargetArn"].rpartition(":")[2]
        return {"RuleNames": [f"{function}-{kind}" for kind in self._stack.wired.rules.get(function, ("every", "on"))]}

    def _describe_rule(self, **arguments: Any) -> Any:
        name = arguments["Name"]
        kind = {"ScheduleExpression": "rate(1 minute)"} if name.endswith("every") else {"EventPattern": "{}"}
        return {"Name": name, "Arn": f"arn:aws:events:…:rule/{name}", "State": "ENABLED", **kind}

    def _get_policy(self, **_: Any) -> Any:
        if self._service == "iam":
            return {"Policy": {"DefaultVersionId": "v1"}}
        return {"Policy": json.dumps(allowing("lambda:InvokeFunction", Service="events.amazonaws.com"))}

    def _get_function_configuration(self, **arguments: Any) -> Any:
        other = OTHER[self._role]
        variables = {
            "TARGET_REGION": REGIONS[other],
            "TARGET_KMS_KEY_ARN": OUTPUTS[f"{other}_kms_key_arn"],
            "CROSS_REGION_ROLE_ARN": OUTPUTS["cross_region_role_arns"][f"{self._role}_to_{other}"],
        }
        role = OUTPUTS["lambda_execution_role_arns"][f"{self._role}_config_sync"]
        assert arguments["FunctionName"] == OUTPUTS[f"{self._role}_config_sync_function_name"]
        return {"Role": role, "Environment": {"Variables": variables}}

    def _get_role(self, **_: Any) -> Any:
        services = ["lambda.amazonaws.com", "s3.amazonaws.com"]
        return {"Role": {"AssumeRolePolicyDocument": allowing("sts:AssumeRole", AWS=OF_ACCOUNT, Service=services)}}

    def _list_attached_role_policies(self, **arguments: Any) -> Any:
        return {"AttachedPolicies": [{"PolicyArn": each} for each in self._stack.wired.attached(arguments["RoleName"])]}

    def _get_policy_version(self, **arguments: Any) -> Any:
        document = self._stack.wired.policies[arguments["PolicyArn"]]
        if isinstance(document, Exception):
            raise document
        return {"PolicyVersion": {"Document": document}}

    def _list_role_policies(self, **arguments: Any) -> Any:
        return {"PolicyNames": list(self._stack.wired.inline.get(arguments["RoleName"], {}))}

    def _get_role_policy(self, **arguments: Any) -> Any:
        return {"PolicyDocument": self._stack.wired.inline[arguments["RoleName"]][arguments["PolicyName"]]}

    def _get_bucket_replication(self, **_: Any) -> Any:
        copies = f"arn:aws:s3:::documents-{OTHER[self._role]}"
        rule = {"ID": "all-documents", "Status": "Enabled", "Filter": {}, "Destination": {"Bucket": copies}}
        role = f"arn:aws:iam::{ACCOUNT}:role/role-replication"
        return {"ReplicationConfiguration": {"Role": role, "Rules": [rule]}}

    def _get_bucket_versioning(self, **_: Any) -> Any:
        return {"Status": "Enabled"}

    def _get_metric_statistics(self, **arguments: Any) -> Any:
        if arguments["Namespace"] == "AWS/S3":
            return self._replication_metric(**arguments)
        assert {"Name": "ReceivingRegion", "Value": REGIONS[OTHER[self._role]]} in arguments["Dimensions"]
        assert arguments["Period"] == 60
        return {"Datapoints": [{"Average": latency} for latency in self._stack.latencies[self._role]]}

    def _replication_metric(self, **arguments: Any) -> Any:
        failed = arguments["MetricName"] == "OperationsFailedReplication"
        source = self._role if failed else OTHER[self._role]  # published in the region of the destination
        assert arguments["Dimensions"] == [
            {"Name": "SourceBucket", "Value": f"documents-{source}"},
            {"Name": "DestinationBucket", "Value": f"documents-{OTHER[source]}"},
            {"Name": "RuleId", "Value": "all-documents"},
        ]
        (statistic,) = arguments["Statistics"]
        assert statistic == ("Sum" if failed else "Maximum")
        points = self._stack.copies[source][0 if failed else 1]
        # CloudWatch gives data points in no order
        return {"Datapoints": [{statistic: point, "Timestamp": at} for at, point in reversed([*enumerate(points)])]}

    def _put_item(self, **arguments: Any) -> None:
        if arguments["TableName"] == SWITCH["switch_table_name"]:
            assert arguments["ConditionExpression"] == "attribute_not_exists(version)"
            item = arguments["Item"]
            if any(each["version"] == item["version"] for each in self._stack.changes):
                raise refusal(400, "ConditionalCheckFailedException")
            self._stack.changes.append(item)
            return
        if "ConditionExpression" in arguments:
            assert arguments["ConditionExpression"] == "attribute_not_exists(#key)"
            key = {name: arguments["Item"][name] for name in ("transaction_id", "timestamp")}
            if there := [each for each in self._stack.items[self._role] if key.items() <= each.items()]:
                refused = refusal(400, "ConditionalCheckFailedException")
                refused.response["Item"] = there[0]  # type: ignore[typeddict-unknown-key]
                raise refused
        for side in SIDES if self._stack.replicates else [self._role]:
            there, item = self._stack.items[side], arguments["Item"]
            key = {name: item[name] for name in ("transaction_id", "timestamp")}
            for other in [each for each in there if key.items() <= each.items() and each != item]:
                there.remove(other)
            if item not in there:  # written again, it is the same item
                there.append(item)

    def _get_item(self, **arguments: Any) -> Any:
        found = (item for item in self._stack.items[self._role] if arguments["Key"].items() <= item.items())
        return next(({"Item": item} for item in found), {})

    def _query(self, **arguments: Any) -> Any:
        if arguments["TableName"] == SWITCH["switch_table_name"]:
            assert self._role == "secondary"
            assert arguments["ExpressionAttributeValues"] == {":region": {"S": REGIONS["primary"]}}
            known = self._stack.changes if arguments.get("ConsistentRead") else self._stack.changes[:-1]
            return {"Items": known[::-1][: arguments["Limit"]]}
        assert arguments["ConsistentRead"]
        wanted = {"transaction_id": arguments["ExpressionAttributeValues"][":id"]}
        return {"Items": [item for item in self._stack.items[self._role] if wanted.items() <= item.items()]}

    def _delete_item(self, **arguments: Any) -> None:
        key = arguments["Key"]
        assert key["transaction_id"]["S"].startswith("dr-drill-")
        for side in SIDES:
            self._stack.items[side] = [item for item in self._stack.items[side] if not key.items() <= item.items()]

    def _put_object(self, **arguments: Any) -> Any:
        assert arguments["Bucket"] == OUTPUTS[f"{self._role}_bucket_name"]
        copied = self._stack.replicates and (self._role == "primary" or self._stack.has_two_way_documents)
        for side in SIDES if copied else [self._role]:
            self._stack.objects[side][arguments["Key"]] = arguments["Body"]
        return {"ETag": arguments["Body"].decode()}

    def _delete_object(self, **arguments: Any) -> None:
        assert arguments["Bucket"] == OUTPUTS[f"{self._role}_bucket_name"]
        del self._stack.objects[self._role][arguments["Key"]]  # S3 copies no deletion

    def _get_paginator(self, operation: str) -> "_Paginator":
        if operation == "scan":
            return _Paginator({"Items": list(self._stack.items[self._role])}, of={"ConsistentRead": True})
        objects, bucket = self._stack.objects[self._role], {"Bucket": OUTPUTS[f"{self._role}_bucket_name"]}
        if operation == "list_object_versions":
            return _Paginator(*self._versions(objects), of=bucket)
        assert operation == "list_objects_v2"
        contents = [{"Key": key, "ETag": body.decode()} for key, body in objects.items()]
        return _Paginator({"Contents": contents} if contents else {}, of=bucket)

    def _versions(self, objects: dict[str, bytes]) -> Iterator[dict[str, Any]]:
        """A page for every two keys, in the order of S3; what is not the latest must not count."""
        keys = sorted(objects.keys() | self._stack.deleted[self._role])
        for first in range(0, len(keys), 2):
            page: dict[str, Any] = {"Versions": []}
            for key in keys[first : first + 2]:
                seconds = self._stack.written.get((self._role, key), 0)
                latest = {"Key": key, "IsLatest": True, "LastModified": datetime.fromtimestamp(seconds, UTC)}
                before = {"ETag": "before", "LastModified": datetime.fromtimestamp(-1, UTC)}
                if key in self._stack.deleted[self._role]:
                    page.setdefault("DeleteMarkers", []).append(latest)
                else:
                    page["Versions"].append({**latest, "ETag": objects[key].decode()})
                page["Versions"].append({"Key": key, "IsLatest": False, **before})
            yield page

    def _read(self, _zone_id: str) -> Zone:
        return self._stack.zone


class _Paginator:
    """Gives these pages of what it must be asked for."""

    def __init__(self, *pages: dict[str, Any], of: dict[str, Any] | None = None) -> None:
        self._pages, self._of = pages, of or {}

    def paginate(self, **arguments: Any) -> list[dict[str, Any]]:
        assert self._of.items() <= arguments.items()
        return list(self._pages)
