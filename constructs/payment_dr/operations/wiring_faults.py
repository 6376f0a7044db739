"""Finds faults in the parts of a deployed stack that work only when something happens, and that nobody misses before.

An alarm must reach its topic, a changed parameter the other region, and a document the other bucket. Each finding is a
sentence with the cause and the fix, for `dr status`. A finding is certain: see `policy_evaluation` for what is unknown.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeVar

from payment_dr.operations.aws import CannotTellError, NoAnswerError, asked, if_exists, listed
from payment_dr.operations.deployed import OF_A_TAKEOVER, Deployed
from payment_dr.operations.policy_evaluation import Document, Request, document_of, may, may_use
from payment_dr.side import OTHER, Side

T = TypeVar("T")
_APPLY = "run terraform apply"
# Terraform restores the policies of the stack, and leaves alone what somebody adds.
_RIGHTS = "run terraform apply, and remove what denies it"
_CLOUDWATCH, _EVENTS, _LAMBDA, _S3 = (f"{name}.amazonaws.com" for name in ("cloudwatch", "events", "lambda", "s3"))
_AWS_MANAGED = "alias/aws/"
_SCHEDULE, _CHANGE = "schedule", "change event"
# What AWS answers for something that does not exist.
_ABSENT = frozenset(
    {
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
        "NoSuchEntity",
        "NoSuchBucket",
        "ReplicationConfigurationNotFoundError",
    }
)


def _found(what: str, call: Callable[[], T]) -> T | None:
    return if_exists(what, call, _ABSENT)


def _readable(calls: Iterable[Callable[[], T]]) -> tuple[list[T], CannotTellError | None]:
    """What can be read, and why something could not: what is not the stack's, the rights of an operator leave out.

    Raises:
        NoAnswerError: AWS does not answer.
    """
    found, unread = list[T](), None
    for call in calls:
        try:
            found.append(call())
        except NoAnswerError:
            raise
        except CannotTellError as error:
            unread = error
    return found, unread


@dataclass(frozen=True)
class _Role:
    """A role, as far as it can be read.

    Attributes:
        trust: Who may assume it. None if it does not exist.
        policies: Its policies.
        unread: Why one of them could not be read. What it allows or denies is unknown.
    """

    arn: str
    trust: Document | None
    policies: Sequence[Document] = ()
    unread: CannotTellError | None = None

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    def may(self, request: Request) -> bool:
        return self._known(may(self.policies, request))

    def may_use(self, policy: Document, request: Request, account_id: str) -> bool:
        return self._known(may_use(policy, self.policies, request, account_id))

    def _known(self, is_allowed: bool) -> bool:
        if not is_allowed and self.unread:
            raise self.unread
        return is_allowed


@dataclass(frozen=True)
class _Key:
    """A key of a region, as far as a caller of another service meets it."""

    arn: str
    state: str
    policy: Document = field(default_factory=dict)

    def fault(self, region: str, purpose: str) -> str | None:
        """Why nobody can use it."""
        if self.state == "Enabled":
            return None
        name = f"the key {self.arn.rpartition('/')[2]} of {region}, which encrypts {purpose},"
        fixes = {
            "Disabled": "is disabled: run aws kms enable-key",
            "PendingDeletion": "is scheduled for deletion: run aws kms cancel-key-deletion, then enable-key",
            "": f"does not exist: {_APPLY}",
        }
        return f"{name} {fixes.get(self.state, f'is in the state {self.state}')}"


class WiringFaults:
    """The faults of a stack. Roles and keys that were read are kept.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: Deployed) -> None:
        self._stack, self._account_id = stack, stack.account_id
        self._role, self._key = cache(self._read_role), cache(self._read_key)

    def of_alerts(self, side: Side, alarms: Sequence[Mapping[str, Any]]) -> list[str]:
        """Why alarms of a region, or mails of its health function, reach nobody.

        Args:
            side: The region.
            alarms: Its alarms, as CloudWatch describes them.

        Raises:
            CannotTellError: A call failed.
        """
        return [
            *self._of_alarms(side, alarms),
            *self._of_topic(side, alarms),
            *self._of_runner(side, self._stack.output(side, "health_monitor_function_name"), self._peer_watch()),
            *self._of_takeover(side),
        ]

    def missing_alarms(self, alarms: Iterable[Mapping[str, Any]]) -> list[str]:
        """The alarms of the stack that exist in neither region.

        Args:
            alarms: Those of both regions, as CloudWatch describes them.
        """
        there = {each["AlarmName"] for each in alarms}
        names = [name for name in self._stack.outputs["alarm_names"] if name not in there]
        return [f"no region has {_first(names)}: {_APPLY}"] if names else []

    def of_config_sync(self, side: Side) -> list[str]:
        """Why parameters that change in a region would not be copied to the other one.

        Raises:
            CannotTellError: A call failed.
        """
        stack, other = self._stack, OTHER[side]
        function = stack.output(side, "config_sync_function_name")
        configured = self._settings(side, function)
        if configured is None:
            return [f"the function {function} of {stack.region(side)} does not exist: {_APPLY}"]
        expected = stack.outputs["lambda_execution_role_arns"][f"{side}_config_sync"]
        target_arn = stack.outputs["cross_region_role_arns"][f"{side}_to_{other}"]
        variables = {
            "TARGET_REGION": stack.region(other),
            "TARGET_KMS_KEY_ARN": stack.output(other, "kms_key_arn"),
            "CROSS_REGION_ROLE_ARN": target_arn,
        }
        found = [*_of_settings(function, configured, expected, variables)]
        found += self._of_runner(side, function, {_SCHEDULE, _CHANGE})
        if configured["Role"] != expected:  # which an operator may not read
            return found
        role, target = self._role(expected), self._role(target_arn)
        found += self._of_assuming(side, function, role, target)
        found += self._of_parameters(side, role, function, target=False)
        found += self._of_parameters(other, target, function, target=True)
        return found

    def of_documents(self, side: Side) -> list[str]:
        """Why documents of a region's bucket would not be copied to the other one.

        Raises:
            CannotTellError: A call failed.
        """
        stack, other = self._stack, OTHER[side]
        if side == "secondary" and not stack.has_two_way_documents:
            return []
        bucket, copies = (stack.output(each, "bucket_name") for each in (side, other))
        client = stack.client("s3", side)
        replication = _found(self._named("S3", side), lambda: client.get_bucket_replication(Bucket=bucket))
        configured = (replication or {}).get("ReplicationConfiguration", {})
        rules = [
            each
            for each in configured.get("Rules", [])
            if each["Destination"]["Bucket"] == f"arn:aws:s3:::{copies}" and _is_of_all(each)
        ]
        if not rules:
            return [f"no replication rule copies all documents of {bucket} to {copies}: {_APPLY}"]
        if all(each["Status"] != "Enabled" for each in rules):
            return [f"the replication rule {rules[0].get('ID')} of {bucket} is disabled: {_APPLY}"]
        return [
            *(each for at in (side, other) for each in self._of_versioning(at)),
            *self._of_replication_role(self._role(configured["Role"]), bucket, copies),
        ]

    def _of_versioning(self, side: Side) -> Iterator[str]:
        client, bucket = self._stack.client("s3", side), self._stack.output(side, "bucket_name")
        found = asked(self._named("S3", side), lambda: client.get_bucket_versioning(Bucket=bucket))
        if found.get("Status") != "Enabled":
            yield f"the bucket {bucket} keeps no versions, which replication needs: {_APPLY}"

    def _of_replication_role(self, role: _Role, bucket: str, copies: str) -> Iterator[str]:
        source, destination = (f"arn:aws:s3:::{each}" for each in (bucket, copies))
        if fault := _of_trust(role, _S3, {}):
            yield fault
            return
        wanted = {
            "s3:GetReplicationConfiguration": source,
            "s3:ListBucket": source,
            "s3:GetObjectVersionForReplication": f"{source}/receipt",
            "s3:ReplicateObject": f"{destination}/receipt",
        }
        if lacking := [action for action, arn in wanted.items() if not role.may(Request(action, arn))]:
            yield f"the role {role.name} lacks {_first(lacking)}, so no document of {bucket} is copied: {_RIGHTS}"

    def _of_alarms(self, side: Side, alarms: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        topic = self._stack.output(side, "sns_topic_arn")
        wrong: list[tuple[str, str, Callable[[Mapping[str, Any]], bool]]] = [
            (
                "actions are disabled on",
                "run aws cloudwatch enable-alarm-actions",
                lambda alarm: not alarm.get("ActionsEnabled", True),
            ),
            ("no action is set on", _APPLY, lambda alarm: not alarm.get("AlarmActions")),
            (f"no action publishes to {topic} on", _APPLY, lambda alarm: topic not in alarm.get("AlarmActions", [])),
        ]
        told = set[str]()
        for fault, fix, is_so in wrong:
            if names := [each["AlarmName"] for each in alarms if is_so(each) and each["AlarmName"] not in told]:
                told |= {*names}
                yield f"{fault} {_first(names)}: {fix}"

    def _of_topic(self, side: Side, alarms: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        stack, region = self._stack, self._stack.region(side)
        topic, client = stack.output(side, "sns_topic_arn"), stack.client("sns", side)
        found = _found(self._named("SNS", side), lambda: client.get_topic_attributes(TopicArn=topic))
        if found is None:
            yield f"the topic {topic} does not exist, so alarms of {region} reach nobody: {_APPLY}"
            return
        attributes, alarm = found["Attributes"], (alarms[0]["AlarmName"] if alarms else "any")
        # SNS's own policy of a topic names the account as AWS:SourceOwner, and alarms of the account may publish.
        # https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
        context = dict.fromkeys(("aws:SourceAccount", "aws:SourceOwner"), self._account_id) | {
            "aws:SourceArn": f"arn:aws:cloudwatch:{region}:{self._account_id}:alarm:{alarm}"
        }
        alarms_use = frozenset({_CLOUDWATCH})
        publish = Request("sns:Publish", topic, alarms_use, context)
        if not may([document_of(attributes["Policy"])], publish):
            yield f"the policy of the topic {topic} does not let alarms publish: {_APPLY}"
        role = self._role(stack.outputs["lambda_execution_role_arns"][f"{side}_health_monitor"])
        if not role.may(Request("sns:Publish", topic)):
            yield f"the role {role.name} lacks sns:Publish on {topic}, so the health function cannot mail: {_RIGHTS}"
        if key_id := attributes.get("KmsMasterKeyId"):
            yield from self._of_key_of_topic(side, key_id, alarms_use, context, role)

    def _of_key_of_topic(
        self, side: Side, key_id: str, alarms_use: frozenset[str], context: Mapping[str, str], role: _Role
    ) -> Iterator[str]:
        """What keeps an alarm, or the health function, from encrypting its message.

        https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services
        """
        region = self._stack.region(side)
        if key_id.rpartition(":")[2].startswith(_AWS_MANAGED):
            # https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns
            yield f"the topic of {region} is encrypted with {key_id}, which no alarm may use: {_APPLY}"
            return
        key = self._key(side, key_id)
        if fault := key.fault(region, "its alerts"):
            yield fault
            return
        used = ("kms:Decrypt", "kms:GenerateDataKey")
        if lacking := [each for each in used if not may([key.policy], Request(each, key.arn, alarms_use, context))]:
            yield f"the policy of the key {key.arn} does not let alarms {_first(lacking)}: {_APPLY}"
        through = {"kms:ViaService": f"sns.{region}.amazonaws.com", "kms:CallerAccount": self._account_id}
        if lacking := [each for each in used if not self._may_use_key(role, key, each, through)]:
            yield f"{_of_lacking_key(role, key, lacking)}, so the health function of {region} cannot mail: {_RIGHTS}"

    def _peer_watch(self) -> set[str]:
        # A stack of an earlier version has none.
        has_it = any("health-monitor-peer" in name for name in self._stack.outputs["alarm_names"])
        return {_SCHEDULE} if has_it else set()

    def _of_takeover(self, side: Side) -> list[str]:
        function = self._stack.outputs.get(OF_A_TAKEOVER)
        return [*self._of_runner(side, function, {_SCHEDULE})] if function and side == "secondary" else []

    def _of_runner(self, side: Side, function: str, wanted: set[str]) -> Iterator[str]:
        """What keeps the rules of a function from running it."""
        if not wanted:
            return
        stack, region = self._stack, self._stack.region(side)
        arn = f"arn:aws:lambda:{region}:{self._account_id}:function:{function}"
        events, lambda_ = stack.client("events", side), stack.client("lambda", side)
        what = self._named("EventBridge", side)
        names = asked(what, lambda: list(listed(events, "list_rule_names_by_target", "RuleNames", TargetArn=arn)))
        rules, unread = _readable(partial(asked, what, partial(events.describe_rule, Name=name)) for name in names)
        granted = _found(self._named("Lambda", side), lambda: lambda_.get_policy(FunctionName=function))
        policy = document_of(granted["Policy"]) if granted else {}
        for kind in sorted(wanted):
            of_kind = [each for each in rules if bool(each.get("ScheduleExpression")) == (kind == _SCHEDULE)]
            on = [each for each in of_kind if each["State"] != "DISABLED"]
            if any(self._may_invoke(policy, each["Arn"], arn) for each in on):
                continue
            if unread:  # one that is not the stack's may run it
                raise unread
            if not of_kind:
                yield f"no rule runs {function} on a {kind}: {_APPLY}"
            elif not on:
                yield f"the rule {of_kind[0]['Name']} is disabled, so it does not run {function}: {_APPLY}"
            else:
                yield f"{function} does not let the rule {on[0]['Name']} invoke it: {_APPLY}"

    def _may_invoke(self, policy: Document, rule: str, function: str) -> bool:
        context = {"aws:SourceArn": rule, "aws:SourceAccount": self._account_id}
        return may([policy], Request("lambda:InvokeFunction", function, frozenset({_EVENTS}), context))

    def _of_assuming(self, side: Side, function: str, role: _Role, target: _Role) -> list[str]:
        """Why Lambda cannot run the function as its role, or the function not assume that of the other region."""
        arn = f"arn:aws:lambda:{self._stack.region(side)}:{self._account_id}:function:{function}"
        by_lambda = {"aws:SourceArn": arn, "aws:SourceAccount": self._account_id}
        if fault := _of_trust(role, _LAMBDA, by_lambda):
            return [fault]
        if target.trust is None:
            return [f"the role {target.name} does not exist: {_APPLY}"]
        # aws:SourceArn is absent when the code of a function calls AssumeRole.
        # https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
        context = {"aws:PrincipalArn": role.arn, "lambda:SourceFunctionArn": arn}
        request = Request("sts:AssumeRole", target.arn, self._callers(role, function), context)
        if not role.may_use(target.trust, request, self._account_id):
            return [f"the role {role.name} may not assume {target.name}: {_RIGHTS}"]
        return []

    def _of_parameters(self, side: Side, role: _Role, function: str, *, target: bool) -> Iterator[str]:
        """What a role lacks to read the parameters of a region, and to write them if they are the target.

        Parameter Store calls KMS for its caller, with the parameter's ARN as encryption context.
        https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
        """
        if role.trust is None:
            return
        stack, region = self._stack, self._stack.region(side)
        keys = self._keys_of_parameters(side)
        used = [(name, key_id, "kms:Decrypt") for name, key_id in keys.items()]
        if target:
            used += [(name, stack.output(side, "kms_key_arn"), "kms:Encrypt") for name in keys]
        lacking = dict[str, str]()
        for name in keys:
            for action in ("GetParameter", "GetParameterHistory", *(("PutParameter",) if target else ())):
                if not role.may(Request(f"ssm:{action}", self._parameter(side, name))):
                    lacking.setdefault(f"ssm:{action}", name)
        if lacking:
            yield f"the role {role.name} lacks {_first([*lacking])} on {_first([*lacking.values()])}: {_RIGHTS}"
        told = set[str]()
        for name, key_id, action in used:
            if key_id.rpartition(":")[2].startswith(_AWS_MANAGED):
                # Its policy, which nobody can change, lets everybody in the account use it through Parameter Store.
                # https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
                continue
            key = self._key(side, key_id)
            fault = key.fault(region, f"the parameter {name}")
            context = {
                "kms:ViaService": f"ssm.{region}.amazonaws.com",
                "kms:CallerAccount": self._account_id,
                "kms:EncryptionContext:PARAMETER_ARN": self._parameter(side, name),
            }
            if not fault and not self._may_use_key(role, key, action, context, function):
                own = stack.output(side, "kms_key_arn")  # Terraform leaves the key of a parameter alone
                fix = _RIGHTS if key.arn == own else f"write it again with --key-id {own}"
                fault = f"{_of_lacking_key(role, key, [action])} for the parameter {name}: {fix}"
            if fault and key.arn not in told:  # one sentence for a key
                told.add(key.arn)
                yield fault

    def _keys_of_parameters(self, side: Side) -> dict[str, str]:
        """The key of each secret parameter that exists, as Parameter Store names it."""
        client, names = self._stack.client("ssm", side), list(self._stack.outputs["ssm_parameter_names"])
        wanted = [{"Key": "Name", "Option": "Equals", "Values": names}]
        found = asked(
            self._named("Parameter Store", side),
            lambda: list(listed(client, "describe_parameters", "Parameters", ParameterFilters=wanted)),
        )
        return {each["Name"]: each["KeyId"] for each in found if each.get("KeyId")}

    def _parameter(self, side: Side, name: str) -> str:
        return f"arn:aws:ssm:{self._stack.region(side)}:{self._account_id}:parameter{name}"

    def _may_use_key(self, role: _Role, key: _Key, action: str, context: Mapping[str, str], function: str = "") -> bool:
        request = Request(action, key.arn, self._callers(role, function), context)
        return role.may_use(key.policy, request, self._account_id)

    def _callers(self, role: _Role, function: str) -> frozenset[str]:
        """The names of a role, and of its session in a function, which has the function's name."""
        session = f"arn:aws:sts::{self._account_id}:assumed-role/{role.name}/{function}"
        return frozenset({role.arn, session})

    def _settings(self, side: Side, function: str) -> dict[str, Any] | None:
        """What Lambda has of a function, with its reserved concurrency. None if it does not exist."""
        client, what = self._stack.client("lambda", side), self._named("Lambda", side)
        found = _found(what, lambda: client.get_function_configuration(FunctionName=function))
        if found is None:
            return None
        return {**found, **asked(what, lambda: client.get_function_concurrency(FunctionName=function))}

    def _read_key(self, side: Side, key_id: str) -> _Key:
        client, what = self._stack.client("kms", side), self._named("KMS", side)
        found = _found(what, lambda: client.describe_key(KeyId=key_id))
        if found is None:
            return _Key(key_id, "")
        arn = found["KeyMetadata"]["Arn"]  # an alias has no policy
        policy = asked(what, lambda: client.get_key_policy(KeyId=arn, PolicyName="default"))["Policy"]
        return _Key(arn, found["KeyMetadata"]["KeyState"], document_of(policy))

    def _read_role(self, arn: str) -> _Role:
        client, name = self._stack.client("iam", "primary"), arn.rpartition("/")[2]
        found = _found("IAM", lambda: client.get_role(RoleName=name))
        if found is None:
            return _Role(arn, None)
        attached = asked(
            "IAM", lambda: list(listed(client, "list_attached_role_policies", "AttachedPolicies", RoleName=name))
        )
        inline = asked("IAM", lambda: list(listed(client, "list_role_policies", "PolicyNames", RoleName=name)))
        policies, unread = _readable(partial(self._attached, client, each["PolicyArn"]) for each in attached)
        policies += [self._inline(client, name, each) for each in inline]
        return _Role(arn, document_of(found["Role"]["AssumeRolePolicyDocument"]), tuple(policies), unread)

    def _inline(self, client: Any, role: str, name: str) -> Document:
        answer = asked("IAM", lambda: client.get_role_policy(RoleName=role, PolicyName=name))
        return document_of(answer["PolicyDocument"])

    def _attached(self, client: Any, arn: str) -> Document:
        version = asked("IAM", lambda: client.get_policy(PolicyArn=arn))["Policy"]["DefaultVersionId"]
        found = asked("IAM", lambda: client.get_policy_version(PolicyArn=arn, VersionId=version))
        return document_of(found["PolicyVersion"]["Document"])

    def _named(self, service: str, side: Side) -> str:
        return f"{service} in {self._stack.region(side)}"


def _of_settings(
    function: str, configured: Mapping[str, Any], role_arn: str, variables: Mapping[str, str]
) -> Iterator[str]:
    if configured["Role"] != role_arn:
        roles = [each.rpartition("/")[2] for each in (configured["Role"], role_arn)]
        yield f"{function} runs as the role {roles[0]}, not as {roles[1]}: {_APPLY}"
    if configured.get("ReservedConcurrentExecutions") == 0:
        yield f"{function} never runs, as its reserved concurrency is 0: run aws lambda delete-function-concurrency"
    given = configured.get("Environment", {}).get("Variables", {})
    if wrong := [name for name, value in variables.items() if given.get(name) != value]:
        yield f"{function} has another {_first(wrong)} than the stack: {_APPLY}"


def _of_trust(role: _Role, service: str, context: Mapping[str, str]) -> str | None:
    if role.trust is None:
        return f"the role {role.name} does not exist: {_APPLY}"
    if not may([role.trust], Request("sts:AssumeRole", role.arn, frozenset({service}), context)):
        return f"the role {role.name} does not trust {service}: {_APPLY}"
    return None


def _of_lacking_key(role: _Role, key: _Key, actions: Sequence[str]) -> str:
    return f"the role {role.name} may not {_first(actions)} with the key {key.arn}"


def _is_of_all(rule: Mapping[str, Any]) -> bool:
    """Whether a replication rule is about every document: its filter is empty, and so is the prefix of an old one."""
    chosen = rule.get("Filter", {})
    return not rule.get("Prefix") and not any(chosen.get(each) for each in ("Prefix", "Tag", "And"))


def _first(names: Sequence[str]) -> str:
    """The first name, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
