"""`dr gate` against the minimum for its process: start `dr` and parse the same file."""

import gzip
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.commands import Timing
from benchmarks.compare import PROJECT, Comparison, Run, in_turns, python
from payment_dr.operations.owned_directory import OwnedDirectory

PLANS = PROJECT / "tests/operations/gate/plans"
LARGE = 5_000
OURS_TARGET, LARGE_TARGET = 2.0, 10.0  # seconds on two cores
OURS_MB = 150.0

_GATE = """
import sys
from payment_dr.operations.entry_point import main
sys.argv = ["dr", "gate", {path!r}, "--json"]
sys.stdout = open({out!r}, "w")
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
"""
_LEAST = "import json, payment_dr.operations.cli\njson.load(open({path!r}))\n"


def large(count: int) -> dict[str, Any]:
    """A plan of so many resources: a stack with a load balancer in each region, again and again, in modules."""
    stack = json.loads(gzip.decompress((PLANS / "alb_failover-deployed.json.gz").read_bytes()))
    text = json.dumps(stack["resource_changes"])
    names = {
        name for key in ("id", "arn", "dns_name", "zone_id") for name in re.findall(rf'"{key}": "([^"]{{9,}})"', text)
    }
    own = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    changes: list[dict[str, Any]] = []
    calls: dict[str, Any] = {}
    while len(changes) < count:
        module = f"m{len(calls)}"
        calls[module] = {"module": stack["configuration"]["root_module"]}
        copy = own.sub(lambda found, module=module: f"{found[0]}-{module}", text)  # type: ignore[misc]
        for change in json.loads(copy.replace("shop.acme.io", f"{module}.acme.io")):
            changes.append({**change, "address": f"module.{module}.{change['address']}"})
    root = {"module_calls": calls}
    configuration = {"provider_config": stack["configuration"]["provider_config"], "root_module": root}
    return {"format_version": "1.2", "resource_changes": changes, "configuration": configuration}


def write(path: str, count: int) -> None:
    """Write our plan, or one of so many resources."""
    ours = gzip.decompress((PLANS / "production-first.json.gz").read_bytes())
    Path(path).write_bytes(json.dumps(large(count)).encode() if count else ours)


def _measured(runs: int) -> Iterator[tuple[str, float, float, Run, Run]]:
    """The plan, its targets in seconds and in MB, and the medians of the gate and of the baseline."""
    with OwnedDirectory("bench-") as folder:
        path, out = Path(folder, "plan.json"), str(Path(folder, "out"))
        for what, count, target, most_mb in (
            ("our plan, with the production settings", 0, OURS_TARGET, OURS_MB),
            (f"a plan of {LARGE:,} resources", LARGE, LARGE_TARGET, math.inf),
        ):
            # In a process of its own: the peak memory of this one would count for those that it starts.
            python(f"from benchmarks.gate import write\nwrite({str(path)!r}, {count})\n")()
            sides = [python(code.format(path=str(path), out=out)) for code in (_GATE, _LEAST)]
            gate, least = in_turns(sides, runs)
            yield what, target, most_mb, gate, least


def measure(runs: int) -> tuple[list[Comparison], list[Timing]]:
    """The ratios to the least, and the times of the whole process against their targets.

    Args:
        runs: How often each side is run.
    """
    comparisons, timings = [], []
    for what, target, most_mb, gate, least in _measured(runs):
        against = "dr started, the same JSON parsed"
        for kind, unit, ours, baseline, limit in (
            ("time", "s", gate.seconds, least.seconds, 3.0),
            ("peak memory", "MB", gate.peak_mb, least.peak_mb, min(2.0, most_mb / least.peak_mb)),
        ):
            comparisons.append(
                Comparison(f"dr gate, {what}, {kind}", "dr gate", against, unit, ours, baseline, runs, limit)
            )
        timings.append(Timing(f"dr gate, {what}", gate.seconds, target))
    return comparisons, timings
