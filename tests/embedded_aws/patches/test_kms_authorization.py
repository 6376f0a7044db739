import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow

Call = Callable[[Tenant, str, list[dict[str, Any]]], Any]


def key_of(account: Tenant, *statements: dict[str, Any]) -> str:
    """ARN of a key; with AWS's default policy, which leaves the decision to IAM, if no other is given."""
    policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": list(statements)})} if statements else {}
    arn: str = account.client("kms").create_key(**policy)["KeyMetadata"]["Arn"]
    return arn


def ssm_of(account: Tenant, kms_rights: list[dict[str, Any]]) -> Any:
    return account.role(allow("ssm:*", "*"), *kms_rights).client("ssm")


def a_secret(account: Tenant, key: str) -> None:
    account.client("ssm").put_parameter(Name="/app/secret", Value="s3cret", Type="SecureString", KeyId=key)


def read(account: Tenant, key: str, rights: list[dict[str, Any]]) -> Any:
    a_secret(account, key)
    return ssm_of(account, rights).get_parameter(Name="/app/secret", WithDecryption=True)["Parameter"]["Value"]


def read_several(account: Tenant, key: str, rights: list[dict[str, Any]]) -> Any:
    a_secret(account, key)
    found = ssm_of(account, rights).get_parameters(Names=["/app/secret"], WithDecryption=True)
    return found["Parameters"][0]["Value"]


def read_path(account: Tenant, key: str, rights: list[dict[str, Any]]) -> Any:
    a_secret(account, key)
    found = ssm_of(account, rights).get_parameters_by_path(Path="/app", WithDecryption=True)
    return found["Parameters"][0]["Value"]


def read_history(account: Tenant, key: str, rights: list[dict[str, Any]]) -> Any:
    a_secret(account, key)
    found = ssm_of(account, rights).get_parameter_history(Name="/app/secret", WithDecryption=True)
    return found["Parameters"][0]["Value"]


def write(account: Tenant, key: str, rights: list[dict[str, Any]]) -> Any:
    ssm_of(account, rights).put_parameter(Name="/app/secret", Value="s3cret", Type="SecureString", KeyId=key)
    return account.client("ssm").get_parameter(Name="/app/secret", WithDecryption=True)["Parameter"]["Value"]


def overwrite(account: Tenant, key: str, rights: list[dict[str, Any]]) -> Any:
    account.client("ssm").put_parameter(Name="/app/secret", Value="old", Type="SecureString")
    ssm_of(account, rights).put_parameter(Name="/app/secret", Value="s3cret", KeyId=key, Overwrite=True)
    return account.client("ssm").get_parameter(Name="/app/secret", WithDecryption=True)["Parameter"]["Value"]


def through_ssm(account: Tenant, **changes: str) -> dict[str, Any]:
    conditions = {
        "kms:ViaService": "ssm.us-east-1.amazonaws.com",
        "kms:EncryptionContext:PARAMETER_ARN": f"arn:aws:ssm:us-east-1:{account.account_id}:parameter/app/secret",
    }
    return {"StringEquals": {**conditions, **changes}}


CALLS = [
    pytest.param(read, "kms:Decrypt", id="GetParameter"),
    pytest.param(read_several, "kms:Decrypt", id="GetParameters"),
    pytest.param(read_path, "kms:Decrypt", id="GetParametersByPath"),
    pytest.param(read_history, "kms:Decrypt", id="GetParameterHistory"),
    pytest.param(write, "kms:Encrypt", id="PutParameter"),
    pytest.param(overwrite, "kms:Encrypt", id="PutParameter that overwrites"),
]


@pytest.mark.parametrize(("call", "action"), CALLS)
def test_a_secret_needs_the_kms_right_of_its_caller(account: Tenant, call: Call, action: str) -> None:
    with pytest.raises(ClientError, match=f"not authorized to perform: {action} on resource: arn:aws:kms") as refused:
        call(account, key_of(account), [])
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


# Without the calls that upstream denies to roles anyway: see test_parameter_authorization.
@pytest.mark.parametrize("call", [read, read_history, write, overwrite])
def test_upstream_still_does_not_ask_kms(unpatched_account: Tenant, call: Call) -> None:
    assert call(unpatched_account, key_of(unpatched_account), []) == "s3cret"  # refused: kms_authorization may go


@pytest.mark.parametrize(("call", "action"), CALLS)
def test_the_right_through_ssm_for_this_parameter_is_enough(account: Tenant, call: Call, action: str) -> None:
    key = key_of(account)

    assert call(account, key, [allow(action, key, through_ssm(account))]) == "s3cret"


@pytest.mark.parametrize(("call", "action"), CALLS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"kms:ViaService": "ssm.us-west-2.amazonaws.com"},
        {"kms:EncryptionContext:PARAMETER_ARN": "arn:aws:ssm:us-east-1:000000000000:parameter/other"},
    ],
    ids=["other service", "other parameter"],
)
def test_the_right_for_something_else_is_not_enough(
    account: Tenant, call: Call, action: str, wrong: dict[str, str]
) -> None:
    key = key_of(account)

    with pytest.raises(ClientError, match=action):
        call(account, key, [allow(action, key, through_ssm(account, **wrong))])


def test_the_key_policy_has_to_allow_it_too(account: Tenant) -> None:
    only_the_owner = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account.account_id}:user/owner"},
        "Action": "kms:*",
        "Resource": "*",
    }
    key = key_of(account, only_the_owner)

    with pytest.raises(ClientError, match="kms:Decrypt"):
        read(account, key, [allow("kms:Decrypt", key)])


def test_a_key_is_asked_behind_its_alias(account: Tenant) -> None:
    key = key_of(account)
    account.client("kms").create_alias(AliasName="alias/secrets", TargetKeyId=key)

    assert read(account, "alias/secrets", [allow("kms:Decrypt", key)]) == "s3cret"


def test_reading_the_ciphertext_needs_no_kms_right(account: Tenant) -> None:
    a_secret(account, key_of(account))

    assert "s3cret" not in ssm_of(account, []).get_parameter(Name="/app/secret")["Parameter"]["Value"]


def test_the_advanced_tier_needs_a_data_key(account: Tenant) -> None:
    key = key_of(account)
    ssm = ssm_of(account, [allow("kms:GenerateDataKey", key)])

    ssm.put_parameter(Name="/a", Value="1", Type="SecureString", KeyId=key, Tier="Advanced")
    with pytest.raises(ClientError, match="kms:Encrypt"):
        ssm.put_parameter(Name="/b", Value="1", Type="SecureString", KeyId=key)


def test_the_aws_managed_key_needs_no_kms_right(account: Tenant) -> None:
    ssm = ssm_of(account, [])
    ssm.put_parameter(Name="/a", Value="s3cret", Type="SecureString")

    assert ssm.get_parameter(Name="/a", WithDecryption=True)["Parameter"]["Value"] == "s3cret"


def write_with_a_missing_key(account: Tenant) -> None:
    missing = f"arn:aws:kms:us-east-1:{account.account_id}:key/00000000-0000-0000-0000-000000000000"
    account.client("ssm").put_parameter(Name="/a", Value="1", Type="SecureString", KeyId=missing)


def test_a_key_that_does_not_exist_is_refused(account: Tenant) -> None:
    with pytest.raises(ClientError, match="InvalidKeyId"):
        write_with_a_missing_key(account)


def test_upstream_still_takes_any_key(unpatched_account: Tenant) -> None:
    write_with_a_missing_key(unpatched_account)  # refused: that part of kms_authorization may go


def publish(account: Tenant, key: str, rights: list[dict[str, Any]]) -> str:
    topic = account.client("sns").create_topic(Name="alerts", Attributes={"KmsMasterKeyId": key})["TopicArn"]
    role = account.role(allow("sns:Publish", topic), *rights)
    message_id: str = role.client("sns").publish(TopicArn=topic, Message="hello")["MessageId"]
    return message_id


@pytest.mark.parametrize(
    ("granted", "missing"), [("kms:Decrypt", "kms:GenerateDataKey"), ("kms:GenerateDataKey", "kms:Decrypt")]
)
def test_publishing_encrypted_needs_both_kms_rights(account: Tenant, granted: str, missing: str) -> None:
    key = key_of(account)

    with pytest.raises(ClientError, match=f"not authorized to perform: {missing}") as refused:
        publish(account, key, [allow(granted, key)])
    assert refused.value.response["Error"]["Code"] == "KMSAccessDenied"


def test_publishing_encrypted_through_sns_is_allowed_with_both(account: Tenant) -> None:
    key = key_of(account)
    through_sns = {"StringEquals": {"kms:ViaService": "sns.us-east-1.amazonaws.com"}}

    assert publish(account, key, [allow(["kms:GenerateDataKey", "kms:Decrypt"], key, through_sns)])


def test_upstream_still_publishes_without_asking_kms(unpatched_account: Tenant) -> None:
    assert publish(unpatched_account, key_of(unpatched_account), [])  # refused: that part of kms_authorization may go


def encrypt_directly(account: Tenant, name: str, value: str) -> None:
    key = key_of(account)
    context = {"PARAMETER_ARN": "a"}
    role = account.role(allow("kms:Encrypt", key, {"StringEquals": {name: value}}))
    role.client("kms").encrypt(KeyId=key, Plaintext=b"s3cret", EncryptionContext=context)


def test_a_direct_call_of_kms_carries_the_account_and_the_encryption_context(account: Tenant) -> None:
    encrypt_directly(account, "kms:CallerAccount", account.account_id)
    key = key_of(account)
    for_a = {"StringEquals": {"kms:EncryptionContext:PARAMETER_ARN": "a"}}
    kms = account.role(allow("kms:Encrypt", key, for_a), name="for-a").client("kms")
    kms.encrypt(KeyId=key, Plaintext=b"s3cret", EncryptionContext={"PARAMETER_ARN": "a"})
    with pytest.raises(ClientError, match="AccessDenied"):
        kms.encrypt(KeyId=key, Plaintext=b"s3cret", EncryptionContext={"PARAMETER_ARN": "b"})


@pytest.mark.parametrize(
    ("name", "value"), [("kms:CallerAccount", "111111111111"), ("kms:ViaService", "ssm.us-east-1.amazonaws.com")]
)
def test_a_direct_call_of_kms_is_told_from_others(account: Tenant, name: str, value: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        encrypt_directly(account, name, value)


def test_upstream_still_knows_no_condition_key_of_kms(unpatched_account: Tenant) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):  # if not: that part of kms_authorization may go
        encrypt_directly(unpatched_account, "kms:CallerAccount", unpatched_account.account_id)


def delivered(account: Tenant, granted: list[str]) -> bool:
    """Whether a message reaches a queue behind a topic; the queue's key lets SNS do this."""
    owner = {**allow("kms:*", "*"), "Principal": {"AWS": f"arn:aws:iam::{account.account_id}:root"}}
    sns_may = {**allow(granted, "*"), "Principal": {"Service": "sns.amazonaws.com"}}
    key = key_of(account, owner, *([sns_may] if granted else []))
    sqs, sns = account.client("sqs"), account.client("sns")
    url, arn = account.queue("mail", {**allow("sqs:SendMessage", "*"), "Principal": "*"})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": key})
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="hello")
    return bool(sqs.receive_message(QueueUrl=url).get("Messages"))  # it is there before publish answers


def test_sns_delivers_to_an_encrypted_queue_whose_key_lets_it(account: Tenant) -> None:
    assert delivered(account, ["kms:Decrypt", "kms:GenerateDataKey*"])


@pytest.mark.parametrize("granted", [[], ["kms:Decrypt"], ["kms:GenerateDataKey"]], ids=str)
def test_sns_does_not_deliver_to_an_encrypted_queue_whose_key_keeps_it_out(account: Tenant, granted: list[str]) -> None:
    assert not delivered(account, granted)


def test_upstream_still_delivers_to_any_encrypted_queue(unpatched_account: Tenant) -> None:
    assert delivered(unpatched_account, [])  # if not: that part of kms_authorization may go
