"""The stack in other pairs of regions than its own, deployed by the real Terraform and AWS provider."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded_aws.checks import checks_of, run_check
from embedded_aws.deployment import PROJECT, Deployment, synthesized
from embedded_aws.inventory import inventory
from payment_dr.side import SIDES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("region pairs")]

PACIFIC_APP = """
from payment_dr import App, DisasterRecoveryStack

app = App()
DisasterRecoveryStack(
    app,
    "pacific",
    primary_region="ap-southeast-2",
    secondary_region="us-west-2",
    primary_cidr="10.40.0.0/16",
    primary_subnet_cidrs=("10.40.1.0/24", "10.40.2.0/24", "10.40.3.0/24"),
    secondary_cidr="172.20.0.0/16",
    secondary_subnet_cidrs=("172.20.1.0/24", "172.20.2.0/24"),
)
app.synth()
"""


@dataclass(frozen=True)
class Pair:
    """Where a stack is, and what stands for each region in names."""

    stack: str
    app: Path | str
    regions: tuple[str, str]
    labels: tuple[str, str]
    cidrs: tuple[str, str]


@pytest.mark.parametrize(
    "pair",
    [
        Pair(
            "whole-stack",
            PROJECT / "examples/whole_stack/main.py",
            ("eu-central-1", "eu-west-1"),
            ("central", "west"),
            ("10.20.0.0/16", "10.21.0.0/16"),
        ),
        Pair(
            "pacific",
            PACIFIC_APP,
            ("ap-southeast-2", "us-west-2"),
            ("southeast", "west"),
            ("10.40.0.0/16", "172.20.0.0/16"),
        ),
    ],
    ids=lambda pair: "/".join(pair.regions),
)
def test_the_stack_works_in_another_pair_and_leaves_nothing(pair: Pair, tmp_path: Path) -> None:
    app = tmp_path / "main.py"  # neither in the repository nor beside it
    app.write_text(pair.app if isinstance(pair.app, str) else pair.app.read_text(encoding="utf-8"), encoding="utf-8")
    with synthesized(app) as folder, Deployment(stack_dir=folder / "stacks" / pair.stack) as deployment:
        assert deployment.regions == list(pair.regions)
        before = inventory(deployment.aws, pair.regions)
        deployment.apply(deployment.plan())
        checks = [run_check(name, check) for name, check in checks_of(deployment).items()]
        assert [(check.name, check.found) for check in checks if not check.passed] == []
        assert {"second plan is empty", *(f"output {name}" for name in deployment.outputs)} <= {c.name for c in checks}
        for side, region, label, cidr in zip(SIDES, pair.regions, pair.labels, pair.cidrs, strict=True):
            assert deployment.region(side) == region
            assert deployment.value(f"{side}_vpc_cidr") == cidr
            functions = deployment.client("lambda", side).list_functions()["Functions"]
            assert {function["FunctionName"] for function in functions} == {
                f"lambda-health-monitor-{label}-dev",
                f"lambda-config-sync-{label}-dev",
            }
        # Route 53 publishes the metrics of health checks in us-east-1 alone, where this stack has nothing.
        assert [name for name in deployment.value("alarm_names") if "health-check" in name] == []
        deployment.destroy()
        assert deployment.terraform.state_resources() == []
        assert inventory(deployment.aws, pair.regions) - before == frozenset()
