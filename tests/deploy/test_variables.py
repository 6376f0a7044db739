"""Values that cannot work are refused by Terraform at plan, each with its reason."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import Deployment
from payment_dr.operations.terraform.runner import TerraformFailed

pytestmark = pytest.mark.xdist_group("deployment")

ENVIRONMENT = "The environment must be 2 to 12 lower-case letters, digits or hyphens"
DOMAIN = "The domain_name must be a domain in lower case with at least two labels"
RESERVED = "The domain_name must not be under example.com, example.net or example.org"
EMAIL = "The alert_email must be an email address"


@pytest.mark.parametrize(
    ("variables", "reasons"),
    [
        (
            {"environment": "Production", "domain_name": "pay_acme", "alert_email": "oncall"},
            [ENVIRONMENT, DOMAIN, EMAIL],
        ),
        ({"domain_name": "pay.example.org"}, [RESERVED]),
    ],
)
def test_all_wrong_values_are_named_at_plan_with_their_reason(
    stack_dir: Path, variables: dict[str, Any], reasons: list[str]
) -> None:
    with Deployment(stack_dir=stack_dir, variables=variables) as deployment:
        with pytest.raises(TerraformFailed) as refused:
            deployment.plan()
        text = " ".join(str(diagnostic) for diagnostic in refused.value.diagnostics)
        assert [reason for reason in (ENVIRONMENT, DOMAIN, RESERVED, EMAIL) if reason in text] == reasons
        assert deployment.aws.client("dynamodb", "us-east-1").list_tables()["TableNames"] == []


VALID = {
    "environment": ["dev", "prod", "d2", "pre-prod-eu1"],
    "domain_name": ["acme.io", "pay.acme.co.uk", "payment-app.test", "example.io", "myexample.com", "a.b"],
    "alert_email": ["a@b.io", "dr-alerts@example.com", "first.last+tag@mail.acme.co.uk"],
}
INVALID = {
    "environment": ["", "d", "Dev", "1dev", "-dev", "environment-13", "dev_1", "dev.1"],
    "domain_name": [
        *(
            "",
            "localhost",
            "Acme.io",
            "-acme.io",
            "acme-.io",
            "acme..io",
            ".acme.io",
            "acme.io.",
            "a b.io",
            "x" * 64 + ".io",
        ),
        *("example.com", "example.net", "example.org", "pay.example.com"),
    ],
    "alert_email": ["", "oncall", "a@b", "a b@c.io", "@acme.io", "a@", "a@b@c.io", "a@acme..io", "a@.io"],
}


def accepts(variable: dict[str, Any], value: str) -> bool:
    """Evaluate the variable's conditions: a regex each, possibly negated. Terraform's syntax is RE2."""
    for validation in variable["validation"]:
        found = re.fullmatch(r'\$\{(!?)can\(regex\("(.*)", var\.\w+\)\)\}', validation["condition"])
        assert found
        pattern = found[2].replace("[:space:]", r"\s")
        if bool(re.search(pattern, value)) == bool(found[1]):
            return False
    return True


@pytest.mark.parametrize("name", sorted(VALID))
def test_the_patterns_tell_good_values_from_bad_ones(stack_dir: Path, name: str) -> None:
    variable = json.loads((stack_dir / "cdk.tf.json").read_text())["variable"][name]
    assert [value for value in VALID[name] if not accepts(variable, value)] == []
    assert [value for value in INVALID[name] if accepts(variable, value)] == []
