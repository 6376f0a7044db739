"""Reads and changes the switch in the standby region. Every call goes to that region.

The table holds one item for each change, see `handlers/lambda_switch.py`. A change is written only if nobody else has
written one since the last read. When two operators write at once, one write fails.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from payment_dr.operations.aws import asked
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.errors import OperationError

LONGEST_REASON = 500  # characters


class ChangedMeanwhileError(OperationError):
    """Somebody else changed the switch since it was read. Nothing was written."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of the switch.

    Attributes:
        version: Its number, 1 for the first.
        switched: Whether it sends clients to the standby region.
        at: When it was made, in seconds since 1970.
        until: When it ends by itself, in seconds since 1970. None: it does not.
        by: ARN of the credentials that made it.
        reason: Why, in the operator's words.
    """

    version: int
    switched: bool
    at: float
    until: float | None
    by: str
    reason: str

    def holds(self, now: float) -> bool:
        """Whether it sends clients to the standby region, at a time in seconds since 1970.

        Example:
            >>> change = Change(version=1, switched=True, at=0, until=60, by="arn", reason="test")
            >>> change.holds(59), change.holds(60)
            (True, False)
        """
        return self.switched and (self.until is None or now < self.until)

    def __str__(self) -> str:
        end = "without an end" if self.until is None else f"until {utc(self.until)}"
        return f"by {self.by} since {utc(self.at)}, {end}: {self.reason}"


def utc(seconds: float) -> str:
    """A time in words.

    Example:
        >>> utc(1_790_000_000)
        '2026-09-21 14:13:20 UTC'
    """
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def newest(stack: Deployed) -> Change | None:
    """The newest change of the switch. None if it was never set.

    Raises:
        CannotTellError: The table in the standby region could not be read.
    """
    found = history(stack, 1)
    return found[0] if found else None


def in_force(stack: Deployed, now: float) -> Change | None:
    """The change that sends clients to the standby region at a time in seconds since 1970, if there is one.

    Raises:
        CannotTellError: The table in the standby region could not be read.
    """
    found = newest(stack)
    return found if found and found.holds(now) else None


def history(stack: Deployed, count: int) -> list[Change]:
    """The latest changes of the switch, the newest first.

    Args:
        stack: A deployed stack that has a switch.
        count: Maximum number of changes.

    Raises:
        CannotTellError: The table in the standby region could not be read.
    """
    client = stack.client("dynamodb", "secondary")
    answer = asked(
        f"DynamoDB in {stack.region('secondary')}",
        lambda: client.query(
            TableName=stack.outputs["switch_table_name"],
            KeyConditionExpression="#region = :region",
            ExpressionAttributeNames={"#region": "region"},
            ExpressionAttributeValues={":region": {"S": stack.region("primary")}},
            ScanIndexForward=False,
            Limit=count,
            ConsistentRead=True,
        ),
    )
    return [_change(item) for item in answer["Items"]]


def change(
    stack: Deployed, before: Change | None, *, switched: bool, by: str, reason: str, seconds: float | None = None
) -> Change:
    """Change the switch.

    Args:
        stack: A deployed stack that has a switch.
        before: The newest change, as it was read.
        switched: Whether to send clients to the standby region.
        by: ARN of the credentials that change it.
        reason: Why.
        seconds: Seconds after which it ends by itself. None: it does not.

    Returns:
        The change that was written.

    Raises:
        ChangedMeanwhileError: There is a newer change than `before`.
        CannotTellError: DynamoDB rejects the call, or does not answer.
    """
    now = _milliseconds(time.time())
    made = Change(
        version=before.version + 1 if before else 1,
        switched=switched,
        at=now,
        until=None if seconds is None else _milliseconds(now + seconds),
        by=by,
        reason=reason[:LONGEST_REASON],
    )
    client = stack.client("dynamodb", "secondary")

    def write() -> bool:
        try:
            client.put_item(
                TableName=stack.outputs["switch_table_name"],
                Item=_item(stack.region("primary"), made),
                ConditionExpression="attribute_not_exists(version)",
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            return False
        return True

    # A write whose answer was lost is tried again by boto3, and meets itself then.
    if not asked(f"DynamoDB in {stack.region('secondary')}", write) and (there := newest(stack)) != made:
        raise ChangedMeanwhileError(
            f"somebody else changed the switch meanwhile: {there}", hint="run 'dr status', then decide again"
        )
    return made


def _milliseconds(seconds: float) -> float:
    """A time with the precision of the table."""
    return round(seconds * 1000) / 1000


def _item(region: str, made: Change) -> dict[str, Any]:
    item: dict[str, Any] = {
        "region": {"S": region},
        "version": {"N": str(made.version)},
        "switched": {"BOOL": made.switched},
        "at": {"N": str(round(made.at * 1000))},
        "by": {"S": made.by},
        "reason": {"S": made.reason},
    }
    if made.until is not None:
        item["until"] = {"N": str(round(made.until * 1000))}
    return item


def _change(item: Any) -> Change:
    return Change(
        version=int(item["version"]["N"]),
        switched=item["switched"]["BOOL"],
        at=int(item["at"]["N"]) / 1000,
        until=int(item["until"]["N"]) / 1000 if "until" in item else None,
        by=item["by"]["S"],
        reason=item["reason"]["S"],
    )
