"""What a drill makes of what it has seen."""

from pathlib import Path

import pytest

from payment_dr.operations.drill.client_dns import Turn
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.judge import Course, Judge
from payment_dr.operations.drill.outages import OUTAGES
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.recovery_time import Settings
from tests.operations.stack import REGIONS


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
    with pytest.raises(OperationError, match="served by the secondary region, and DNS was not seen to turn to it"):
        judge.judge(course)
