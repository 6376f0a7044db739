"""checkov over the plan and parliament over the policies: every finding is fixed, or suppressed beside the code."""

import json
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import PROJECT
from tests.deploy.conftest import Deployed

pytestmark = pytest.mark.slow

Findings = set[tuple[str, str]]  # address and check
POLICIES = {
    "aws_iam_policy": "policy",
    "aws_iam_role": "assume_role_policy",
    "aws_kms_key": "policy",
    "aws_sns_topic_policy": "policy",
}
PARLIAMENT = "PARLIAMENT_"


def linter(name: str, *arguments: str | Path) -> str:
    command = [PROJECT / ".linters/bin" / name, *arguments]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return run.stdout


def suppressed_in(deployment: Deployed) -> dict[tuple[str, str], str]:
    """The reason of each suppression by address and check."""
    stack = json.loads((deployment.terraform.directory / "cdk.tf.json").read_text(encoding="utf-8"))
    return {
        (f"{type_}.{name}", check): reason
        for type_, named in stack["resource"].items()
        for name, body in named.items()
        for check, reason in body["//"].get("suppressed", {}).items()
    }


def policies_of(deployment: Deployed) -> dict[str, Any]:
    """Every policy as it is deployed, by address."""
    state = json.loads((deployment.terraform.directory / "terraform.tfstate").read_text(encoding="utf-8"))
    found = {
        f"{each['type']}.{each['name']}": instance["attributes"].get(POLICIES.get(each["type"], ""))
        for each in state["resources"]
        for instance in each["instances"]
    }
    return {address: json.loads(policy) for address, policy in found.items() if policy}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("deployment", marks=pytest.mark.xdist_group("deployment")),
        pytest.param("with_options", marks=pytest.mark.xdist_group("options")),
    ],
)
def linted(request: pytest.FixtureRequest) -> Deployed:
    """The default stack, and that of the production preset."""
    deployed: Deployed = request.getfixturevalue(request.param)
    return deployed


@pytest.fixture(scope="module")
def suppressed(linted: Deployed) -> dict[tuple[str, str], str]:
    return suppressed_in(linted)


@pytest.fixture(scope="module")
def policies(linted: Deployed) -> dict[str, Any]:
    return policies_of(linted)


def parliament(policies: dict[str, Any], folder: Path) -> Findings:
    for address, policy in deepcopy(policies).items():
        if address.startswith("aws_iam_role."):  # it knows identity policies alone, where a resource is a must
            for statement in policy["Statement"]:
                statement["Resource"] = "arn:aws:iam::000000000000:role/this"
        (folder / f"{address}.json").write_text(json.dumps(policy))
    lines = linter("parliament", "--json", "--directory", folder).splitlines()
    found = [json.loads(line) for line in lines]
    return {(Path(each["location"]["filepath"]).stem, PARLIAMENT + each["issue"]) for each in found}


def test_checkov_finds_nothing_that_is_not_excused(
    linted: Deployed, suppressed: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    plan = tmp_path / "tfplan.json"
    plan.write_text(json.dumps(linted.planned))
    report = json.loads(linter("checkov", "-f", plan, "--framework", "terraform_plan", "-o", "json", "--quiet"))
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    failed = {(check["resource"], check["check_id"]) for check in report["results"]["failed_checks"]}
    assert failed == {each for each in suppressed if not each[1].startswith(PARLIAMENT)}


def test_parliament_finds_nothing_that_is_not_excused(
    policies: dict[str, Any], suppressed: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    assert {address.split(".")[0] for address in policies} == set(POLICIES)
    assert parliament(policies, tmp_path) == {each for each in suppressed if each[1].startswith(PARLIAMENT)}


def test_parliament_reads_every_kind_of_policy(policies: dict[str, Any], tmp_path: Path) -> None:
    one_of_each = {address.split(".")[0]: (address, policy) for address, policy in deepcopy(policies).items()}
    for _, policy in one_of_each.values():
        policy["Statement"][0]["Action"] = "iam:MakeCoffee"
    found = parliament(dict(one_of_each.values()), tmp_path)
    assert {address for address, check in found if check == "PARLIAMENT_UNKNOWN_ACTION"} == {
        address for address, _ in one_of_each.values()
    }


def test_every_suppression_has_a_reason(suppressed: dict[tuple[str, str], str]) -> None:
    assert [reason for reason in suppressed.values() if len(reason) < 20] == []
