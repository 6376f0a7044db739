"""What the stack costs: counted in it, by prices of one place."""

import copy
from typing import Any

import pytest

from pages import costs
from pages.costs import ASSUMPTIONS, EVERYWHERE, FREE, IDLE, PRICED, Line, estimate, regions, total
from pages.prices import PRICES
from pages.synthesis import Template, stack_of


@pytest.fixture(scope="module")
def stack() -> Template:
    return stack_of()


@pytest.fixture
def changed(stack: Template) -> Any:
    """A copy that a test may change."""
    return copy.deepcopy(stack)


def of(lines: list[Line], what: str) -> dict[str, float]:
    """Dollars of one line by place."""
    return {line.place: round(line.usd, 4) for line in lines if line.what == what}


def test_every_resource_type_has_a_price_or_a_reason_to_have_none(stack: Template) -> None:
    custom = stack_of(custom_domain=True)
    assert (stack["resource"].keys() | custom["resource"].keys()) - FREE.keys() - PRICED == set()
    assert FREE.keys() & PRICED == set()


def test_a_type_that_nobody_has_priced_is_named(changed: Any) -> None:
    changed["resource"]["aws_nat_gateway"] = {}
    with pytest.raises(KeyError, match=r"what do these cost\? .* aws_nat_gateway"):
        estimate(changed)


def test_lines_by_hand(stack: Template) -> None:
    lines = estimate(stack)
    assert of(lines, "hosted zone") == {EVERYWHERE: 0.5}
    assert of(lines, "health checks") == {EVERYWHERE: 2 * 0.75}
    assert of(lines, "encryption key") == {"us-east-1": 1, "us-west-2": 1}
    assert of(lines, "probes: API Gateway") == dict.fromkeys(("us-east-1", "us-west-2"), 1.314)  # 30 a minute
    # 30 probes a minute of 30 ms, one run of 30 ms a minute, one of 1 s in five minutes; 256 MB
    gb_seconds = 43_800 * (31 * 0.030 + 0.2) / 4
    assert of(lines, "probes and schedules: Lambda duration")["us-east-1"] == round(gb_seconds * 16.6667e-6, 4)
    # nine operations are summed by one alarm, which so looks at nine metrics
    assert of(lines, "alarms, by the metrics that they look at") == {"us-east-1": 2.1, "us-west-2": 1.9}
    assert of(lines, "documents sent to the other region") == {"us-east-1": 0.02, "us-west-2": 0}


@pytest.mark.parametrize(
    ("kind", "price"),
    [("aws_kms_key", "KMS key"), ("aws_route53_zone", "hosted zone"), ("aws_cloudwatch_metric_alarm", "alarm metric")],
)
def test_one_more_resource_costs_its_price(kind: str, price: str, stack: Template, changed: Any) -> None:
    found = changed["resource"][kind]
    found["one_more"] = next(each for each in found.values() if "metric_query" not in each)
    assert total(estimate(changed)) - total(estimate(stack)) == pytest.approx(PRICES[price].each)


def test_one_more_health_check_costs_its_option_too(stack: Template, changed: Any) -> None:
    checks = changed["resource"]["aws_route53_health_check"]
    checks["one_more"] = next(iter(checks.values()))
    assert total(estimate(changed)) - total(estimate(stack)) == pytest.approx(0.75 + 2.00)


def test_the_page_names_the_largest_line_and_adds_up(stack: Template) -> None:
    lines, page = estimate(stack), costs.render(stack)
    by_what: dict[str, float] = {}
    for line in lines:
        by_what[line.what] = by_what.get(line.what, 0) + line.usd
    assert f"The dominant line is **{max(by_what, key=lambda what: by_what[what])}**" in page
    assert f"About **${total(lines):.0f} a month**" in page
    sums = [total([line for line in lines if line.place == place]) for place in (*regions(stack), EVERYWHERE)]
    assert f"| **all** | {' | '.join(f'**{each:.2f}**' for each in sums)} | | |" in page


def test_levers_move_the_total_the_way_they_say(stack: Template) -> None:
    moved = {}
    for lever in costs.LEVERS:
        copied: Any = copy.deepcopy(stack)
        lever.change(copied)
        moved[lever.what] = total(estimate(copied)) - total(estimate(stack))
    assert moved["no point-in-time recovery"] == pytest.approx(-2 * 10 * 0.20)
    assert moved["`request_interval_seconds=10`"] > 4  # the option alone, for two checks
    assert moved["`custom_domain=True`"] < 0


def test_without_clients_only_what_runs_by_itself_costs(stack: Template) -> None:
    idle = {line.what for line in estimate(stack, IDLE) if line.quantity}
    assert {"health checks", "probes: API Gateway", "encryption key"} <= idle
    assert not any(what.startswith(("payments", "documents", "queries")) for what in idle)
    assert IDLE.probes == ASSUMPTIONS.probes
