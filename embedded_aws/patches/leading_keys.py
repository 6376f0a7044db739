"""The partition keys of the items that a DynamoDB call is about.

AWS: ``dynamodb:LeadingKeys`` is a condition key of every call about items, so that a policy can be for items whose
partition key is known (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html).

ministack 1.5.33: does not know the condition key; ``ForAllValues`` then holds for every item.

Why it matters: a principal that may write and delete only test items could write and delete payments.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from ministack.core import iam_actions  # type: ignore[import-untyped]
from ministack.services import dynamodb  # type: ignore[import-untyped]

_EQUALS = re.compile(r"([#\w.-]+)\s*=\s*(:\w+)")


def apply() -> None:
    """Pass the partition keys of the items to IAM."""
    dynamodb_service_context = iam_actions.dynamodb_service_context

    def context(body: bytes) -> Any:
        found = dynamodb_service_context(body)
        if found and (keys := list(_leading_keys(json.loads(body or b"{}")))):
            found["dynamodb:LeadingKeys"] = keys
        return found

    iam_actions.dynamodb_service_context = context


def _leading_keys(call: dict[str, Any]) -> Iterator[str]:
    for table, items in _items(call):
        name = _partition_key(table)
        yield from (str(value) for item in items if name in item for value in item[name].values())


def _items(call: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Items or keys by table, as the calls name them: one, several, or all that have a partition key."""
    table = str(call.get("TableName"))
    yield table, [call[each] for each in ("Item", "Key") if isinstance(call.get(each), dict)]
    names, values = call.get("ExpressionAttributeNames") or {}, call.get("ExpressionAttributeValues") or {}
    equal = _EQUALS.findall(call.get("KeyConditionExpression") or "")
    yield table, [{names.get(name, name): values[value]} for name, value in equal if value in values]
    for each, requests in (call.get("RequestItems") or {}).items():
        keys = requests.get("Keys", []) if isinstance(requests, dict) else []
        writes = requests if isinstance(requests, list) else []
        yield each, [*keys, *(what.get("Item") or what["Key"] for write in writes for what in write.values())]


def _partition_key(table: str) -> Any:
    found = dynamodb._tables.get(table.rpartition("/")[2])
    return found and found["pk_name"]
