"""How long the README's commands take on this machine, and how much of that is Terraform's own waiting."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.compare import PROJECT


@dataclass(frozen=True)
class Timing:
    """Seconds of a command, or of a step of it, and the target on two cores after set-up."""

    what: str
    seconds: float
    target: float


def timings(*, with_tests: bool) -> Iterator[Timing]:
    """Time `make drill`, its model and `make deploy-local`, and the tests if asked for; once each."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        seconds, _ = _timed(sys.executable, "-m", "embedded_aws", "drill", "--json", "--report-dir", folder)
    yield Timing("make drill", seconds, 150)
    seconds, _ = _timed(
        sys.executable,
        "-c",
        "from payment_dr.operations.route53 import recovery_time as r; r.distribution(r.Settings(), runs=10_000)",
    )
    yield Timing("10,000 simulated runs", seconds, 5)
    seconds, report = _timed(sys.executable, "-m", "embedded_aws", "deploy", "--json")
    yield Timing("make deploy-local", seconds, 90)
    yield Timing("terraform apply", json.loads(report)["steps"]["terraform apply"], 25)
    if with_tests:
        seconds, _ = _timed(sys.executable, "-m", "pytest", "-q")
        yield Timing("make test", seconds, 1800)


def _timed(*command: str) -> tuple[float, str]:
    started = time.monotonic()
    run = subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    return time.monotonic() - started, run.stdout
