"""Where Terraform keeps its state: a file by default, else a bucket outside of the primary region."""

from collections.abc import Callable
from typing import Any

import pytest

from payment_dr import App, ConfigurationError, DisasterRecoveryStack
from tests.constructs.documents import Json
from tests.constructs.test_stack import synthesized

NewApp = Callable[[], App]
STATE = "s3://acme-terraform-state/prod"


def test_it_is_a_file_beside_the_app_by_default(stack_json: Json) -> None:
    assert stack_json["terraform"]["backend"] == {"local": {"path": "../../../terraform.payment-dr.tfstate"}}


@pytest.mark.parametrize(
    ("settings", "region"),
    [
        ({}, "us-west-2"),
        ({"secondary_region": "eu-west-1"}, "eu-west-1"),
        ({"state_region": "us-east-2"}, "us-east-2"),
    ],
)
def test_a_bucket_is_in_the_secondary_region_locked_and_encrypted(
    new_app: NewApp, settings: dict[str, Any], region: str
) -> None:
    stack = synthesized(new_app, state=STATE, **settings)
    assert stack["terraform"]["backend"] == {
        "s3": {
            "bucket": "acme-terraform-state",
            "key": "prod/payment-dr.tfstate",
            "region": region,
            "encrypt": True,
            "use_lockfile": True,
        }
    }
    assert stack["terraform"]["required_version"] == ">= 1.10"  # the first that knows use_lockfile


def test_the_stack_is_of_the_environment_whose_state_it_is(new_app: NewApp) -> None:
    environment = synthesized(new_app, state=STATE)["variable"]["environment"]
    assert environment["default"] == "prod"
    assert environment["validation"][-1]["condition"] == '${var.environment == "prod"}'


def test_the_state_is_of_the_account_of_the_first_apply(stack_json: Json) -> None:
    noted = stack_json["resource"]["terraform_data"]["account"]
    assert noted["input"] == "${data.aws_caller_identity.current.account_id}"
    assert noted["lifecycle"]["ignore_changes"] == ["input"]
    primary, secondary = stack_json["provider"]["aws"]
    assert "allowed_account_ids" not in primary
    assert secondary["allowed_account_ids"] == ["${terraform_data.account.input}"]


def test_an_account_that_is_given_is_the_only_one_from_the_start(new_app: NewApp) -> None:
    primary, secondary = synthesized(new_app, account="123456789012")["provider"]["aws"]
    assert primary["allowed_account_ids"] == ["123456789012"]
    assert secondary["allowed_account_ids"] == ["${terraform_data.account.input}"]


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"state": "acme-terraform-state/prod"}, r"is not a location; write s3://BUCKET/ENVIRONMENT"),
        ({"state": "s3://acme-terraform-state"}, r"is not a location; write s3://BUCKET/ENVIRONMENT"),
        ({"state": "s3:///prod"}, r"is not a location; write s3://BUCKET/ENVIRONMENT"),
        ({"state": "s3://Acme/prod"}, r"the bucket 'Acme', which S3 rejects"),
        ({"state": "s3://acme.state/prod"}, r"the bucket 'acme\.state', which S3 rejects or cannot serve over TLS"),
        ({"state": "s3://ab/prod"}, r"the bucket 'ab', which S3 rejects"),
        ({"state": "s3://xn--acme/prod"}, r"the bucket 'xn--acme', which S3 rejects"),
        ({"state": "s3://acme-s3alias/prod"}, r"the bucket 'acme-s3alias', which S3 rejects"),
        ({"state": "s3://acme-state/prod/more"}, r"the environment 'prod/more'; use 2 to 12"),
        ({"state": STATE, "state_region": "us-east-1"}, r"is the primary region, whose outage .*; leave it out"),
        ({"state": STATE, "state_region": "us-west-9"}, r"state_region='us-west-9' is not a commercial AWS region"),
        ({"state_region": "us-west-2"}, r"has no effect without state; set state to"),
        ({"account": "12345678901"}, r"account='12345678901' is not an AWS account id of twelve digits"),
    ],
)
def test_settings_that_cannot_work_fail_at_synth(new_app: NewApp, settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigurationError, match=mistake):
        DisasterRecoveryStack(new_app(), "payment-dr", **settings)
