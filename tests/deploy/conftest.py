"""The stack, synthesized once and deployed once for all tests that only look at it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import PRODUCTION_SETTINGS, STACK, UNPROTECTED_SETTINGS, Deployment, synthesized
from embedded_aws.inventory import inventory
from payment_dr.operations.drill import clients
from payment_dr.operations.iam_policies import OF_A_DEPLOYER
from permission_proof.deployer import Deployer, deployer, for_the_embedded_aws
from tests.deploy.iam_policies import proven

WITH_ARGUMENTS = f"""
from payment_dr import App, DisasterRecoveryStack, Subscription
app = App()
DisasterRecoveryStack(app, "{STACK}", %s)
app.synth()
"""
Reshape = Callable[[Deployment, str], None]


@pytest.fixture(autouse=True)
def patience_with_payments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill begins no outage before its payments are confirmed, however slow the machine is."""
    monkeypatch.setattr(clients, "RUSH_SECONDS", 600.0)


@pytest.fixture(scope="session")
def stack_dir() -> Iterator[Path]:
    """This project's stack as `make synth` writes it."""
    with synthesized() as folder:
        yield folder / "stacks" / STACK


class Deployed(Deployment):
    """A deployment that keeps what was there before it, and its first plan as JSON."""

    before: frozenset[str]
    planned: dict[str, Any]


@contextmanager
def deployed_from(stack_dir: Path) -> Iterator[Deployed]:
    """A synthesized stack, applied."""
    with Deployed(stack_dir=stack_dir) as deployed:
        deployed.before = inventory(deployed.aws, deployed.regions)
        plan = deployed.plan()
        deployed.planned = plan.json
        deployed.apply(plan)
        yield deployed


@pytest.fixture(scope="session")
def deployment(stack_dir: Path) -> Iterator[Deployed]:
    """The stack with its defaults, applied."""
    with deployed_from(stack_dir) as deployed:
        yield deployed


@pytest.fixture(scope="session")
def with_options() -> Iterator[Deployed]:
    """The stack with the production preset, so each option, applied: once for each `xdist_group` with it."""
    with synthesized(settings=PRODUCTION_SETTINGS) as out, deployed_from(out / "stacks" / STACK) as deployed:
        yield deployed


@pytest.fixture
def branched(deployment: Deployed) -> Iterator[Deployment]:
    """A fresh copy of `deployment` that a test may change, break and destroy.

    Tests with it share an `xdist_group`, be it that of `deployment` or another: each has a `deployment`, made once.
    """
    with deployment.branch() as branch:
        yield branch


@pytest.fixture
def reshape(tmp_path: Path) -> Reshape:
    """Gives a deployment's working directory the stack with other arguments."""

    def give(deployment: Deployment, arguments: str) -> None:
        app = tmp_path / "app.py"
        app.write_text(WITH_ARGUMENTS % arguments, encoding="utf-8")
        with synthesized(app) as out:
            folder, there = out / "stacks" / STACK, deployment.terraform.directory
            shutil.copy(folder / "cdk.tf.json", there)
            shutil.copytree(folder / "assets", there / "assets", dirs_exist_ok=True)

    return give


@pytest.fixture
def outputs_for_dr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Deployment], Path]:
    """Writes a file of a stack's outputs; `dr` finds the embedded AWS then as it would find AWS."""

    def write(deployment: Deployment) -> Path:
        path = tmp_path / "outputs.json"
        path.write_text(json.dumps({name: {"value": output.value} for name, output in deployment.outputs.items()}))
        for name, value in deployment.aws.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        return path

    return write


@dataclass(frozen=True)
class Deployers:
    """A deployer of the production stack who has what is proven of the deployer's policies, three times.

    Attributes:
        at_the_end: When all of it was deployed, changed and destroyed.
        when_deployed, for_operators: When it was deployed; each can be changed without the other.
    """

    at_the_end: Deployer
    when_deployed: Deployer
    for_operators: Deployer


@pytest.fixture(scope="session")
def deployers() -> Iterator[Deployers]:
    """Those that the tests of IAM policies share, with one deployment; they are of one `xdist_group`."""
    with synthesized(settings=UNPROTECTED_SETTINGS) as out, deployer(out / "stacks" / STACK) as user:
        user.gets(for_the_embedded_aws(proven(user, OF_A_DEPLOYER)))
        user.deploy()
        with user.branch() as when_deployed, user.branch() as for_operators:
            user.change()
            user.destroy()
            yield Deployers(user, when_deployed, for_operators)
