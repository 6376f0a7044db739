"""The timing of a failover: what is refused, what is warned of, and every page that states what follows from it."""

import ast
import doctest
import inspect
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_dr import DisasterRecoveryStack, DnsFailover, failover_timing
from payment_dr.data_canary import FAILOVER_SECONDS
from payment_dr.failover_timing import (
    ALIAS_TTL_SECONDS,
    FAILURE_THRESHOLD,
    HANGING_PROBE_SECONDS,
    RECORD_TTL_SECONDS,
    REQUEST_INTERVAL_SECONDS,
    RTO_TARGET_SECONDS,
    budget_seconds,
    mistakes_in_failover_timing,
    slowest_seconds,
    warnings_of_failover_timing,
)
from payment_dr.operations.route53.recovery_time import Settings, failover_bound

PROJECT = Path(__file__).resolve().parents[2]


def test_it_loads_without_node() -> None:
    code = "import payment_dr.failover_timing, sys; print([m for m in sys.modules if 'jsii' in m or 'cdktf' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_its_examples_are_right() -> None:
    found = doctest.testmod(failover_timing)
    assert (found.failed, found.attempted) == (0, 6)


class TestMistakes:
    @given(st.sampled_from([10, 30]), st.integers(1, 10), st.integers(0, 600), st.integers(30, 900))
    def test_a_budget_beyond_the_target_is_one_and_no_other(
        self, interval: int, threshold: int, ttl: int, target: int
    ) -> None:
        budget = interval * threshold + ttl
        assert budget_seconds(interval, threshold, ttl) == budget
        for each in (target, budget, budget - 1):
            assert bool(mistakes_in_failover_timing(interval, threshold, ttl, each)) == (budget > each)

    @pytest.mark.parametrize(
        ("timing", "mistake"),
        [
            ((30, 3, 91, 180), "is 181 s, beyond rto_target_seconds=180; lower ttl_seconds to 90 or less"),
            (
                (30, 6, 30, 180),
                "is 210 s, beyond rto_target_seconds=180; lower request_interval_seconds to 10 or failure_threshold",
            ),
            ((20, 3, 30, 180), "request_interval_seconds=20 is not 30 or 10; use a value such as 30"),
            ((10, 11, 30, 180), "failure_threshold=11 is not a whole number from 1 to 10; use a value such as 3"),
            ((10, 0, 30, 180), "failure_threshold=0 is not a whole number from 1 to 10; use a value such as 3"),
            ((30, 3, -1, 180), "ttl_seconds=-1 is not a whole number from 0 to 2,147,483,647; use a value such as 30"),
        ],
    )
    def test_each_says_what_to_change(self, timing: tuple[int, int, int, int], mistake: str) -> None:
        (found,) = mistakes_in_failover_timing(*timing)
        assert found.endswith(mistake)

    @pytest.mark.parametrize(
        ("timing", "mistake"),
        [
            (
                (30, 3, 30, 180),
                "ttl_seconds=30: with custom_domain the records are aliases, whose TTL of 60 is API Gateway's; "
                "leave it out",
            ),
            (
                (30, 5, None, 180),
                "request_interval_seconds=30 x failure_threshold=5 + the TTL of an alias, 60 is 210 s, "
                "beyond rto_target_seconds=180; lower request_interval_seconds to 10 or failure_threshold",
            ),
            (
                (30, 3, None, 149),
                "request_interval_seconds=30 x failure_threshold=3 + the TTL of an alias, 60 is 150 s, "
                "beyond rto_target_seconds=149; lower request_interval_seconds to 10 or failure_threshold",
            ),
        ],
    )
    def test_the_ttl_of_an_alias_counts_and_cannot_be_chosen(
        self, timing: tuple[int, int, int | None, int], mistake: str
    ) -> None:
        assert mistakes_in_failover_timing(*timing, custom_domain=True) == [mistake]


class TestAlarms:
    @given(st.integers(60, 600), st.integers(0, 600), st.integers(30, 900))
    def test_an_alarm_and_the_ttl_must_be_within_the_target_too(self, seconds: int, ttl: int, target: int) -> None:
        for each in (target, seconds + ttl, seconds + ttl - 1):
            without = mistakes_in_failover_timing(10, 1, ttl, each)
            found = mistakes_in_failover_timing(10, 1, ttl, each, alarm_seconds=seconds)
            assert len(found) - len(without) == (seconds + ttl > each)

    def test_one_shows_its_sum_and_what_to_change(self) -> None:
        assert mistakes_in_failover_timing(30, 3, 61, 180, alarm_seconds=120) == [
            "alarm_seconds=120 + ttl_seconds=61 is 181 s, beyond rto_target_seconds=180; lower ttl_seconds to 60 or "
            "less, or raise rto_target_seconds to 181"
        ]
        assert mistakes_in_failover_timing(30, 3, None, 180, custom_domain=True, alarm_seconds=120) == []


class TestWarnings:
    @given(st.sampled_from([10, 30]), st.integers(1, 10), st.integers(0, 600), st.integers(30, 900))
    def test_probes_that_all_hang_must_be_within_the_target_too(
        self, interval: int, threshold: int, ttl: int, target: int
    ) -> None:
        slowest = (interval + 6) * threshold + ttl
        assert slowest_seconds(interval, threshold, ttl) == slowest
        for each in (target, slowest, slowest - 1):
            assert bool(warnings_of_failover_timing(interval, threshold, ttl, each)) == (slowest > each)

    def test_one_shows_its_sum(self) -> None:
        assert warnings_of_failover_timing(30, 4, 60, 180) == [
            "when every probe hangs for 6 s, a failover takes up to (30 + 6) x 4 + 60 = 204 s, beyond "
            "rto_target_seconds=180; lower failure_threshold or request_interval_seconds"
        ]


@pytest.mark.parametrize("construct", [DisasterRecoveryStack, DnsFailover])
def test_the_defaults_of_a_construct_are_these(construct: type) -> None:
    parameters = inspect.signature(vars(construct)["__init__"]).parameters  # that of the class is jsii's
    expected = {
        "request_interval_seconds": REQUEST_INTERVAL_SECONDS,
        "failure_threshold": FAILURE_THRESHOLD,
        "ttl_seconds": None,  # RECORD_TTL_SECONDS, or ALIAS_TTL_SECONDS with a custom domain
        "rto_target_seconds": RTO_TARGET_SECONDS,
    }
    assert {name: parameters[name].default for name in expected} == expected


def bound(settings: Settings) -> str:
    return f"{failover_bound(settings).total:.1f}"


DETECTION = REQUEST_INTERVAL_SECONDS * FAILURE_THRESHOLD
NUMBERS = {
    "interval": REQUEST_INTERVAL_SECONDS,
    "threshold": FAILURE_THRESHOLD,
    "three": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"][FAILURE_THRESHOLD],
    "ttl": RECORD_TTL_SECONDS,
    "alias_ttl": ALIAS_TTL_SECONDS,
    "target": RTO_TARGET_SECONDS,
    "hang": HANGING_PROBE_SECONDS,
    "detection": DETECTION,
    "soonest": REQUEST_INTERVAL_SECONDS * (FAILURE_THRESHOLD - 1),  # between the first and the last failed probe
    "fast_detection": 10 * FAILURE_THRESHOLD,
    "budget": DETECTION + RECORD_TTL_SECONDS,
    "alias_budget": DETECTION + ALIAS_TTL_SECONDS,
    "half_canary": FAILOVER_SECONDS // 2,  # a run each minute, and a period of the alarm
    "canary_budget": FAILOVER_SECONDS + RECORD_TTL_SECONDS,
    "canary_alias_budget": FAILOVER_SECONDS + ALIAS_TTL_SECONDS,
    "bound": bound(Settings()),
    "hanging_bound": bound(Settings(failed_probe_seconds=HANGING_PROBE_SECONDS)),
    "alias_bound": bound(Settings(ttl_seconds=ALIAS_TTL_SECONDS)),
    "alias_hanging_bound": bound(Settings(ttl_seconds=ALIAS_TTL_SECONDS, failed_probe_seconds=HANGING_PROBE_SECONDS)),
}
TIMING_PROPS = (
    "| `request_interval_seconds` | `int` | `{interval}` |",
    "| `failure_threshold` | `int` | `{threshold}` |",
    "| `rto_target_seconds` | `int` | `{target}` |",
)
# Every sentence that states a number of the timing, by its page; of a module its docstrings are the page.
STATED: Mapping[str, Sequence[str]] = {
    "README.md": (
        "After {three} failed probes ({detection} s) Route 53 answers with the other region",
        "failover, bound of the model: computed {bound} s {target} s met",
        " s {target} s met",
        "plan.json: 1 change, target {target} s",
        "| failover within {target} s |",
        "By the settings {threshold} probes x {interval} s + TTL {ttl} s = {budget} s.",
        "[Bound of the model](docs/recovery-time.md) {bound} s, {hanging_bound} s if probes hang.",
        "With the custom domain (TTL {alias_ttl} s) {alias_bound} s and {alias_hanging_bound} s |",
        "alias records, whose TTL is {alias_ttl} s: {interval} x {threshold} + {alias_ttl} = {alias_budget} s.",
    ),
    "docs/architecture.svg": (
        "CNAME, TTL {ttl} s<",
        "GET /health every {interval} s<",
        "down after {threshold} failures<",
    ),
    "docs/costs.md": (
        "detection takes {fast_detection} s in place of {detection} s",
        "the TTL is {alias_ttl} s; queries of an alias of API Gateway are free",
    ),
    "docs/constructs/disaster_recovery_stack.md": (
        *TIMING_PROPS,
        "| Timing of the failover, see `DnsFailover`. Default {ttl}. |",
    ),
    "docs/constructs/dns_failover.md": (
        *TIMING_PROPS,
        "Leave room for a probe that times out (up to {hang} s), for the spread",
        "Fails at synth with `custom_domain`, because an alias has API Gateway's TTL of {alias_ttl} s.",
    ),
    "docs/deploy.md": (
        "expires at most {canary_budget} s later: up to {half_canary} s until the canary's next run, {half_canary} s "
        "for the alarm's period, and the TTL of {ttl} s. With a custom domain (TTL {alias_ttl} s) it is "
        "{canary_alias_budget} s.",
        "By the settings: {threshold} probes x {interval} s + TTL {ttl} s = {budget} s, or {alias_budget} s with a "
        "custom domain.",
    ),
    "docs/security.md": ("Route 53 fails over after at least {soonest} s of failing probes.",),
    "docs/upgrading.md": ("# {threshold} probes x {interval} s, and room",),
    "docs/put-your-service-behind-it.md": (
        "of a target of {target} s each.",
        "failover, bound of the model: computed {alias_bound} s {target} s met",
        " s {target} s met",
    ),
    "docs/runbook.md": (
        "Clients move after {three} probes, {detection} s, and the TTL of cached answers, {ttl} s "
        "({alias_ttl} s with a custom domain).",
    ),
    "examples/existing_api/README.md": ("Route 53, TTL {ttl} s",),
    "examples/payments_service/README.md": ("Route 53, alias, TTL {alias_ttl} s",),
    "examples/whole_stack/README.md": ("Route 53, TTL {ttl} s",),
    "constructs/payment_dr/dns_failover.py": (
        "Leave room for a probe that times out (up to {hang} s), for the spread",
        "10 or 30. Default {interval}. A change replaces both checks",
        "Failures in a row before a check is unhealthy. Default {threshold}.",
        "Fails at synth with `custom_domain`, because an alias has API Gateway's TTL of {alias_ttl} s.",
        "Maximum time for detection and the TTL together. Default {target}.",
    ),
    "constructs/payment_dr/stack.py": ("see `DnsFailover`. Default {interval}, {threshold}, {ttl} and {target}.",),
    "docs/gate.md": (
        "28 changes, target {target} s",
        "1 change, target {target} s",
        "leaves us-east-2 within 85 s, target {target} s",
        "The default is {target} s.",
        "the TTL expires, which is {alias_ttl} s for an alias of API Gateway",
    ),
    "constructs/payment_dr/operations/route53/recovery_time.py": (
        "With {interval} s, threshold {threshold} and TTL {ttl} that is {interval} x {threshold} + {ttl} = {budget} s, "
        "and what the probes and the write take: {bound} s with the times assumed in `Settings`, "
        "{hanging_bound} s when every probe hangs for the {hang} s that a checker allows.",
        ">>> round(failover_bound(Settings()).total, 1) {bound}",
        "found.bound < {target} True",
    ),
}
PAGES = sorted(
    str(path.relative_to(PROJECT))
    for pattern in ("*.md", "docs/**/*.md", "docs/*.svg", "examples/**/*.md", "constructs/payment_dr/**/*.py")
    for path in PROJECT.glob(pattern)
    if path.name != "recovery-time.md"  # generated: what other settings give
)


def page(path: str) -> str:
    """What a page says, without its line breaks; of a Python module what its docstrings say."""
    text = (PROJECT / path).read_text(encoding="utf-8")
    if path.endswith(".py"):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
        text = "\n".join(ast.get_docstring(node) or "" for node in nodes)
    return " ".join(text.split())


def with_any_numbers(sentence: str) -> str:
    """A pattern for a sentence, whatever its numbers are."""
    return "".join(
        re.escape(text) + (r"\w+(?:\.\d+)?" if field else "") for text, field, *_ in Formatter().parse(sentence)
    )


def test_every_page_states_the_timing_that_the_constants_give() -> None:
    stale = []
    for path, sentences in STATED.items():
        for sentence in sentences:
            expected = sentence.format(**NUMBERS)
            found = re.findall(with_any_numbers(sentence), page(path))
            stale += [
                f"{path} says {each!r}, which is {expected!r} now" for each in dict.fromkeys(found) if each != expected
            ]
            stale += [] if found else [f"{path} no longer says {expected!r}: name its new sentence in STATED"]
    assert not stale, "\n".join(stale)


def test_no_page_states_the_timing_elsewhere() -> None:
    """A sum, a TTL or one of the totals in a sentence that STATED does not have would go stale unseen."""
    totals = "|".join(str(NUMBERS[name]) for name in ("detection", "budget", "alias_budget", "target"))
    timing = rf"\b\d+ (?:probes )?[x\u00d7] \d+|\bTTL (?:is |of )?\(?\d+|\b(?:{totals}) (?:s|seconds)\b"
    unknown = []
    for path in PAGES:
        rest = page(path)
        for sentence in STATED.get(path, ()):
            rest = re.sub(with_any_numbers(sentence), " … ", rest)
        unknown += [f"{path}: {rest[max(0, m.start() - 60) : m.end() + 40]}" for m in re.finditer(timing, rest)]
    assert not unknown, "\n".join(unknown)
