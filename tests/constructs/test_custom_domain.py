"""CustomDomain: one host, a certificate and a mapping in each region, and one record that proves the name."""

import json
from collections.abc import Callable

import pytest

from payment_dr import App, CustomDomain, DisasterRecoveryStack, Region, TerraformStack
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.side import Side
from tests.constructs.documents import Json, resource

LABELS = [("primary", "east", None), ("secondary", "west", "aws.secondary")]


@pytest.fixture(scope="module")
def with_domain(new_app: Callable[[], App]) -> Json:
    parsed: Json = json.loads(CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", custom_domain=True)))
    return parsed


def test_the_domain_is_required_because_no_certificate_is_issued_for_the_placeholder(
    with_domain: Json, stack_json: Json
) -> None:
    assert "default" not in with_domain["variable"]["domain_name"]
    assert stack_json["variable"]["domain_name"]["default"] == "payment-app.test"


def test_the_record_of_another_certificate_for_the_host_is_taken_over(with_domain: Json) -> None:
    record = with_domain["resource"]["aws_route53_record"]["dns_primary_domain_validation_record"]
    assert record["allow_overwrite"] is True


@pytest.mark.parametrize(("side", "label", "provider"), LABELS)
def test_each_region_has_a_certificate_for_the_same_host(
    with_domain: Json, side: Side, label: str, provider: str | None
) -> None:
    certificate = resource(with_domain, "aws_acm_certificate", f"dns_{side}_domain_certificate")
    assert (certificate["domain_name"], certificate["validation_method"], certificate.get("provider")) == (
        "app.${var.domain_name}",
        "DNS",
        provider,
    )
    validation = resource(with_domain, "aws_acm_certificate_validation", f"dns_{side}_domain_validation")
    assert (validation["certificate_arn"], validation["validation_record_fqdns"], validation.get("provider")) == (
        f"${{aws_acm_certificate.dns_{side}_domain_certificate.arn}}",
        ["${aws_route53_record.dns_primary_domain_validation_record.fqdn}"],
        provider,
    )


@pytest.mark.parametrize(("side", "label", "provider"), LABELS)
def test_each_region_maps_the_host_to_its_own_api(
    with_domain: Json, side: Side, label: str, provider: str | None
) -> None:
    domain = resource(with_domain, "aws_apigatewayv2_domain_name", f"dns_{side}_domain_domain_name")
    assert (domain["domain_name"], domain.get("provider")) == ("app.${var.domain_name}", provider)
    assert domain["domain_name_configuration"] == {
        # Of the validation, so that API Gateway is not given a certificate before it is issued.
        "certificate_arn": f"${{aws_acm_certificate_validation.dns_{side}_domain_validation.certificate_arn}}",
        "endpoint_type": "REGIONAL",
        "security_policy": "TLS_1_2",
    }
    mapping = resource(with_domain, "aws_apigatewayv2_api_mapping", f"dns_{side}_domain_api_mapping")
    assert (mapping["api_id"], mapping["stage"], mapping["domain_name"], mapping.get("provider")) == (
        f"${{aws_apigatewayv2_api.health_monitor_{label}_api.id}}",
        f"${{aws_apigatewayv2_stage.health_monitor_{label}_stage.name}}",
        f"${{aws_apigatewayv2_domain_name.dns_{side}_domain_domain_name.id}}",
        provider,
    )


def test_exactly_one_record_proves_the_name(with_domain: Json) -> None:
    records = with_domain["resource"]["aws_route53_record"]
    assert [key for key in records if "validation" in key] == ["dns_primary_domain_validation_record"]


def test_outputs_are_added_and_none_is_taken_away(with_domain: Json, stack_json: Json) -> None:
    assert with_domain["output"].keys() - stack_json["output"].keys() == {
        "application_url",
        "primary_target_name",
        "secondary_target_name",
    }
    assert stack_json["output"].keys() <= with_domain["output"].keys()


def test_no_right_and_no_look_up_is_added(with_domain: Json, stack_json: Json) -> None:
    for kind in ("aws_iam_policy", "aws_iam_role"):
        assert with_domain["resource"][kind] == stack_json["resource"][kind]
    assert with_domain["data"] == stack_json["data"]


def test_it_works_alone(synthesize: Callable[[Callable[[TerraformStack], object]], Json]) -> None:
    stack = synthesize(
        lambda scope: CustomDomain(
            scope,
            "domain",
            region=Region(name="eu-west-1"),
            environment="prod",
            host="api.acme.io",
            api_id="a1",
            stage="live",
            zone_id="Z1",
        )
    )
    (mapping,) = stack["resource"]["aws_apigatewayv2_api_mapping"].values()
    assert (mapping["api_id"], mapping["stage"]) == ("a1", "live")
    (record,) = stack["resource"]["aws_route53_record"].values()
    assert record["zone_id"] == "Z1"
