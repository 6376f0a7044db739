"""Make the plans in `plans` anew: `.venv/bin/python -m tests.operations.gate.make_plans` takes some ten minutes.

Each stack is deployed by the real Terraform on an embedded AWS of its own. Kept are the first plan, and the plan that
has nothing to change then, without what the gate does not read. What the emulator does not keep as AWS does (an Auto
Scaling group's tags, a secret's replicas, the endpoints of Aurora) is put to what was planned.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded_aws import stand_in_providers
from embedded_aws.deployment import PRODUCTION_SETTINGS, PRODUCTION_VARIABLES, PROJECT, synthesized
from embedded_aws.server import EmbeddedAws
from payment_dr.operations.terraform.runner import PlanResult, Terraform, workspace
from tests.operations.gate.plans import PLANS, THEIRS, Document

STACKS = Path(__file__).parent / "stacks"
OURS = {
    "default": ("main.py", {}),
    "production": ("main.py", PRODUCTION_SETTINGS),
    "payments_service": ("examples/payments_service/main.py", {}),
    "existing_api": ("examples/existing_api/main.py", {}),
}
READ = ("format_version", "terraform_version", "variables", "resource_changes", "configuration")
SECRET = {"random_password": ("result", "bcrypt_hash"), "aws_ssm_parameter": ("value", "value_wo", "insecure_value")}


@contextmanager
def terraform_of(source: Path, variables: dict[str, str]) -> Iterator[Terraform]:
    """Terraform, initialized in a copy of a folder, with an AWS of its own."""
    with (
        EmbeddedAws() as aws,
        workspace(source) as directory,
        Terraform(directory, aws.environment(), variables=variables, stand_ins=stand_in_providers) as terraform,
    ):
        terraform.init()
        yield terraform


def slim(plan: PlanResult) -> Document:
    """A plan with what the gate reads of it, without secrets."""
    found = {key: plan.json[key] for key in READ if key in plan.json}
    for each in found["resource_changes"]:
        change = each["change"]
        for side in ("before", "after"):
            values = change.get(side) or {}
            values.update({name: "not kept" for name in SECRET.get(each["type"], ()) if values.get(name)})
            change.pop(f"{side}_sensitive", None)
    prior = plan.json.get("prior_state", {}).get("values", {}).get("root_module", {})
    return {**found, "prior_state": {"format_version": "1.0", "values": {"root_module": _looked_up(prior)}}}


def _looked_up(module: Document) -> Document:
    data = [each for each in module.get("resources", []) if each["mode"] == "data"]
    inside = [found for each in module.get("child_modules", []) if (found := _looked_up(each))]
    return {**({"resources": data} if data else {}), **({"child_modules": inside} if inside else {})}


def settled(found: Document) -> Document:
    """The plan after a deployment, in which nothing is to be changed."""
    hosts = {}
    for each in found["resource_changes"]:
        change = each["change"]
        if change["actions"] == ["update"]:
            if each["type"] == "aws_route53_record":  # Aurora's endpoint is another one after the first answer
                change["after"] = change["before"]
                hosts[each["name"]] = change["before"]["records"][0]
            change.update(actions=["no-op"], before=change["after"], after_unknown={})
    for each in found["resource_changes"]:
        if each["type"] == "aws_rds_cluster" and each["name"] in hosts:
            for side in ("before", "after"):
                each["change"][side]["endpoint"] = hosts[each["name"]]
    return found


def record(name: str, source: Path, variables: dict[str, str]) -> None:
    """Deploy a stack, and keep both plans."""
    with terraform_of(source, variables) as terraform:
        first = terraform.plan()
        _keep(f"{name}-first", slim(first))
        terraform.apply(first)
        _keep(f"{name}-deployed", settled(slim(terraform.plan())))


def _keep(name: str, found: Document) -> None:
    content = json.dumps(found, separators=(",", ":")).encode()
    (PLANS / f"{name}.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))


def main() -> None:
    """Make them all."""
    for name, (app, settings) in OURS.items():
        with synthesized(PROJECT / app, settings=settings) as folder:
            (stack,) = (folder / "stacks").iterdir()
            declared = json.loads((stack / "cdk.tf.json").read_text()).get("variable", {})
            record(name, stack, {key: each for key, each in PRODUCTION_VARIABLES.items() if key in declared})
    for name in THEIRS:
        record(name, STACKS / name, {})


if __name__ == "__main__":
    main()
