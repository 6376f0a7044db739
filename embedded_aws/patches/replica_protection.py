"""UpdateTable does not delete a replica with deletion protection.

AWS: deletion protection is a property of each region's table, and nobody can delete a protected table
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html#WorkingWithTables.Basics.DeletionProtection).
A new replica is not protected, whatever its source is.

ministack 1.5.33: refuses DeleteTable on a protected table, and deletes a protected replica with UpdateTable.

Why it matters: Terraform deletes a replica with UpdateTable, before it deletes the table.
"""

from typing import Any

from ministack.core.responses import error_response_json, get_account_id  # type: ignore[import-untyped]
from ministack.services import dynamodb  # type: ignore[import-untyped]

_PROTECTED = (
    "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
)


def apply() -> None:
    """Reject the deletion of a protected replica."""
    update_replicas = dynamodb._apply_replica_updates

    def update(name: str, table: dict[str, Any], updates: list[dict[str, Any]]) -> Any:
        for each in updates:
            region = each.get("Delete", {}).get("RegionName")
            replica = region and dynamodb._tables.get_scoped(get_account_id(), region, name)
            if replica and replica.get("DeletionProtectionEnabled"):
                return error_response_json("ValidationException", _PROTECTED, 400)
        return update_replicas(name, table, updates)

    dynamodb._apply_replica_updates = update
