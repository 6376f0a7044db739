"""Two environments of the stack in one AWS account."""

import json

import pytest

from embedded_aws.deployment import Deployment
from embedded_aws.inventory import inventory
from tests.deploy.conftest import Reshape

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]


def test_dev_and_prod_are_side_by_side_in_one_account(branched: Deployment, reshape: Reshape) -> None:
    """As docs/deploy.md says: another table, domain and state."""
    dev = inventory(branched.aws, branched.regions)
    reshape(branched, 'table_name="transactions-prod"')
    (branched.terraform.directory / "terraform.tfstate").unlink()
    prod = {"environment": "prod", "domain_name": "prod.payment-app.test"}
    (branched.terraform.directory / "prod.auto.tfvars.json").write_text(json.dumps(prod), encoding="utf-8")

    branched.apply()

    both = inventory(branched.aws, branched.regions)
    assert dev - both == frozenset()
    for side in ("primary", "secondary"):
        tables = branched.aws.client("dynamodb", branched.region(side)).list_tables()["TableNames"]
        assert tables == ["transactions", "transactions-prod"]
