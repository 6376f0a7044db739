"""Times two ways to do the same in turns, so that other load on the machine affects both equally."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

# A process prints its own peak memory last, without that of its children, such as jsii's Node.
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
        what: The compared task.
        ours, baseline: The two sides.
        unit: Unit of the medians: "s", "ms" or "MB".
        ours_median, baseline_median: Over all runs.
        runs: The number of runs of each side.
        target: The highest allowed ratio.
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
        """Ours divided by the baseline. Lower is better."""
        return self.ours_median / self.baseline_median

    @property
    def met(self) -> bool:
        """Whether the ratio is within the target."""
        return self.ratio <= self.target


def python(code: str, environment: dict[str, str] | None = None) -> Callable[[], Run]:
    """Return a run of a Python program in its own process, in the project's folder."""

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
    """Return the medians of each side, after one uncounted run that warms caches."""
    measured = [[side() for side in sides] for _ in range(runs + 1)][1:]
    return [
        Run(
            statistics.median(run.seconds for run in side),
            statistics.median(run.peak_mb for run in side),
        )
        for side in zip(*measured, strict=True)
    ]
