"""Terraform is killed in the middle of a deployment: nothing is lost, and the next apply or destroy ends it.

One apply and one destroy run. At each of ten moments Terraform and its providers are stopped and the deployment is
branched, and at the last one they are killed as well. A branch has what a kill at its moment leaves: the state as it is
on the disk, Terraform's lock file, and an AWS in which the calls that it has received are done, though nobody hears its
answers. Calls that it has not received are never made. Those are outcomes of a kill too.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.checks import eventually
from embedded_aws.deployment import Deployment
from embedded_aws.inventory import inventory
from embedded_aws.server import at_new_port
from payment_dr.operations.adoption import ADOPTED, adopt
from payment_dr.operations.terraform.runner import ResourceEvent, TerraformFailed
from tests.deploy.conftest import Deployed

pytestmark = pytest.mark.slow
REGIONS = ["us-east-1", "us-west-2"]
AT_A_TIME = 2  # Terraform waits most of an apply
ATTEMPTS = 3
PARALLELISM = 10  # so many resources Terraform has under way at most


@dataclass(frozen=True)
class Moment:
    """The nth step of one kind on resources of one type, or of any type."""

    action: str
    phase: str
    nth: int = 1
    type: str = ""

    def __str__(self) -> str:
        return " ".join([self.action, self.phase, self.type or str(self.nth)])

    def counts(self, event: ResourceEvent) -> bool:
        """Whether an event is a step of this kind."""
        address = event.address
        return (event.action, event.phase) == (self.action, self.phase) and address.startswith(self.type)


# The stack has 139 resources, one of which is in the state alone.
OF_THE_APPLY = [
    Moment("create", "start", 1),
    Moment("create", "start", 10),
    Moment("create", "complete", 3),
    Moment("create", "complete", 20),
    Moment("create", "start", type="aws_dynamodb_table."),
    Moment("create", "complete", type="aws_apigatewayv2_api."),
    Moment("create", "complete", type="aws_kms_key."),
    Moment("create", "start", type="aws_lambda_function."),
    Moment("create", "complete", 100),
    Moment("create", "complete", 125),
]
OF_THE_DESTROY = [
    Moment("delete", "start", 1),
    Moment("delete", "complete", 5),
    Moment("delete", "complete", 20),
    Moment("delete", "start", 40),
    Moment("delete", "start", type="aws_dynamodb_table."),
    Moment("delete", "start", type="aws_s3_bucket."),
    Moment("delete", "complete", type="aws_kms_key."),
    Moment("delete", "start", type="aws_lambda_function."),
    Moment("delete", "complete", 100),
    Moment("delete", "complete", 125),
]
# Terraform empties the file of its state before it writes: at these moments it is killed between the two.
APPLY_WITH_AN_EMPTY_STATE = Moment("create", "complete", 20)
DESTROY_WITH_AN_EMPTY_STATE = Moment("delete", "complete", 20)


def state_file(stack: Deployment) -> Path:
    return stack.terraform.directory / "terraform.tfstate"


def lock_file(stack: Deployment) -> Path:
    return stack.terraform.directory / ".terraform.tfstate.lock.info"


def processes_of(stack: Deployment) -> list[int]:
    """Terraform and its providers: what runs in the working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == stack.terraform.directory:
                found.append(int(process.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def is_stopped(pid: int) -> bool:
    """Whether each thread of a process is."""
    try:
        threads = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # one of them ended meanwhile
        return False
    return {thread.rpartition(")")[2].split()[0] for thread in threads} == {"T"}


def send(processes: Sequence[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(pid, number)


@contextmanager
def stopped(stack: Deployment) -> Iterator[list[int]]:
    """Terraform and its providers, while they do nothing and the state is not half written."""

    def all_are_stopped() -> bool:
        running = [pid for pid in processes_of(stack) if not is_stopped(pid)]
        send(running, signal.SIGSTOP)
        return not running

    def state_is_whole() -> bool:
        eventually(all_are_stopped, "Terraform and its providers are stopped")
        try:
            json.loads(state_file(stack).read_bytes())
        except ValueError:
            send(processes_of(stack), signal.SIGCONT)
            return False
        return True

    while not state_is_whole():
        pass
    try:
        yield processes_of(stack)
    finally:
        send(processes_of(stack), signal.SIGCONT)


@dataclass(frozen=True)
class Left:
    """What an interruption leaves."""

    lock: str
    state: str
    things: frozenset[str]

    @classmethod
    def by(cls, stack: Deployment, port: int) -> "Left":
        """Read it, with addresses as they are at another port."""
        return cls(
            lock_file(stack).read_text(),
            at_new_port(state_file(stack).read_text(), stack.aws.port, port),
            frozenset(at_new_port(thing, stack.aws.port, port) for thing in inventory(stack.aws, REGIONS)),
        )


class Interruption:
    """Follows Terraform's work on `stack`, branches it at each of some moments, and kills Terraform at the last one.

    Attributes:
        stack: To be set before the work begins.
        nothing: What is in AWS and not the stack's.
        stacks: What is left at each moment, to go on with: a branch, and the stack itself for the last moment.
        failure: How the command ended that was killed.
        by_stopping: What a branch has at the last moment.
        by_killing: What the kill left.
    """

    stack: Deployment
    nothing: Sequence[str]
    failure: TerraformFailed
    by_stopping: Left
    by_killing: Left

    def __init__(self, moments: Sequence[Moment]) -> None:
        self.stacks: dict[Moment, Deployment] = {}
        self._to_come = {moment: moment.nth for moment in moments}
        self._opened = ExitStack()

    def __call__(self, event: ResourceEvent) -> None:
        for moment in [moment for moment in self._to_come if moment.counts(event)]:
            self._to_come[moment] -= 1
            if not self._to_come[moment]:
                del self._to_come[moment]
                with stopped(self.stack) as processes:
                    self.stacks[moment] = self._opened.enter_context(self.stack.branch())
                    if not self._to_come:
                        send(processes, signal.SIGKILL)

    @contextmanager
    def of(self, command: Callable[[Deployment], object]) -> Iterator[bool]:
        """Let Terraform work; what is left exists until the end of the block.

        Yields:
            Whether Terraform was killed. On a busy machine it can end before the last moment is noticed.
        """
        self.nothing = beside_the_state(self.stack)
        with self._opened:
            try:
                command(self.stack)
            except TerraformFailed as failure:
                self.failure = failure
            else:
                yield False
                return
            eventually(lambda: not processes_of(self.stack), "the providers are gone")
            *_, last = self.stacks
            self.by_stopping, self.by_killing = (
                Left.by(stack, self.stack.aws.port) for stack in (self.stacks[last], self.stack)
            )
            self.stacks[last] = self.stack
            yield True


@contextmanager
def interrupted(
    command: Callable[[Deployment], object],
    moments: Sequence[Moment],
    stack: Callable[[Interruption], AbstractContextManager[Deployment]],
) -> Iterator[Interruption]:
    """Interrupt a command on a new stack, and again on another one if it was too late to kill Terraform."""
    for attempt in range(1, ATTEMPTS + 1):
        interruption = Interruption(moments)
        with stack(interruption) as interruption.stack, interruption.of(command) as killed:
            if killed:
                yield interruption
                return
            assert attempt < ATTEMPTS, f"Terraform ended {attempt} times before it could be killed"


class Finishing:
    """Goes on with what is left at each of some moments, with those of the next tests while a test waits for its own.

    Args:
        moments: In the order of the tests.
        interruption: What is left at each.
        finish: Goes on with one.
    """

    def __init__(
        self,
        moments: Sequence[Moment],
        interruption: Interruption,
        finish: Callable[[Deployment], None],
        pool: ThreadPoolExecutor,
    ) -> None:
        self.interruption = interruption
        self._moments, self._finish, self._pool = moments, finish, pool
        self._begun: dict[Moment, Future[None]] = {}

    def wait_for(self, moment: Moment) -> None:
        first = self._moments.index(moment)
        for each in self._moments[first : first + AT_A_TIME]:
            if each not in self._begun:
                self._begun[each] = self._pool.submit(self._finish, self.interruption.stacks[each])
        self._begun[moment].result()


def texts(value: Any) -> Iterator[str]:
    """Every text in JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def beside_the_state(stack: Deployment) -> list[str]:
    """What is in AWS and in no resource of the state."""
    state = state_file(stack)
    known = set(texts(json.loads(state.read_text())["resources"])) if state.exists() else set()

    def name(thing: str) -> str:
        return thing.rpartition(" ")[2].removeprefix("/hostedzone/").removesuffix(":*")

    return sorted(thing for thing in inventory(stack.aws, REGIONS) if name(thing) not in known)


def adopt_all(stack: Deployment) -> None:
    """Import what is missing in the state, as the runbook says."""
    assert lock_file(stack).exists()  # Terraform's, which is no hindrance
    findings = adopt(stack.terraform, clients=stack.aws.client)
    assert [finding for finding in findings if finding.outcome != ADOPTED] == []


@pytest.fixture(scope="module")
def killed_apply(stack_dir: Path) -> Iterator[Finishing]:
    def new_stack(interruption: Interruption) -> Deployment:
        return Deployment(stack_dir=stack_dir, on_event=interruption)

    def finish(stack: Deployment) -> None:
        adopt_all(stack)
        stack.apply()
        again = stack.plan()
        assert (again.changed, again.actions) == (False, {})
        assert beside_the_state(stack) == interruption.nothing  # so nothing was made twice

    with (
        interrupted(Deployment.apply, OF_THE_APPLY, new_stack) as interruption,
        ThreadPoolExecutor(AT_A_TIME) as pool,
    ):
        state_file(interruption.stacks[APPLY_WITH_AN_EMPTY_STATE]).write_bytes(b"")
        yield Finishing(OF_THE_APPLY, interruption, finish, pool)


@pytest.fixture(scope="module")
def killed_destroy(deployment: Deployed) -> Iterator[Finishing]:
    def deployed_stack(interruption: Interruption) -> AbstractContextManager[Deployment]:
        return deployment.branch(on_event=interruption)

    def finish(stack: Deployment) -> None:
        adopt_all(stack)
        stack.destroy()
        assert stack.terraform.state_resources() == []
        assert sorted(inventory(stack.aws, REGIONS)) == interruption.nothing

    with (
        interrupted(Deployment.destroy, OF_THE_DESTROY, deployed_stack) as interruption,
        ThreadPoolExecutor(AT_A_TIME) as pool,
    ):
        state_file(interruption.stacks[DESTROY_WITH_AN_EMPTY_STATE]).write_bytes(b"")
        yield Finishing(OF_THE_DESTROY, interruption, finish, pool)


@pytest.mark.xdist_group("killed-apply")
@pytest.mark.parametrize("moment", OF_THE_APPLY, ids=str)
def test_a_killed_apply_is_finished_by_the_next(killed_apply: Finishing, moment: Moment) -> None:
    killed_apply.wait_for(moment)


@pytest.mark.xdist_group("killed-destroy")
@pytest.mark.parametrize("moment", OF_THE_DESTROY, ids=str)
def test_a_killed_destroy_is_finished_by_the_next(killed_destroy: Finishing, moment: Moment) -> None:
    killed_destroy.wait_for(moment)


@pytest.mark.parametrize(
    "killed",
    [
        pytest.param("killed_apply", marks=pytest.mark.xdist_group("killed-apply")),
        pytest.param("killed_destroy", marks=pytest.mark.xdist_group("killed-destroy")),
    ],
)
def test_a_branch_of_a_stopped_terraform_has_what_a_kill_leaves(killed: str, request: pytest.FixtureRequest) -> None:
    interruption: Interruption = request.getfixturevalue(killed).interruption
    assert "it was killed by SIGKILL" in str(interruption.failure)
    assert "A deployment was interrupted" in interruption.failure.hint
    stopping, killing = interruption.by_stopping, interruption.by_killing
    assert killing.lock == stopping.lock
    assert killing.state == stopping.state
    assert len(killing.things ^ stopping.things) <= PARALLELISM  # calls that were received after the branch was made


@pytest.mark.xdist_group("deployment")
def test_a_state_that_was_cut_off_is_found_again(branched: Deployment) -> None:
    """The worst that an interruption can do to a state on disk; and every type of resource can be adopted."""
    nothing, everything = beside_the_state(branched), inventory(branched.aws, REGIONS)
    state = state_file(branched)
    state.write_bytes(state.read_bytes()[:50_000])
    with pytest.raises(TerraformFailed, match="state"):
        adopt(branched.terraform, clients=branched.aws.client)

    state.rename(f"{state}.damaged")  # as the runbook says
    assert {finding.outcome for finding in adopt(branched.terraform, clients=branched.aws.client)} == {ADOPTED}
    assert inventory(branched.aws, REGIONS) == everything
    branched.destroy()
    assert sorted(inventory(branched.aws, REGIONS)) == nothing
