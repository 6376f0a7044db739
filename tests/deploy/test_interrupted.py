"""Terraform is killed in the middle of a deployment: nothing is lost, and the next apply or destroy ends it."""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from embedded_aws.checks import eventually
from embedded_aws.deployment import Deployment
from embedded_aws.inventory import inventory
from payment_dr.operations.adoption import ADOPTED, adopt
from payment_dr.operations.terraform.runner import ResourceEvent, TerraformFailed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("interrupted")]
REGIONS = ["us-east-1", "us-west-2"]
AT_A_TIME = 3


class Moment(Protocol):
    """When to kill Terraform."""

    text: str

    def __call__(self, event: ResourceEvent) -> bool: ...


class Count:
    """True from the nth event of one kind on, such as the 40th creation that is complete."""

    def __init__(self, action: str, phase: str, nth: int) -> None:
        self.wanted, self.left, self.text = (action, phase), nth, f"{action} {phase} {nth}"

    def __call__(self, event: ResourceEvent) -> bool:
        self.left -= (event.action, event.phase) == self.wanted
        return self.left <= 0


class At:
    """True when something happens to a resource whose address begins so."""

    def __init__(self, prefix: str, action: str, phase: str) -> None:
        self.wanted, self.text = (prefix, action, phase), f"{prefix} {action} {phase}"

    def __call__(self, event: ResourceEvent) -> bool:
        prefix, *step = self.wanted
        return event.address.startswith(prefix) and [event.action, event.phase] == step


# The stack has 130 resources.
CYCLES: list[tuple[Moment, Moment]] = [
    (Count("create", "start", 1), Count("delete", "start", 1)),
    (Count("create", "start", 10), Count("delete", "complete", 5)),
    (Count("create", "complete", 3), Count("delete", "complete", 20)),
    (Count("create", "complete", 20), Count("delete", "start", 40)),
    (At("aws_dynamodb_table.", "create", "start"), At("aws_dynamodb_table.", "delete", "start")),
    (At("aws_apigatewayv2_api.", "create", "complete"), At("aws_s3_bucket.", "delete", "start")),
    (At("aws_kms_key.", "create", "complete"), At("aws_kms_key.", "delete", "complete")),
    (At("aws_lambda_function.", "create", "start"), At("aws_lambda_function.", "delete", "start")),
    (Count("create", "complete", 100), Count("delete", "complete", 100)),
    (Count("create", "complete", 125), Count("delete", "complete", 125)),
]


class Interrupted(Deployment):
    """A deployment whose Terraform is killed, with its providers, at a moment of one's choice."""

    def __init__(self, stack_dir: Path) -> None:
        super().__init__(stack_dir=stack_dir, on_event=self._follow)
        self._moment: Moment | None = None

    def _follow(self, event: ResourceEvent) -> None:
        if self._moment and self._moment(event):
            self._moment = None
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Terraform and its providers: what runs in the working directory."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == self.terraform.directory:
                    found.append(int(process.name))
            except OSError:  # it ended meanwhile
                continue
        return found

    def kill(self, moment: Moment, run: Callable[[], object]) -> None:
        self._moment = moment
        with pytest.raises(TerraformFailed, match="it was killed by SIGKILL") as failed:
            run()
        assert "A deployment was interrupted" in failed.value.hint
        eventually(lambda: not self.processes(), "the providers are gone")

    def adopt(self) -> None:
        """Import what is missing in the state, as the runbook says."""
        state = self.terraform.directory / "terraform.tfstate"
        try:
            json.loads(state.read_text() or "{}")
        except FileNotFoundError:
            pass
        except ValueError:  # killed while it wrote
            state.rename(f"{state}.damaged")
        findings = adopt(self.terraform, clients=self.aws.client)
        assert [finding for finding in findings if finding.outcome != ADOPTED] == []


def cycle(stack_dir: Path, create: Moment, delete: Moment) -> None:
    """Kill the apply, go on, kill the destroy, go on."""
    with Interrupted(stack_dir) as stack:
        nothing = inventory(stack.aws, REGIONS)
        stack.kill(create, stack.apply)
        assert (stack.terraform.directory / ".terraform.tfstate.lock.info").exists()  # Terraform's lock is no hindrance
        stack.adopt()
        stack.apply()
        again = stack.plan()
        assert (again.changed, again.actions) == (False, {})
        stack.kill(delete, stack.destroy)
        stack.adopt()  # a state that was cut off by the kill may be empty, and its destroy would end at once
        stack.destroy()
        assert stack.terraform.state_resources() == []
        assert sorted(inventory(stack.aws, REGIONS) - nothing) == []


def test_a_killed_apply_and_a_killed_destroy_are_finished_by_the_next(stack_dir: Path) -> None:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = {f"{c.text} / {d.text}": pool.submit(cycle, stack_dir, c, d) for c, d in CYCLES}
    failed = {name: repr(error) for name, future in running.items() if (error := future.exception())}
    assert failed == {}, "\n".join(f"{name}: {error}" for name, error in failed.items())


def test_a_state_that_was_cut_off_is_found_again(stack_dir: Path) -> None:
    """The worst that an interruption can do to a state on disk; and every type of resource can be adopted."""
    with Deployment(stack_dir=stack_dir) as stack:
        nothing = inventory(stack.aws, REGIONS)
        stack.apply()
        everything = inventory(stack.aws, REGIONS)
        state = stack.terraform.directory / "terraform.tfstate"
        state.write_bytes(state.read_bytes()[:50_000])
        with pytest.raises(TerraformFailed, match="state"):
            adopt(stack.terraform, clients=stack.aws.client)

        state.rename(f"{state}.damaged")  # as the runbook says
        assert {finding.outcome for finding in adopt(stack.terraform, clients=stack.aws.client)} == {ADOPTED}
        assert inventory(stack.aws, REGIONS) == everything
        stack.destroy()
        assert sorted(inventory(stack.aws, REGIONS) - nothing) == []
