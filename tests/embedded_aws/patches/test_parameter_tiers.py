import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant


def put(account: Tenant, length: int, tier: str) -> None:
    account.client("ssm").put_parameter(Name="/a", Value="x" * length, Type="String", Tier=tier, Overwrite=True)


@pytest.mark.parametrize(("tier", "longest"), [("Standard", 4096), ("Advanced", 8192), ("Intelligent-Tiering", 8192)])
def test_a_tier_takes_values_up_to_its_limit(account: Tenant, tier: str, longest: int) -> None:
    put(account, longest, tier)
    with pytest.raises(ClientError, match=f"ValidationException.*maximum parameter value of {longest} characters"):
        put(account, longest + 1, tier)


def test_an_advanced_parameter_cannot_become_a_standard_one(account: Tenant) -> None:
    put(account, 10, "Standard")
    put(account, 10, "Advanced")
    with pytest.raises(ClientError, match=r"ValidationException.*You can't downgrade a parameter from the advanced"):
        put(account, 10, "Standard")
    account.client("ssm").put_parameter(Name="/a", Value="y", Overwrite=True)  # without a tier it keeps its own


def test_an_advanced_parameter_that_exists_is_not_created_as_a_standard_one(account: Tenant) -> None:
    put(account, 10, "Advanced")
    with pytest.raises(ClientError, match="ParameterAlreadyExists"):
        account.client("ssm").put_parameter(Name="/a", Value="y", Type="String", Tier="Standard")


def test_upstream_still_lets_an_advanced_parameter_become_a_standard_one(unpatched_account: Tenant) -> None:
    put(unpatched_account, 10, "Advanced")
    put(unpatched_account, 10, "Standard")


def test_upstream_still_takes_any_length(unpatched_account: Tenant) -> None:
    put(unpatched_account, 10_000, "Standard")  # once upstream refuses this, parameter_tiers may go
