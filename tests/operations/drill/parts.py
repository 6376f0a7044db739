"""The parts of a drill, made of fakes."""

from dataclasses import replace
from typing import Any

from payment_dr.operations.drill.journal import PaymentRecord
from payment_dr.operations.drill.place import Place
from payment_dr.operations.route53.zone import Zone
from payment_dr.side import SIDES, Side
from tests.operations.stack import OUTPUTS, Stack, zone


class Maker:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.failing: dict[str, Any] = {}
        self.forbidden = False

    def fail(self, region: str, **fault: Any) -> None:
        self.failing[region] = fault

    def restore(self, region: str) -> None:
        del self.failing[region]

    def forbid_describe_table(self) -> None:
        self.forbidden = True

    def allow_describe_table(self) -> None:
        self.forbidden = False


def well() -> None:
    """The place is there."""


def place_on(stack: Stack, **others: Any) -> Place:
    """A place of which everything is well."""
    return Place(
        **{
            "name": "fakes",
            "stack": stack,
            "maker": Maker(),
            "buckets": {side: OUTPUTS[f"{side}_bucket_name"] for side in SIDES},
            "replication_lag": {"median": 0.5},
            "made_of": {"real": ["nothing"]},
            "versions": {"python": "3"},
            "check": well,
            **others,
        }
    )


def paid(at: float, region: str, *, acknowledged: bool = True, **others: Any) -> PaymentRecord:
    """An attempt to pay, as the drill's payments record it."""
    record: Any = {
        "id": f"dr-drill-1-local-{at}",
        "mode": "local",
        "region": region,
        "at": at,
        "done": at,
        "seconds": 0.01,
        "acknowledged": acknowledged,
        "confirmed": False,
        "phase": "secondary serves" if region == "us-west-2" else "steady",
    }
    made: PaymentRecord = record | others
    return made


def deployed_zone(
    *, weights: tuple[int, int] = (100, 0), side: Side = "primary", custom_domain: bool = False, **change: Any
) -> Zone:
    """The zone; one side's record may have other fields."""
    made = zone(weights, custom_domain=custom_domain)
    records = tuple(replace(record, **(change if record.set_identifier == side else {})) for record in made.records)
    return replace(made, records=records)
