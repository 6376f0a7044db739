"""The gate on this repository's own history: each commit that changed the stack, planned by Terraform, and as a change.

    .venv/bin/python -m tests.operations.gate.history FOLDER

takes an hour or more, so it is no test. It synthesizes the stack of each commit with the packages that are installed
now, by default and with the production preset, plans each stack that differs from the one before it against an empty
embedded AWS, and lets the gate judge each plan, and its change from the commit before it on its branch. FOLDER keeps
the plans, so another run, after a change of a rule, takes minutes.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
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
SYNTHESIZED = ("constructs", "main.py", ":!constructs/payment_dr/operations")
PRESETS: dict[str, dict[str, str]] = {"default": {}, "production": PRODUCTION_SETTINGS}


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True).stdout


def commits(*options: str) -> list[tuple[str, str]]:
    """Those that changed what is synthesized, but for the code of handlers: hash and subject."""
    lines = git("log", "--format=%h %s", *options, "--", *SYNTHESIZED).decode().splitlines()
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


def digest(stack: Path, folder: Path) -> str:
    """Of what Terraform reads, without cdktf's comments and the hashes of handlers' sources: the gate reads neither."""
    text = (stack / "cdk.tf.json").read_text().replace(str(folder), "")
    read = json.loads(text, object_hook=lambda found: {name: each for name, each in found.items() if name != "//"})
    return sha256(re.sub("[0-9A-F]{32}", "", json.dumps(read)).encode()).hexdigest()[:16]


def planned(stack: Path, aws: EmbeddedAws) -> bytes:
    """The first plan of a stack, as JSON."""
    with (
        workspace(stack) as directory,
        Terraform(
            directory, aws.environment(), variables=PRODUCTION_VARIABLES, stand_ins=stand_in_providers
        ) as terraform,
    ):
        terraform.init()
        return json.dumps(terraform.plan().json).encode()


@dataclass(frozen=True)
class Plans:
    """The first plan of each commit, kept in a folder by the digest of its stack: equal stacks are planned once."""

    folder: Path
    aws: EmbeddedAws

    def file_of(self, commit: str, preset: str) -> Path | str:
        """The plan of a commit, or why there is none."""
        known = self.folder / f"{commit}-{preset}"
        if not known.exists():
            known.write_text(self._make(commit, preset))
        found = known.read_text()
        return self.folder / found if found.endswith(".json.gz") else found

    def _make(self, commit: str, preset: str) -> str:
        app = git("show", f"{commit}:main.py").decode()
        if preset != "default" and not any(setting in app for setting in PRESETS[preset]):  # it came later
            found = self.file_of(commit, "default")
            return found if isinstance(found, str) else found.name
        with TemporaryDirectory() as name:
            stack = synthesized(commit, Path(name), PRESETS[preset])
            if stack is None:
                return "no synth"
            file = self.folder / f"{digest(stack, Path(name))}.json.gz"
            if not file.exists():
                try:
                    file.write_bytes(gzip.compress(planned(stack, self.aws)))
                except OperationError as error:
                    return f"no plan: {error.message[:150]}"
            return file.name


def between(old: View, new: View) -> Plan:
    """A change from what one first plan makes to what the next one makes."""
    gone = {a: replace(each, action="delete") for a, each in old.resources.items() if a not in new.resources}
    kept = {a: replace(each, action="no-op") for a, each in new.resources.items() if a in old.resources}
    return Plan(
        View({**old.resources, **gone}, old.configuration), View({**new.resources, **kept}, new.configuration), False
    )


def judged(preset: str, plans: Plans) -> Iterator[tuple[str, str, str]]:
    """Commit and subject, and the verdicts: on its plan, and on the change to it."""
    for commit, subject in commits("--reverse"):
        file = plans.file_of(commit, preset)
        if isinstance(file, str):
            yield commit, subject, file
            continue
        before = [plans.file_of(each, preset) for each, _ in commits("-2", commit)[1:]]
        if before == [file]:
            yield commit, subject, "same stack"
            continue
        plan = _read(file)
        found = [judge_plan(plan, TARGET_SECONDS)]
        found += [
            judge_plan(between(_read(each).after, plan.after), TARGET_SECONDS)
            for each in before
            if isinstance(each, Path)
        ]
        verdicts = [" and change ".join(["plan " + found[0].verdict, *(each.verdict for each in found[1:])])]
        verdicts += [headline(each) for each in found if each.verdict != "holds"]
        yield commit, subject, "; ".join(verdicts)


def _read(file: Path) -> Plan:
    return parse(BytesIO(gzip.decompress(file.read_bytes())), file.name)


def main() -> None:
    (name,) = sys.argv[1:]
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    with EmbeddedAws() as aws:
        for preset in PRESETS:
            for commit, subject, verdicts in judged(preset, Plans(folder, aws)):
                sys.stdout.write(f"{preset} {commit} {verdicts} | {subject}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
