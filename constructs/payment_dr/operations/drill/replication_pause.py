"""Pausing replication of the deployed table with AWS Fault Injection Service, by an experiment template of the user's.

A fence leaves replication as it is, so a live drill loses nothing, whatever a client does. With replication paused, it
shows what a client loses whose region is cut off. The action denies DynamoDB's replication role the table and its
stream until a time that stands in the statement itself, so AWS ends it even if nobody stops the experiment. Replication
may go on for up to five minutes after it has begun
(https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html#dynamodb-actions-reference). It costs $0.10
a minute (https://aws.amazon.com/fis/pricing/).
"""

import re
import time
import uuid
from typing import Any

from botocore.exceptions import ClientError

from payment_dr.operations.aws import asked
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.errors import OperationError

ACTION = "aws:dynamodb:global-table-pause-replication"
RESOURCE_TYPE = "aws:dynamodb:global-table"
# A replica whose replication is denied for more than 20 hours becomes a table of its own, for good:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html
LONGEST_SECONDS = 3600.0
SHORTEST_SECONDS = 900.0  # five minutes until it takes effect, and the outage after that
TAKES_EFFECT_SECONDS = 300.0  # "Tables may continue to be replicated for up to 5 minutes after action begins"
STATUS_SECONDS = 120.0  # in which an experiment starts, or ends once it is stopped
POLL_SECONDS = 2.0
# https://docs.aws.amazon.com/fis/latest/APIReference/API_ExperimentState.html
ENDED = ("completed", "stopped", "failed", "cancelled")


class ReplicationPause:
    """An experiment that pauses replication of the table in both directions.

    Args:
        stack: The deployed stack.
        template_id: The experiment template in the primary region, ``EXT…``.

    Attributes:
        template_id: As given.

    Example:
        >>> pause = ReplicationPause(stack, "EXT1a2b3c4d5e6f7")  # doctest: +SKIP
        >>> pause.seconds()  # doctest: +SKIP
        1200.0
    """

    def __init__(self, stack: Deployed, template_id: str) -> None:
        self.template_id = template_id
        self._stack, self._experiment = stack, ""
        self._token: str | None = None  # of a start that AWS may have taken

    def seconds(self) -> float:
        """How long the template pauses replication, in seconds.

        Raises:
            OperationError: It does anything else, or for less than 15 or more than 60 minutes.
        """
        template = self._ask(lambda fis: fis.get_experiment_template(id=self.template_id))["experimentTemplate"]
        actions, targets = list(template["actions"].values()), list(template["targets"].values())
        table = str(self._stack.outputs["dynamodb_table_arn"])
        found = None
        if [action["actionId"] for action in actions] == [ACTION]:
            found = _seconds_of(actions[0].get("parameters", {}).get("duration", ""))
        aims = [(target["resourceType"], target.get("resourceArns")) for target in targets]
        if found is None or aims != [(RESOURCE_TYPE, [table])]:
            raise OperationError(
                f"the experiment template {self.template_id} is not {ACTION} of {table} alone",
                hint="give it this one action and this one target, see docs/game-day.md",
            )
        if not SHORTEST_SECONDS <= found <= LONGEST_SECONDS:
            raise OperationError(
                f"the experiment template {self.template_id} pauses replication for {found / 60:g} minutes",
                hint=f"give it {SHORTEST_SECONDS / 60:g} to {LONGEST_SECONDS / 60:g} minutes: long enough for the "
                "outage, and soon over if nobody is there to stop it",
            )
        return found

    def start(self) -> None:
        """Start the experiment and wait until it runs; that replication has stopped is to be seen in the tables.

        Raises:
            OperationError: AWS refused, did not answer, or the experiment does not run.
        """
        self._token = str(uuid.uuid4())
        self._experiment = self._started()
        self._await(("running",))

    def stop(self) -> None:
        """Stop the experiment and wait until it has ended. One that has ended, or never started, is left alone.

        Raises:
            OperationError: AWS refused, did not answer, or the experiment goes on.
        """
        if not self._experiment:
            if self._token is None:
                return
            self._experiment = self._started()  # the answer was lost; the same token gives the same experiment
        if self._status()[0] not in ENDED:
            self._ask(lambda fis: fis.stop_experiment(id=self._experiment))
            self._await(ENDED)

    @property
    def hint(self) -> str:
        """How an operator stops it."""
        region = self._stack.region("primary")
        return f"aws fis stop-experiment --region {region} --id {self._experiment or 'EXP…'}; AWS ends it by itself"

    def _started(self) -> str:
        try:
            answer = self._ask(
                lambda fis: fis.start_experiment(clientToken=self._token, experimentTemplateId=self.template_id)
            )
        except OperationError as error:
            if isinstance(error.__cause__, ClientError) and _is_rejection(error.__cause__):
                self._token = None  # nothing was started
            raise
        return str(answer["experiment"]["id"])

    def _status(self) -> tuple[str, str]:
        state = self._ask(lambda fis: fis.get_experiment(id=self._experiment))["experiment"]["state"]
        return state["status"], state.get("reason", "")

    def _await(self, wanted: tuple[str, ...]) -> None:
        deadline = time.monotonic() + STATUS_SECONDS
        while True:
            status, reason = self._status()
            if status in wanted:
                return
            if status in ENDED or time.monotonic() > deadline:
                raise OperationError(f"the experiment {self._experiment} is {status}: {reason}", hint=self.hint)
            time.sleep(POLL_SECONDS)

    def _ask(self, call: Any) -> Any:
        client = self._stack.client("fis", "primary")
        return asked(f"AWS FIS in {self._stack.region('primary')}", lambda: call(client))


def _is_rejection(error: ClientError) -> bool:
    return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500)


def _seconds_of(duration: str) -> float | None:
    """Seconds of an ISO 8601 duration as FIS takes it, such as PT20M or PT1H; None if it is none."""
    parts = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration)
    if not parts or not any(parts.groups()):
        return None
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return float(hours * 3600 + minutes * 60 + seconds)
