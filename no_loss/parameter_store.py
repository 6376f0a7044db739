"""An in-memory SSM Parameter Store, as far as config sync uses it, with what is easily got wrong about the real one.

Versions start at 1 again after a delete. A history keeps 100 versions, pages hold 50 at most, times have milliseconds,
an overwrite without a description keeps the old one and one without a key takes the AWS managed one, an advanced
parameter cannot become a standard one, and validation errors quote the value.
https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html

Whether an overwrite may change a parameter's type is not clear: the reference of PutParameter has an error for it, and
Terraform's provider does it. `type_may_change` says which of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from botocore.exceptions import ClientError

AWS_MANAGED_KEY = "alias/aws/ssm"
# boto3 answers in the local time zone of the machine: whoever forgets that should notice.
LOCAL_ZONE = timezone(timedelta(hours=-8))


@dataclass
class Clock:
    """The true time. Every region's own clock may differ from it by some milliseconds."""

    now_ms: int = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)
    offsets_ms: dict[str, int] = field(default_factory=dict)

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now_ms += milliseconds

    def now(self, region: str = "") -> datetime:
        """The time by a region's clock; the true time without one."""
        milliseconds = self.now_ms + self.offsets_ms.get(region, 0)
        return datetime.fromtimestamp(milliseconds // 1000, UTC) + timedelta(milliseconds=milliseconds % 1000)


@dataclass
class StoredVersion:
    """One version of a parameter."""

    number: int
    value: str
    type: str
    key_id: str
    tier: str
    description: str
    modified: datetime
    labels: list[str] = field(default_factory=list)


def api_error(operation: str, code: str, message: str = "", status: int = 400) -> ClientError:
    """An error as boto3 raises it."""
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


class ParameterStore:
    """One region's Parameter Store. Its methods answer as those of `boto3.client("ssm")` do."""

    def __init__(self, region: str, clock: Clock, *, versions_max: int = 100, page_max: int = 50) -> None:
        self.region = region
        self.parameters: dict[str, list[StoredVersion]] = {}
        self.on_change: Callable[[str, str, str], None] = lambda _region, _name, _operation: None
        self.lost_keys: set[str] = set()  # nothing that they encrypt can be decrypted
        self.type_may_change = True
        self._clock = clock
        self._versions_max, self._page_max = versions_max, page_max

    def value(self, name: str) -> str | None:
        """The current value, None if there is no such parameter."""
        history = self.parameters.get(name)
        return history[-1].value if history else None

    def put_parameter(
        self,
        *,
        Name: str,  # noqa: N803
        Value: str,  # noqa: N803
        Type: str | None = None,  # noqa: N803
        Description: str | None = None,  # noqa: N803
        KeyId: str = AWS_MANAGED_KEY,  # noqa: N803
        Tier: str | None = None,  # noqa: N803
        Overwrite: bool = False,  # noqa: N803
    ) -> dict[str, Any]:
        """As boto3's."""
        history = self.parameters.get(Name, [])
        previous = history[-1] if history else None
        if previous and not Overwrite:
            raise api_error("PutParameter", "ParameterAlreadyExists")
        tier = Tier or (previous.tier if previous else "Standard")
        if (
            ":" in Name
            or not 1 <= len(Value) <= (8192 if tier == "Advanced" else 4096)
            or len(Description or "") > 1024
        ):
            raise api_error("PutParameter", "ValidationException", f"Value '{Value}' failed to satisfy constraint")
        if previous is None and Type is None:
            raise api_error("PutParameter", "ValidationException", "A parameter type is required")
        if previous and Type not in (None, previous.type) and not self.type_may_change:
            raise api_error("PutParameter", "HierarchyTypeMismatchException")
        if previous and previous.tier == "Advanced" and tier == "Standard":
            raise api_error("PutParameter", "ValidationException", "You can't downgrade a parameter")
        if len(history) >= self._versions_max:
            if history[0].labels:
                raise api_error("PutParameter", "ParameterMaxVersionLimitExceeded")
            del history[0]
        version = StoredVersion(
            number=previous.number + 1 if previous else 1,
            value=Value,
            type=Type or (previous.type if previous else ""),
            key_id=KeyId if (Type or (previous and previous.type)) == "SecureString" else "",
            tier=tier,
            description=Description if Description is not None else previous.description if previous else "",
            modified=self._clock.now(self.region).astimezone(LOCAL_ZONE),
        )
        self.parameters[Name] = [*history, version]
        self.on_change(self.region, Name, "Update" if previous else "Create")
        return {"Version": version.number, "Tier": tier}

    def get_parameter(self, *, Name: str, WithDecryption: bool = False) -> dict[str, Any]:  # noqa: N803
        """As boto3's."""
        name, _, selector = Name.partition(":")
        history = self.parameters.get(name)
        if not history:
            raise api_error("GetParameter", "ParameterNotFound")
        found = [version for version in history if selector in ("", str(version.number), *version.labels)]
        if not found:
            raise api_error("GetParameter", "ParameterVersionNotFound")
        version = found[-1]
        if WithDecryption and version.key_id in self.lost_keys:
            raise api_error("GetParameter", "AccessDeniedException")
        return {
            "Parameter": {
                "Name": name,
                "Type": version.type,
                "Value": self._shown(name, version, WithDecryption),
                "Version": version.number,
                # No page says how each call rounds.
                "LastModifiedDate": version.modified.replace(microsecond=0),
                "ARN": f"arn:aws:ssm:{self.region}:111122223333:parameter{name}",
                "DataType": "text",
            }
        }

    def get_parameter_history(
        self,
        *,
        Name: str,  # noqa: N803
        WithDecryption: bool = False,  # noqa: N803
        MaxResults: int = 50,  # noqa: N803
        NextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        """As boto3's."""
        history = self.parameters.get(Name)
        if not history:
            raise api_error("GetParameterHistory", "ParameterNotFound")
        if not NextToken.isdigit() or not 1 <= MaxResults <= 50:
            raise api_error("GetParameterHistory", "InvalidNextToken")
        start, end = int(NextToken), int(NextToken) + min(MaxResults, self._page_max)
        entries: list[dict[str, Any]] = [
            {
                "Name": Name,
                "Type": version.type,
                **({"KeyId": version.key_id} if version.key_id else {}),
                "LastModifiedDate": version.modified,
                "LastModifiedUser": "arn:aws:iam::111122223333:user/someone",
                "Value": self._shown(Name, version, WithDecryption),
                "Version": version.number,
                "Labels": version.labels,
                "Tier": version.tier,
                "Policies": [],
                # DescribeParameters and GetParameterHistory leave an empty description out.
                **({"Description": version.description} if version.description else {}),
            }
            for version in history[start:end]
        ]
        return {"Parameters": entries, **({"NextToken": str(end)} if end < len(history) else {})}

    def delete_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
        """As boto3's."""
        if not self.parameters.pop(Name, None):
            raise api_error("DeleteParameter", "ParameterNotFound")
        self.on_change(self.region, Name, "Delete")
        return {}

    @staticmethod
    def _shown(name: str, version: StoredVersion, decrypted: bool) -> str:
        return (
            version.value if decrypted or version.type != "SecureString" else f"ciphertext of {name}:{version.number}"
        )
