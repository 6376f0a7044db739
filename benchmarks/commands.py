"""`make bench`: how long the README's commands take, and how much of deploy-local is Terraform's apply; prints JSON.

Figures of one machine at one time: compare the shares, not the seconds, between machines.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BIN = PROJECT / ".venv/bin"
# Seconds on two cores, after set-up.
TARGETS = {"deploy-local": 90.0, "terraform apply": 25.0, "test": 360.0}


def timed(*command: str) -> tuple[float, str]:
    """Run a command from the project's folder; seconds and what it printed on stdout."""
    started = time.monotonic()
    run = subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    return time.monotonic() - started, run.stdout


def main() -> None:
    """Time both commands once, after a synthesis that warms the caches of the file system."""
    synth, _ = timed(str(BIN / "python"), "main.py")
    deploy, report = timed(str(BIN / "python"), "-m", "embedded_aws", "deploy", "--json")
    steps = json.loads(report)["steps"]
    measured = {"deploy-local": deploy, "terraform apply": steps["terraform apply"]}
    if "--with-tests" in sys.argv:
        measured["test"], _ = timed(str(BIN / "pytest"), "-q")
    result = {
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "synth_seconds": round(synth, 1),
        "steps_seconds": steps,
        "share_of_deploy_local": {step: round(seconds / deploy, 2) for step, seconds in steps.items()},
        "measured": {
            what: {"seconds": round(seconds, 1), "target": TARGETS[what], "ratio": round(seconds / TARGETS[what], 2)}
            for what, seconds in measured.items()
        },
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
