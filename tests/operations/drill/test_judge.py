"""What a drill makes of what it has seen."""

from pathlib import Path

import pytest

from drill import DrillError
from drill.actions import OUTAGES
from drill.client_dns import Turn
from drill.journal import Journal
from drill.judge import Course, Judge
from drill.rto import Settings
from tests.drill.stack import REGIONS


def test_a_region_that_served_without_a_switch_of_dns_leaves_the_drill_unable_to_tell(tmp_path: Path) -> None:
    course = Course(
        outage=OUTAGES["region"],
        settings=Settings(),
        began=10,
        recovered=300,
        ended=600,
        failed_over=True,
        failed_back=True,
        verdicts=[Turn(100, "primary", healthy=False)],
        switches=[Turn(5, "secondary")],  # before the outage
        expired=[Turn(130, "secondary")],
        served=[Turn(131, "secondary")],
        last_failure={},
    )
    judge = Judge(Journal(tmp_path, {"kind": "region"}), REGIONS, counted_how="counted", rto_how="measured")
    with pytest.raises(DrillError, match="served by the secondary region, and DNS was not seen to turn to it"):
        judge.judge(course)
