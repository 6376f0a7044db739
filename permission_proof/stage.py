"""Where the scenarios run: the deployed stack, temporary resources around it, and the log of refusals."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.checks import CheckFailed
from embedded_aws.deployment import Deployment
from payment_dr.side import OTHER, SIDES, Side
from permission_proof.policies import Document, Policy, owners_of

NAME = "permission-proof"  # of every resource that exists only during the proof
DEADLINE_SECONDS = 20.0
_OPERATORS = ("kms:*", "ssm:*", "sts:AssumeRole", "s3:GetObject", "s3:ListBucket")  # rights of the role for people
_REFUSAL = re.compile(r"(\S+) is not authorized to perform: (\S+) on resource: (\S+)$", re.MULTILINE)


class NotPassed(Exception):  # noqa: N818 - a result of a scenario, not a fault of the program
    """The scenario did not complete. The text says where it stopped."""


@dataclass(frozen=True)
class Refusal:
    """An action that AWS refused: the principal, the action and the resource."""

    principal: str
    action: str
    resource: str


@dataclass(frozen=True)
class Outcome:
    """The result of one run of a scenario.

    Attributes:
        passed: Whether it completed.
        why: What stopped it.
        refusals: What AWS refused during the run.
    """

    passed: bool
    why: str
    refusals: tuple[Refusal, ...]


def refusals_in(text: str) -> tuple[Refusal, ...]:
    """The refusals in a text, such as a log or an error message, in AWS's words."""
    return tuple(Refusal(*found) for found in _REFUSAL.findall(text))


class Stage:
    """The deployed stack with its rules paused; a context manager that restores everything.

    Args:
        stack: The deployment.
        policies: Its policies, as deployed.

    Attributes:
        stack: The deployment.
    """

    def __init__(self, stack: Deployment, policies: Sequence[Policy]) -> None:
        self.stack = stack
        self._policies = {(policy.owner, policy.side, policy.part): policy for policy in policies}
        self._arns = {owner: arn for arn, owner in owners_of(stack).items()}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._other_keys: dict[str, str] = {}
        self._mark = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            for side in SIDES:
                opening.enter_context(self._rules_listen_to_nothing_else(side))
                opening.enter_context(self._other_key(side))
            opening.enter_context(self._operator())
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    # Finding things

    @staticmethod
    def other(side: Side) -> Side:
        """The other side."""
        return OTHER[side]

    def region(self, side: Side) -> str:
        """The region of a side."""
        return self.stack.region(side)

    def client(self, service: str, side: Side) -> Any:
        """A client with the rights of the account's root."""
        if ("", service, side) not in self._clients:
            self._clients["", service, side] = self.stack.client(service, side)
        return self._clients["", service, side]

    def policy(self, owner: str, side: Side, part: str = "policy") -> Policy:
        """One of the deployed policies."""
        return self._policies[owner, side, part]

    def function(self, side: Side, purpose: str) -> str:
        """Name of a function; the purpose is ``health_monitor``, ``config_sync``, ``data_canary`` or a switch's."""
        return self.function_arn(side, purpose).rpartition(":")[2]

    def function_arn(self, side: Side, purpose: str) -> str:
        """ARN of a function."""
        return self._arns[f"{purpose.replace('_', ' ')} function", side]

    def key(self, side: Side) -> str:
        """ARN of the side's key."""
        return str(self.stack.value(f"{side}_kms_key_arn"))

    def other_key(self, side: Side) -> str:
        """ARN of a key in the side's region that is not the stack's. Its policy lets the account's roles use it."""
        return self._other_keys[side]

    def parameters(self) -> list[str]:
        """Names of the parameters."""
        return list(self.stack.value("ssm_parameter_names"))

    def rule(self, side: Side, purpose: str, trigger: str = "") -> str:
        """ARN of the rule that starts a function. If it has two, the trigger is ``change`` or ``reconcile``."""
        target = self.function_arn(side, purpose)
        names = self.client("events", side).list_rule_names_by_target(TargetArn=target)["RuleNames"]
        (name,) = [name for name in names if trigger in name]
        return f"arn:aws:events:{self.region(side)}:{self.stack.aws.account_id}:rule/{name}"

    # Acting as a role

    def as_role(self, owner: str, side: Side, service: str, where: Side) -> Any:
        """A client with a session of one of the stack's roles, or of the ``operator``, in the region of a side.

        To get the session, the role trusts the account's root for a moment.
        """
        arn = self._operator_arn if owner == "operator" else self.policy(owner, side, "trust").name
        if (arn, service, where) not in self._clients:
            with self._trusting_root(owner, side):
                session = self.client("sts", side).assume_role(RoleArn=arn, RoleSessionName=NAME)["Credentials"]
            self._clients[arn, service, where] = self.stack.aws.client(service, self.region(where), session)
        return self._clients[arn, service, where]

    @contextmanager
    def _trusting_root(self, owner: str, side: Side) -> Iterator[None]:
        if owner == "operator":
            yield
            return
        trust = self.policy(owner, side, "trust")
        with trust.changed({**trust.document, "Statement": [*trust.document["Statement"], self._root_assumes]}):
            yield

    @property
    def _root(self) -> Document:
        return {"AWS": f"arn:aws:iam::{self.stack.aws.account_id}:root"}

    @property
    def _root_assumes(self) -> Document:
        return {"Effect": "Allow", "Principal": self._root, "Action": ["sts:AssumeRole"]}

    @contextmanager
    def also_may(self, owner: str, side: Side, action: str, resource: str) -> Iterator[None]:
        """Give a role one more right, which removes the layer that would hide the right to prove."""
        iam, role = self.client("iam", side), self.policy(owner, side, "trust").name.rsplit("/", 1)[1]
        document = _document({"Effect": "Allow", "Action": action, "Resource": resource})
        iam.put_role_policy(RoleName=role, PolicyName=NAME, PolicyDocument=document)
        try:
            yield
        finally:
            iam.delete_role_policy(RoleName=role, PolicyName=NAME)

    def invoke(self, side: Side, purpose: str, event: Mapping[str, Any]) -> Any:
        """Run a function and return its answer."""
        answer = self.client("lambda", side).invoke(
            FunctionName=self.function(side, purpose), Payload=json.dumps(event).encode()
        )
        payload = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise NotPassed(f"the function failed: {payload.get('errorMessage')}")
        return payload

    @contextmanager
    def restarted(self, side: Side, purpose: str, **variables: str) -> Iterator[None]:
        """Restart a function, which then remembers nothing, with other settings until the end."""
        lambda_, name = self.client("lambda", side), self.function(side, purpose)
        deployed = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]

        def restart(settings: Mapping[str, str]) -> None:
            lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": settings})

        restart({**deployed, **variables})
        try:
            yield
        finally:
            if variables:
                restart(deployed)

    @contextmanager
    def mailbox(self, side: Side, key_arn: str | None = None) -> Iterator[Callable[[str], bool]]:
        """Put a queue behind the side's topic, and yield a check whether a message with this text has arrived.

        Args:
            side: Whose topic.
            key_arn: Key that the queue is encrypted with.
        """
        sqs, sns = self.client("sqs", side), self.client("sns", side)
        everyone = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        attributes = {"Policy": _document(everyone), **({"KmsMasterKeyId": key_arn} if key_arn else {})}
        url = sqs.create_queue(QueueName=f"{NAME}-{uuid.uuid4()}", Attributes=attributes)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = self.stack.value(f"{side}_sns_topic_arn")
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
        try:
            yield lambda text: self.received(side, url, text)
        finally:
            sns.unsubscribe(SubscriptionArn=subscription)
            sqs.delete_queue(QueueUrl=url)

    def received(self, side: Side, queue_url: str, text: str) -> bool:
        """Whether a message with this text is in a queue. Messages that are read are removed."""
        sqs = self.client("sqs", side)
        messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
            "Messages", []
        )
        for message in messages:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return any(text in json.dumps(message) for message in messages)

    def fire(self, side: Side, rule_arn: str) -> None:
        """Make a rule fire."""
        entry = {"Source": NAME, "DetailType": NAME, "Detail": "{}", "Resources": [rule_arn]}
        self.client("events", side).put_events(Entries=[entry])

    # Watching

    def outcome(self, attempt: Callable[[], object]) -> Outcome:
        """Run a scenario once."""
        self._mark = len(self.stack.aws.log_text())
        try:
            attempt()
        except (NotPassed, CheckFailed, BotoCoreError, ClientError) as stop:
            return Outcome(False, str(stop), self.refusals())
        return Outcome(True, "", self.refusals())

    def refusals(self) -> tuple[Refusal, ...]:
        """What AWS has refused since the scenario began."""
        return refusals_in(self.stack.aws.log_text()[self._mark :])

    def expect(self, observe: Callable[[], bool], what: str, ignoring: str = "") -> None:
        """Wait for a condition. Fail as soon as AWS refuses something, unless the scenario includes that refusal."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not observe():
            refused = [refusal for refusal in self.refusals() if refusal.action != ignoring]
            if refused and not observe():
                raise NotPassed(f"{what}: not after {refused[0].action} was refused")
            if time.monotonic() > deadline:
                raise NotPassed(f"{what}: not within {DEADLINE_SECONDS:.0f} s")
            time.sleep(0.02)

    # Around the stack

    @contextmanager
    def _rules_listen_to_nothing_else(self, side: Side) -> Iterator[None]:
        """Make the rules fire only for the proof, so that no scheduled run interferes."""
        events = self.client("events", side)
        rules = events.list_rules()["Rules"]
        try:
            for rule in rules:
                pattern = json.dumps({"source": [NAME], "resources": [rule["Arn"]]})
                events.put_rule(Name=rule["Name"], EventPattern=pattern, Description=rule["Description"])
            yield
        finally:
            kept = ("Name", "Description", "EventPattern", "ScheduleExpression", "State")
            for rule in rules:
                events.put_rule(**{name: rule[name] for name in kept if name in rule})

    @contextmanager
    def _other_key(self, side: Side) -> Iterator[None]:
        kms = self.client("kms", side)
        policy = _document({"Effect": "Allow", "Principal": self._root, "Action": "kms:*", "Resource": "*"})
        self._other_keys[side] = kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
        try:
            yield
        finally:
            kms.schedule_key_deletion(KeyId=self._other_keys[side], PendingWindowInDays=7)

    @contextmanager
    def _operator(self) -> Iterator[None]:
        """Create a role that may use all parameters, keys, roles and documents as far as other policies allow."""
        iam = self.client("iam", "primary")
        role = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=_document(self._root_assumes))["Role"]
        self._operator_arn: str = role["Arn"]
        try:
            rights = _document({"Effect": "Allow", "Action": _OPERATORS, "Resource": "*"})
            iam.put_role_policy(RoleName=NAME, PolicyName=NAME, PolicyDocument=rights)
            yield
        finally:
            iam.delete_role_policy(RoleName=NAME, PolicyName=NAME)
            iam.delete_role(RoleName=NAME)


def _document(*statements: Document) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
