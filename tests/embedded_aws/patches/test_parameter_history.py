from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow


def versions(ssm: Any, name: str, **options: Any) -> list[dict[str, Any]]:
    pages = ssm.get_paginator("get_parameter_history").paginate(Name=name, **options)
    return [version for page in pages for version in page["Parameters"]]


def writer_of_a_role_write(account: Tenant) -> tuple[str, str]:
    role = account.role(allow("ssm:*", "*"))
    role.client("ssm").put_parameter(Name="/a", Value="1", Type="String")
    return versions(account.client("ssm"), "/a")[-1]["LastModifiedUser"], role.session_arn


def test_a_version_names_the_session_that_wrote_it(account: Tenant) -> None:
    writer, session = writer_of_a_role_write(account)

    assert writer == session


def test_upstream_still_takes_the_root_for_the_writer(unpatched_account: Tenant) -> None:
    writer, session = writer_of_a_role_write(unpatched_account)

    assert writer != session, "upstream names the writer: parameter_history may go, or parts of it"


def test_a_version_written_by_the_root_names_the_root(account: Tenant) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/a", Value="1", Type="String")

    assert versions(ssm, "/a")[0]["LastModifiedUser"] == f"arn:aws:iam::{account.account_id}:root"


def test_the_description_of_a_parameter_names_its_last_writer(account: Tenant) -> None:
    account.client("ssm").put_parameter(Name="/a", Value="1", Type="String")
    role = account.role(allow("ssm:*", "*"))
    role.client("ssm").put_parameter(Name="/a", Value="2", Overwrite=True)

    (described,) = account.client("ssm").describe_parameters()["Parameters"]
    assert described["LastModifiedUser"] == role.session_arn


def test_the_history_holds_every_version_oldest_first(account: Tenant) -> None:
    ssm, key = account.client("ssm"), account.client("kms").create_key()["KeyMetadata"]["KeyId"]
    ssm.put_parameter(Name="/a", Value="one", Type="SecureString", KeyId=key, Description="first")
    ssm.put_parameter(Name="/a", Value="two", Type="SecureString", KeyId=key, Overwrite=True)
    ssm.put_parameter(Name="/a", Value="three", Type="SecureString", KeyId=key, Overwrite=True, Description="third")

    history = versions(ssm, "/a", WithDecryption=True, PaginationConfig={"PageSize": 2})

    seen = [(v["Version"], v["Value"], v["Description"], v["Type"], v["KeyId"]) for v in history]
    assert seen == [
        (1, "one", "first", "SecureString", key),
        (2, "two", "first", "SecureString", key),  # an overwrite without a description keeps it
        (3, "three", "third", "SecureString", key),
    ]


def test_the_history_shows_no_secret_unless_asked(account: Tenant) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/a", Value="one", Type="SecureString")

    assert "one" not in versions(ssm, "/a")[0]["Value"]


def test_two_writes_within_a_second_can_be_told_apart(account: Tenant) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/a", Value="1", Type="String")
    ssm.put_parameter(Name="/a", Value="2", Overwrite=True)

    first, second = (version["LastModifiedDate"] for version in versions(ssm, "/a"))
    assert first < second
    assert ssm.get_parameter(Name="/a")["Parameter"]["LastModifiedDate"] == second


def write_a_hundred_and_one(account: Tenant) -> Any:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/a", Value="1", Type="String")
    for value in range(2, 102):
        ssm.put_parameter(Name="/a", Value=str(value), Overwrite=True)
    return ssm


def test_the_hundred_newest_versions_are_kept(account: Tenant) -> None:
    ssm = write_a_hundred_and_one(account)

    assert [version["Version"] for version in versions(ssm, "/a")] == list(range(2, 102))


def test_upstream_still_keeps_every_version(unpatched_account: Tenant) -> None:
    ssm = write_a_hundred_and_one(unpatched_account)

    assert versions(ssm, "/a")[0]["Version"] == 1, "upstream keeps 100 versions: the limit in parameter_history may go"


def test_a_labelled_oldest_version_stops_the_hundred_and_first(account: Tenant) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/a", Value="1", Type="String")
    ssm.label_parameter_version(Name="/a", ParameterVersion=1, Labels=["golden"])
    for value in range(2, 101):
        ssm.put_parameter(Name="/a", Value=str(value), Overwrite=True)

    with pytest.raises(ClientError) as refused:
        ssm.put_parameter(Name="/a", Value="101", Overwrite=True)
    assert refused.value.response["Error"]["Code"] == "ParameterMaxVersionLimitExceeded"
    assert ssm.get_parameter(Name="/a")["Parameter"]["Value"] == "100"
