"""What holds data keeps its address and its name: Terraform replaces what has another one, and the data is gone."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from payment_dr import App, DisasterRecoveryStack
from payment_dr.bindings import Testing as CdktfTesting
from tests.constructs.documents import Json

# Arguments of which another value replaces the resource: "Forces new resource" on the provider's page of each,
# https://github.com/hashicorp/terraform-provider-aws/tree/v5.100.0/website/docs/r
REPLACING = {
    "aws_dynamodb_table": ("name", "hash_key", "range_key", "provider"),
    "aws_kms_key": ("provider",),
    "aws_route53_zone": ("name",),
    "aws_s3_bucket": ("bucket", "provider"),
    "aws_ssm_parameter": ("name", "provider"),
}
BUCKET = "s3-payment-docs-{}-${{var.environment}}-${{data.aws_caller_identity.current.account_id}}"
PARAMETER = "/payment-app/${{var.environment}}/{}"
WEST = "aws.secondary"
KEPT = {
    "aws_dynamodb_table.data_table": ("transactions", "transaction_id", "timestamp", None),
    "aws_kms_key.encryption_east_key": (None,),
    "aws_kms_key.encryption_west_key": (WEST,),
    "aws_route53_zone.dns_zone": ("${var.domain_name}",),
    "aws_s3_bucket.data_source_bucket": (BUCKET.format("east"), None),
    "aws_s3_bucket.data_destination_bucket": (BUCKET.format("west"), WEST),
    "aws_ssm_parameter.config_sync_parameter_api_key_east": (PARAMETER.format("api-key"), None),
    "aws_ssm_parameter.config_sync_parameter_api_key_west": (PARAMETER.format("api-key"), WEST),
    "aws_ssm_parameter.config_sync_parameter_database_connection_string_east": (
        PARAMETER.format("database-connection-string"),
        None,
    ),
    "aws_ssm_parameter.config_sync_parameter_database_connection_string_west": (
        PARAMETER.format("database-connection-string"),
        WEST,
    ),
}


@pytest.mark.parametrize("settings", [{}, {"custom_domain": True}], ids=["default", "custom domain"])
def test_resources_that_hold_data_are_not_replaced(settings: dict[str, Any], new_app: Callable[[], App]) -> None:
    """A red test here is an upgrade that loses data: see docs/upgrading.md before the list is changed."""
    stack: Json = json.loads(CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", **settings)))
    assert {
        f"{type_}.{name}": tuple(resource.get(argument) for argument in arguments)
        for type_, arguments in REPLACING.items()
        for name, resource in stack["resource"][type_].items()
    } == KEPT
