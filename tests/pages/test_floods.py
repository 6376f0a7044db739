"""The table of docs/security.md: how long a flood takes to cause a failover."""

import copy
import random
from typing import Any

import pytest

from pages import floods
from pages.floods import BEGIN, END, Throttle, seconds_until_failover, throttle_of
from pages.synthesis import Template, stack_of


@pytest.fixture(scope="module")
def private() -> Template:
    """The stack with private probe routes."""
    return stack_of(private_probe_route=True)


def test_a_flood_of_the_public_route_fails_over_and_with_the_private_route_it_does_not(
    stack: Template, private: Template
) -> None:
    for seed in range(3):
        found = seconds_until_failover(throttle_of(stack, 1_000), seed)
        assert found is not None
        assert 60 < found < 600  # three answers in a row at least, an interval between each two
        assert seconds_until_failover(throttle_of(private, 1_000), seed) is None


def test_what_counts_is_the_route_that_route_53_probes_and_whether_its_throttle_is_its_own(private: Template) -> None:
    assert throttle_of(private, 500) == Throttle(200, 400, 0.0)
    shared: Any = copy.deepcopy(private)
    for stage in shared["resource"]["aws_apigatewayv2_stage"].values():
        del stage["route_settings"]
    assert throttle_of(shared, 500) == Throttle(200, 400, 500)
    guessed: Any = copy.deepcopy(private)
    for check in guessed["resource"]["aws_route53_health_check"].values():
        check["resource_path"] = "/health"
    assert throttle_of(guessed, 500) == Throttle(200, 400, 500)


def test_no_request_is_refused_before_the_bucket_is_empty_and_none_below_the_rate() -> None:
    rng = random.Random(1)  # noqa: S311
    flooded, below = Throttle(200, 400, 1_000), Throttle(200, 400, 200)
    assert all(flooded.serves(at / 1000, rng) for at in range(500))  # 400 / (1,000 - 200) s
    assert not all(flooded.serves(0.501, rng) for _ in range(100))
    assert all(below.serves(at, rng) for at in (-30.0, 0.0, 1e6))


@pytest.mark.parametrize("flood", [300, 500, 2_000])
def test_as_many_probes_are_served_as_by_a_bucket_whose_requests_are_simulated_one_by_one(flood: int) -> None:
    rng = random.Random(flood)  # noqa: S311
    throttle = Throttle(200, 400, flood)
    tokens, now, served, requests = 0.0, 0.0, 0, 40_000
    for _ in range(requests):
        gap = rng.expovariate(flood)
        now, tokens = now + gap, min(throttle.burst, tokens + gap * throttle.rate)
        if tokens >= 1:
            tokens, served = tokens - 1, served + 1
    modelled = sum(throttle.serves(1_000.0, rng) for _ in range(requests))
    assert modelled / requests == pytest.approx(served / requests, abs=0.015)


def test_a_page_without_its_marks_is_refused(stack: Template, private: Template) -> None:
    with pytest.raises(ValueError, match="the page lacks a line <!-- begin of what `make docs` writes: floods -->"):
        floods.written_into("# Security\n", stack, private)


def test_a_table_follows_the_throttle_and_the_rest_of_the_page_stays(stack: Template, private: Template) -> None:
    page = floods.written_into(f"before\n{BEGIN}stale\n{END}after\n", stack, private)
    assert (page.startswith(f"before\n{BEGIN}| "), page.endswith(f" |\n{END}after\n")) == (True, True)
    assert "| 1,000 | 80% | 2:" in page
    assert {line.split(" | ")[-1] for line in page.splitlines() if line.startswith(("| 2", "| 5"))} == {"never |"}
    higher: Any = copy.deepcopy(stack)
    for stage in higher["resource"]["aws_apigatewayv2_stage"].values():
        stage["default_route_settings"] = {"throttling_rate_limit": 2_000, "throttling_burst_limit": 4_000}
    assert "| 1,000 | 0% | never | never |" in floods.written_into(f"{BEGIN}{END}", higher, private)
