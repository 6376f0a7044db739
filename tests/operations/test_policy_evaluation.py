"""Policies as AWS evaluates them; what is not known from here never counts against the caller."""

from typing import Any

import pytest

from payment_dr.operations.policy_evaluation import Request, document_of, may, may_use

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sync"
OF_ACCOUNT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
DECRYPT = Request("kms:Decrypt", KEY, frozenset({ROLE}), {"kms:ViaService": "ssm.us-east-1.amazonaws.com"})
ALLOWS: dict[str, Any] = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY}
DENIES = ALLOWS | {"Effect": "Deny"}


def policy(*statements: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([ALLOWS], True),
        ([ALLOWS | {"Action": "*"}], True),
        ([ALLOWS | {"Action": ["kms:Encrypt", "KMS:de*"]}], True),
        ([ALLOWS | {"Action": "kms:Decryp?"}], True),
        ([ALLOWS | {"Action": "kms:Encrypt"}], False),
        ([ALLOWS | {"Resource": f"{KEY}2"}], False),
        ([ALLOWS | {"Resource": f"arn:aws:kms:*:{ACCOUNT}:key/*"}], True),
        ([ALLOWS | {"Resource": "arn:aws:kms:[a-z]*:1"}], False),
        ([ALLOWS | {"Resource": "arn:aws:kms:us-east-1:${aws:PrincipalAccount}:key/1"}], True),
        ([{"Effect": "Allow", "NotAction": "kms:Decrypt", "Resource": "*"}], False),
        ([{"Effect": "Allow", "NotAction": "kms:Encrypt", "Resource": "*"}], True),
        ([{"Effect": "Allow", "Action": "*", "NotResource": KEY}], False),
        ([{"Effect": "Allow", "Action": "*", "NotResource": "${aws:username}"}], True),
        ([ALLOWS, DENIES], False),
        ([ALLOWS, DENIES | {"Action": "kms:Encrypt"}], True),
    ],
)
def test_a_policy_of_an_identity(statements: list[Any], allowed: bool) -> None:
    assert may([policy(*statements)], DECRYPT) is allowed


@pytest.mark.parametrize(
    ("condition", "by_an_allowing_one", "past_a_denying_one"),
    [
        ({"StringEquals": {"kms:ViaService": "ssm.us-east-1.amazonaws.com"}}, True, False),
        ({"StringEquals": {"KMS:viaservice": ["sns.us-east-1.amazonaws.com"]}}, False, True),
        ({"StringLike": {"kms:ViaService": ["ssm.*.amazonaws.com"]}}, True, False),
        ({"StringEqualsIgnoreCaseIfExists": {"kms:ViaService": "SSM.us-east-1.amazonaws.com"}}, True, False),
        ({"ForAnyValue:StringEquals": {"kms:ViaService": ["sns.us-east-1.amazonaws.com"]}}, False, True),
        ({"ArnEquals": {"kms:ViaService": "ssm.*"}}, True, False),
        ({"StringEquals": {"kms:ViaService": "${aws:PrincipalTag/service}"}}, True, True),
        ({"StringEqualsIgnoreCase": {"kms:ViaService": "${aws:PrincipalTag/service}"}}, True, True),
        # neither is known here
        ({"StringEquals": {"aws:SourceVpc": "vpc-1"}}, True, True),
        ({"StringNotEquals": {"kms:ViaService": "ssm.us-east-1.amazonaws.com"}}, True, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, True, True),
        # one that is not met is enough
        (
            {
                "Bool": {"aws:SecureTransport": "true"},
                "StringEquals": {"kms:ViaService": "sns.us-east-1.amazonaws.com"},
            },
            False,
            True,
        ),
    ],
)
def test_a_condition_counts_as_far_as_it_is_known(
    condition: Any, by_an_allowing_one: bool, past_a_denying_one: bool
) -> None:
    assert may([policy(ALLOWS | {"Condition": condition})], DECRYPT) is by_an_allowing_one
    assert may([policy(ALLOWS), policy(DENIES | {"Condition": condition})], DECRYPT) is past_a_denying_one


@pytest.mark.parametrize(
    ("of_key", "of_role", "allowed"),
    [
        ([], [ALLOWS], False),
        ([ALLOWS | {"Principal": {"AWS": ROLE}}], [], True),
        ([ALLOWS | {"Principal": {"AWS": [f"{ROLE}-other"]}}], [ALLOWS], False),
        ([ALLOWS | {"Principal": "*"}], [], True),
        ([ALLOWS | {"Principal": {"AWS": "*"}}], [], True),
        ([ALLOWS | {"Principal": OF_ACCOUNT}], [], False),
        ([ALLOWS | {"Principal": OF_ACCOUNT}], [ALLOWS], True),
        ([ALLOWS | {"Principal": {"AWS": ACCOUNT}}], [ALLOWS], True),
        ([ALLOWS | {"NotPrincipal": {"AWS": f"{ROLE}-other"}}], [], True),
        ([ALLOWS | {"Principal": OF_ACCOUNT}, DENIES | {"NotPrincipal": {"AWS": ROLE}}], [ALLOWS], True),
        ([ALLOWS | {"Principal": OF_ACCOUNT}], [ALLOWS, DENIES], False),
        ([ALLOWS | {"Principal": {"AWS": ROLE}}], [DENIES], False),
        ([ALLOWS | {"Principal": {"AWS": ROLE}}, DENIES | {"Principal": OF_ACCOUNT}], [ALLOWS], False),
        ([ALLOWS | {"Principal": OF_ACCOUNT}, DENIES | {"Principal": {"AWS": ROLE}}], [ALLOWS], False),
        ([ALLOWS | {"Principal": {"Service": "sns.amazonaws.com"}}], [ALLOWS], False),
    ],
)
def test_the_policy_of_a_key_decides_or_leaves_it_to_the_role(
    of_key: list[Any], of_role: list[Any], allowed: bool
) -> None:
    assert may_use(policy(*of_key), [policy(*of_role)], DECRYPT, ACCOUNT) is allowed


def test_a_service_is_named_by_the_policy_of_a_resource() -> None:
    request = Request("sns:Publish", "topic", frozenset({"cloudwatch.amazonaws.com"}), {})
    of_topic = policy(
        {"Effect": "Allow", "Action": "SNS:Publish", "Principal": {"Service": "cloudwatch.amazonaws.com"}}
    )
    assert may([of_topic], request)
    assert not may([of_topic], Request("sns:Publish", "topic", frozenset({"events.amazonaws.com"}), {}))


def test_a_single_statement_needs_no_list_and_a_policy_may_be_text() -> None:
    assert may([document_of('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')], DECRYPT)
    assert not may([{}], DECRYPT)
