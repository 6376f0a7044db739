"""A table that has just seeded a replica cannot be deleted while the replica exists.

AWS: rejects DeleteTable in the region that a replica was seeded from, for 24 hours
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html). Once the replica is
deleted, the table can be deleted too (https://github.com/go-to-k/cdkd/issues/1442).

ministack 1.5.33: deletes it.

Why it matters: a destroy that deleted the table before its replica would work here and fail on AWS.
"""

import time
from typing import Any

from ministack.core.responses import (  # type: ignore[import-untyped]
    error_response_json,
    get_account_id,
    get_region,
)
from ministack.services import dynamodb  # type: ignore[import-untyped]

_SECONDS = 24 * 3600
_seeded: dict[tuple[str, str, str], float] = {}


def apply() -> None:
    """Record the table that seeds a replica, and reject its deletion."""
    update_replicas, delete_table = dynamodb._apply_replica_updates, dynamodb._delete_table

    def note(name: str, table: Any, updates: Any) -> Any:
        refused = update_replicas(name, table, updates)
        if refused is None and any("Create" in update for update in updates):
            _seeded[get_account_id(), get_region(), name] = time.time()
        return refused

    def delete(data: dict[str, Any]) -> Any:
        name = dynamodb._normalize_table_name(data.get("TableName"))
        key = get_account_id(), get_region(), name
        has_replicas = len(dynamodb._replica_group(dynamodb._tables.get(name) or {})) > 1
        if has_replicas and time.time() - _seeded.get(key, 0) < _SECONDS:
            return error_response_json(
                "ValidationException",
                "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to "
                "the table in the last 24 hours.",
                400,
            )
        return delete_table(data)

    dynamodb._apply_replica_updates = note
    dynamodb._delete_table = delete
