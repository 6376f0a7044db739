"""Two ways to do the same, timed in turns, so that whatever else the machine does meets both alike."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

# A process tells its own peak memory last, without that of its children, such as jsii's Node.
_EPILOGUE = """
import resource, sys
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux, bytes on macOS
print(peak / (1024 if sys.platform == "linux" else 1024 ** 2), file=sys.stderr)
"""


@dataclass(frozen=True)
class Run:
    """Seconds and megabytes of one run."""

    seconds: float
    peak_mb: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """Medians of two ways, and their ratio.

    Args:
        what: What is compared.
        ours, baseline: What each side does.
        unit: Of the medians: "s", "ms" or "MB".
        ours_median, baseline_median: Over all runs.
        runs: How many of each.
        target: What the ratio should not exceed.
    """

    what: str
    ours: str
    baseline: str
    unit: str
    ours_median: float
    baseline_median: float
    runs: int
    target: float

    @property
    def ratio(self) -> float:
        """Ours against the baseline: less is better."""
        return self.ours_median / self.baseline_median

    @property
    def met(self) -> bool:
        """Whether the ratio is within the target."""
        return self.ratio <= self.target


def python(code: str, environment: dict[str, str] | None = None) -> Callable[[], Run]:
    """A run of a Python program in a process of its own, in the project's folder."""

    def run() -> Run:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code + _EPILOGUE],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - started
        return Run(seconds, float(done.stderr.splitlines()[-1]))

    return run


def in_turns(sides: Sequence[Callable[[], Run]], runs: int) -> list[Run]:
    """The medians of each side after one run that warms caches and is not counted."""
    measured = [[side() for side in sides] for _ in range(runs + 1)][1:]
    return [
        Run(
            statistics.median(run.seconds for run in side),
            statistics.median(run.peak_mb for run in side),
        )
        for side in zip(*measured, strict=True)
    ]
