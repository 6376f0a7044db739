"""The gate on this repository's own history: each commit that changed the stack, planned by Terraform, and as a change.

    .venv/bin/python -m tests.operations.gate.history

takes an hour or two, so it is no test. It synthesizes the default stack of each commit with the packages that are
installed now, plans those that differ against an empty embedded AWS, and lets the gate judge each plan, and each
change from one commit to the next.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from embedded_aws import stand_in_providers
from embedded_aws.deployment import PRODUCTION_SETTINGS, PRODUCTION_VARIABLES, PROJECT
from embedded_aws.server import EmbeddedAws
from payment_dr.operations.errors import OperationError
from payment_dr.operations.gate.plan import Plan, View, parse
from payment_dr.operations.gate.report import headline
from payment_dr.operations.gate.verdict import judge_plan
from payment_dr.operations.terraform.runner import Terraform, workspace

TARGET_SECONDS = 180


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True).stdout


def commits() -> list[tuple[str, str]]:
    """Those that changed what is synthesized, the oldest first: hash and subject."""
    paths = ("constructs", "main.py", "handlers", ":!constructs/payment_dr/operations")
    lines = git("log", "--reverse", "--format=%h %s", "--", *paths).decode().splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def synthesized(commit: str, folder: Path, settings: dict[str, str]) -> Path | None:
    """The stack of a commit; None if it does not synthesize with what is installed now."""
    with tarfile.open(fileobj=BytesIO(git("archive", commit))) as archive:
        archive.extractall(folder / "source", filter="data")
    source, out = folder / "source", folder / "cdktf.out"
    environment = {
        **os.environ,
        **settings,
        "PYTHONPATH": f"{source / 'constructs'}:{source}",
        "CDKTF_OUTDIR": str(out),
    }
    done = subprocess.run([sys.executable, "main.py"], cwd=source, env=environment, capture_output=True, check=False)
    return None if done.returncode else next((out / "stacks").iterdir(), None)


def planned(stack: Path, aws: EmbeddedAws, init: list[Path]) -> Plan:
    """The first plan of a stack."""
    with (
        workspace(stack) as directory,
        Terraform(
            directory, aws.environment(), variables=PRODUCTION_VARIABLES, stand_ins=stand_in_providers
        ) as terraform,
    ):
        terraform.init()
        return parse(BytesIO(json.dumps(terraform.plan().json).encode()), "plan")


def between(old: View, new: View) -> Plan:
    """A change from what one first plan makes to what the next one makes."""
    gone = {a: replace(each, action="delete") for a, each in old.resources.items() if a not in new.resources}
    kept = {a: replace(each, action="no-op") for a, each in new.resources.items() if a in old.resources}
    return Plan(
        View({**old.resources, **gone}, old.configuration), View({**new.resources, **kept}, new.configuration), False
    )


def judged(settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Commit and subject, and what the gate says: of its plan, and of the change to it."""
    seen: dict[str, str] = {}
    before: View | None = None
    with EmbeddedAws() as aws:
        for commit, subject in commits():
            with TemporaryDirectory() as name:
                stack = synthesized(commit, Path(name), settings)
                if stack is None:
                    yield commit, subject, "no synth"
                    continue
                text = (stack / "cdk.tf.json").read_bytes()
                digest = hashlib.sha256(text.replace(str(name).encode(), b"")).hexdigest()
                if digest in seen:
                    yield commit, subject, f"as {seen[digest]}"
                    continue
                seen[digest] = commit
                try:
                    plan = planned(stack, aws, [])
                except OperationError as error:
                    yield commit, subject, f"no plan: {error.message[:150]}"
                    continue
            found = judge_plan(plan, TARGET_SECONDS)
            change = judge_plan(between(before, plan.after), TARGET_SECONDS) if before else None
            before = plan.after
            said = f"plan {found.verdict}, change {change.verdict if change else 'none'}"
            for each in (found, change):
                if each and each.verdict != "holds":
                    said += f"; {headline(each)}"
            yield commit, subject, said


def main() -> None:
    settings = PRODUCTION_SETTINGS if "--production" in sys.argv else {}
    for commit, subject, said in judged(dict(settings)):
        sys.stdout.write(f"{commit} {said} | {subject}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
