"""Values that cannot work are refused by Terraform at plan, each with its reason."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import Deployment
from embedded_aws.inventory import inventory
from payment_dr.operations.terraform.runner import TerraformFailed, find_terraform

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

ENVIRONMENT = "The environment must be 2 to 12 lower-case letters, digits or hyphens"
DOMAIN = "The domain_name must be a domain in lower case with at least two labels"
RESERVED = "The domain_name must not be under example.com, example.net or example.org"
EMAIL = "The alert_email must be an email address"
KEYS = "The initial_secrets may only have these keys: database-connection-string, api-key."
BYTES = "Each value in initial_secrets must have 1 to 4,096 bytes."


def test_all_wrong_values_are_named_at_plan_with_their_reason(branched: Deployment) -> None:
    secrets = {"apikey": "not to be shown", "api-key": ""}
    wrong: dict[str, object] = {"environment": "Production", "domain_name": "Pay.example.org", "alert_email": "oncall"}
    wrong |= {"initial_secrets": secrets}
    (branched.terraform.directory / "wrong.auto.tfvars.json").write_text(json.dumps(wrong))
    before = inventory(branched.aws, branched.regions)
    with pytest.raises(TerraformFailed) as refused:
        branched.terraform.plan(refresh=False)
    text = " ".join(str(diagnostic) for diagnostic in refused.value.diagnostics)
    assert [reason for reason in (ENVIRONMENT, DOMAIN, RESERVED, EMAIL, KEYS, BYTES) if reason not in text] == []
    assert "not to be shown" not in text
    assert inventory(branched.aws, branched.regions) == before


VALID = {
    "environment": ["dev", "prod", "d2", "pre-prod-eu1"],
    "domain_name": ["acme.io", "pay.acme.co.uk", "payment-app.test", "example.io", "myexample.com", "a.b"],
    "alert_email": ["a@b.io", "dr-alerts@example.com", "first.last+tag@mail.acme.co.uk"],
}
# By the one reason for which Terraform rejects each.
INVALID = {
    "environment": {ENVIRONMENT: ["", "d", "Dev", "1dev", "-dev", "environment-13", "dev_1", "dev.1"]},
    "domain_name": {
        DOMAIN: [
            "",
            "localhost",
            "Acme.io",
            "pay_acme",
            "pay_acme.io",
            "-acme.io",
            "acme-.io",
            "acme..io",
            ".acme.io",
            "acme.io.",
            "a b.io",
            "x" * 64 + ".io",
        ],
        RESERVED: ["example.com", "example.net", "example.org", "pay.example.com", "pay.example.org"],
    },
    "alert_email": {EMAIL: ["", "oncall", "a@b", "a b@c.io", "@acme.io", "a@", "a@b@c.io", "a@acme..io", "a@.io"]},
}


def reasons(variable: dict[str, Any], value: str) -> list[str]:
    """The error message of each condition that fails: a regex each, possibly negated. Terraform's syntax is RE2."""
    failed = []
    for validation in variable["validation"]:
        found = re.fullmatch(r'\$\{(!?)can\(regex\("(.*)", var\.\w+\)\)\}', validation["condition"])
        assert found
        pattern = found[2].replace("[:space:]", r"\s")
        if bool(re.search(pattern, value)) == bool(found[1]):
            failed.append(validation["error_message"])
    return failed


@pytest.mark.parametrize("name", sorted(VALID))
def test_the_patterns_tell_good_values_from_bad_ones(stack_dir: Path, name: str) -> None:
    variable = json.loads((stack_dir / "cdk.tf.json").read_text())["variable"][name]
    assert [value for value in VALID[name] if reasons(variable, value)] == []
    for expected, values in INVALID[name].items():
        found = {value: reasons(variable, value) for value in values}
        assert {value: each for value, each in found.items() if [expected in reason for reason in each] != [True]} == {}


SECRETS: list[tuple[dict[str, str], set[str]]] = [
    ({}, set()),
    ({"api-key": "x"}, set()),
    ({"api-key": "x" * 4096, "database-connection-string": "ä" * 2048}, set()),
    ({"api-key": ""}, {BYTES}),
    ({"api-key": "x" * 4097}, {BYTES}),
    ({"api-key": "x" * 4098}, {BYTES}),
    ({"api-key": "x", "database-connection-string": "ä" * 2048 + "x"}, {BYTES}),
    ({"api_key": "x"}, {KEYS}),
    ({"api-key": "x", "API-KEY": "x"}, {KEYS}),
    ({"": ""}, {KEYS, BYTES}),
]


def test_first_values_have_known_keys_and_fit_into_a_parameter(stack_dir: Path, tmp_path: Path) -> None:
    """Terraform evaluates the conditions, with a variable for each case and no provider."""
    variable = json.loads((stack_dir / "cdk.tf.json").read_text())["variable"]["initial_secrets"]
    found: dict[str, set[str]] = {}
    for number, (secrets, _) in enumerate(SECRETS):
        name = f"case_{number}"
        case = json.loads(json.dumps(variable).replace("var.initial_secrets", f"var.{name}")) | {"default": secrets}
        (tmp_path / f"{name}.tf.json").write_text(json.dumps({"variable": {name: case}}))
        found[f"{name}.tf.json"] = set()
    command = [find_terraform().path, "plan", "-json", "-input=false"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    for message in map(json.loads, done.stdout.splitlines()):
        if diagnostic := message.get("diagnostic"):
            reasons = {reason for reason in (KEYS, BYTES) if reason in diagnostic["detail"]}
            assert reasons, diagnostic
            found[diagnostic["range"]["filename"]] |= reasons
    assert list(found.values()) == [reasons for _, reasons in SECRETS]
