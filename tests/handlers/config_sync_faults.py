"""What docs/config-sync-faults.md expects of config sync."""

from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """A row of the table."""

    fault: str
    reports: str
    alarm: str
    minutes: str

    @property
    def value(self) -> float | None:
        """A ParameterDrift as the row has it; None if nothing is reported."""
        return {"0": 0.0, "above 0": 1.0, "nothing": None}[self.reports]

    @property
    def at_most(self) -> int:
        """Minutes until the alarm."""
        return int(self.minutes)


ROWS = [
    Row(*(cell.strip() for cell in line.strip("|").split("|")))
    for line in (Path(__file__).parents[2] / "docs/config-sync-faults.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| Fault ")
]
