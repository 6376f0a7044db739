"""Times the README's commands and their parts on this machine, and finds what each part waits for."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare import PROJECT
from embedded_aws.deployment import Deployment
from embedded_aws.drill import place_of
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.owned_directory import OwnedDirectory
from payment_dr.operations.terraform.runner import ResourceEvent

SHORT_SECONDS = 1.0  # a resource that is created faster is not a phase


@dataclass(frozen=True)
class Timing:
    """The duration of a command, or of a part of it, and its target on two cores after set-up.

    Attributes:
        what: The command or part.
        seconds: Its duration.
        target: The longest allowed duration, in seconds.
        phases: The durations of its parts, in order.
    """

    what: str
    seconds: float
    target: float
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether it is within the target."""
        return self.seconds <= self.target


class CriticalPath:
    """The chain of resources that an apply waits for. Pass it to a deployment as `on_event`."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._made: dict[str, tuple[float, float]] = {}

    def __call__(self, event: ResourceEvent) -> None:
        """Record when a resource's creation starts and ends."""
        now = time.monotonic()
        if (event.action, event.phase) == ("create", "start"):
            self._made[event.address] = (now, now)
        elif (event.action, event.phase) == ("create", "complete"):
            self._made[event.address] = (self._made[event.address][0], now)

    def begin(self) -> None:
        """Count from now."""
        self._began = time.monotonic()

    def phases(self) -> dict[str, float]:
        """Durations along the chain, back from the last resource: each waited for the one that ended last before it."""
        left, found = dict(self._made), []
        before = time.monotonic()
        while candidates := [(ended, address) for address, (_, ended) in left.items() if ended <= before]:
            _, address = max(candidates)
            before, ended = left.pop(address)
            found.append((address, ended - before))
        first = min(started for started, _ in self._made.values())
        return {
            "plan, and providers start": first - self._began,
            **{address: seconds for address, seconds in reversed(found) if seconds >= SHORT_SECONDS},
        }


def timings(*, with_tests: bool) -> Iterator[Timing]:
    """Time the commands of the README, their parts and, on request, the tests, once each."""
    yield from _parts()
    with OwnedDirectory("bench-") as folder:
        seconds, _ = _timed(sys.executable, "-m", "embedded_aws", "drill", "--json", "--report-dir", folder)
    yield Timing("make drill", seconds, 30)
    seconds, _ = _timed(
        sys.executable,
        "-c",
        "from payment_dr.operations.route53 import recovery_time as r; r.distribution(r.Settings(), runs=10_000)",
    )
    yield Timing("10,000 simulated runs", seconds, 5)
    seconds, text = _timed(sys.executable, "-m", "embedded_aws", "deploy", "--json")
    report = json.loads(text)
    checks = sum(check["seconds"] for check in report["checks"])
    yield Timing("make deploy-local", seconds, 30, {**report["steps"], "checks": checks})
    if with_tests:
        for arguments, target in ((("-m", "not slow"), 120), ((), 600)):
            seconds, _ = _timed(sys.executable, "-m", "pytest", "-q", *arguments)
            yield Timing(f"pytest {' '.join(arguments)}".rstrip(), seconds, target)


def _parts() -> Iterator[Timing]:
    path = CriticalPath()
    with Deployment(on_event=path) as deployment:
        path.begin()
        deployment.apply()
        yield Timing("terraform apply", deployment.seconds["terraform apply"], 10, path.phases())
        with deployment.branch() as branch, OwnedDirectory("bench-") as folder:
            yield Timing("branch of a deployed embedded AWS", branch.seconds["branch"], 1)
            started = time.monotonic()
            with place_of(branch, 1) as place:
                Drill(place, "region", seed=1, directory=Path(folder)).run()
            yield Timing("drill on a deployed stack", time.monotonic() - started, 15)


def _timed(*command: str) -> tuple[float, str]:
    started = time.monotonic()
    run = subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    return time.monotonic() - started, run.stdout
