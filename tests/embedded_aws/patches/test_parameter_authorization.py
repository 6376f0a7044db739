from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow


def reader(account: Tenant, action: str, *names: str) -> Any:
    ssm = account.client("ssm")
    for name in ("/app/a", "/app/b", "/other"):
        ssm.put_parameter(Name=name, Value=f"value of {name}", Type="String")
    arns = [f"arn:aws:ssm:us-east-1:{account.account_id}:parameter{name}" for name in names]
    return account.role(*(allow(action, arn) for arn in arns)).client("ssm")


def read_a_version(account: Tenant) -> str:
    ssm = reader(account, "ssm:GetParameter", "/app/a")
    value: str = ssm.get_parameter(Name="/app/a:1")["Parameter"]["Value"]
    return value


def read_several(account: Tenant) -> list[str]:
    ssm = reader(account, "ssm:GetParameters", "/app/a", "/app/b")
    return [found["Value"] for found in ssm.get_parameters(Names=["/app/a", "/app/b"])["Parameters"]]


def read_a_path(account: Tenant) -> list[str]:
    ssm = reader(account, "ssm:GetParametersByPath", "/app")
    return [found["Name"] for found in ssm.get_parameters_by_path(Path="/app")["Parameters"]]


def test_a_version_is_checked_against_its_parameter(account: Tenant) -> None:
    assert read_a_version(account) == "value of /app/a"


def test_several_names_are_checked_against_each_of_them(account: Tenant) -> None:
    assert read_several(account) == ["value of /app/a", "value of /app/b"]


def test_a_path_is_checked_against_the_path(account: Tenant) -> None:
    assert read_a_path(account) == ["/app/a", "/app/b"]


@pytest.mark.parametrize("read", [read_a_version, read_several, read_a_path])
def test_upstream_still_denies_it(unpatched_account: Tenant, read: Callable[[Tenant], Any]) -> None:
    with pytest.raises(
        ClientError, match="AccessDenied"
    ):  # if not: upstream fixed this, parameter_authorization may go
        read(unpatched_account)


@pytest.mark.parametrize("names", [["/app/a", "/other"], ["/other", "/app/a"]])
def test_one_refused_name_refuses_the_call(account: Tenant, names: list[str]) -> None:
    with pytest.raises(ClientError, match=r"ssm:GetParameters on resource: arn:aws:ssm:.*:parameter/other"):
        reader(account, "ssm:GetParameters", "/app/a").get_parameters(Names=names)


def test_a_version_selects_that_version(account: Tenant) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/a", Value="old", Type="String")
    ssm.put_parameter(Name="/a", Value="new", Overwrite=True)

    found = ssm.get_parameter(Name="/a:1")["Parameter"]
    assert (found["Version"], found["Value"], found["Name"]) == (1, "old", "/a")


def test_deleting_several_needs_the_right_for_each(account: Tenant) -> None:
    with pytest.raises(ClientError, match="parameter/other"):
        reader(account, "ssm:DeleteParameters", "/app/a").delete_parameters(Names=["/app/a", "/other"])
    assert account.client("ssm").get_parameter(Name="/app/a")["Parameter"]["Value"] == "value of /app/a"
