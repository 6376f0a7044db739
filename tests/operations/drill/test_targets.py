"""What would make a target miss is said in the journal and on a page."""

from embedded_aws.deployment import PROJECT
from payment_dr.operations.drill.targets import MISSES_WHEN


def test_the_page_has_the_sentence_of_each_target_in_their_order() -> None:
    lines = (PROJECT / "docs/drill-targets.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
    assert [row[-1] for row in rows] == list(MISSES_WHEN.values())
