from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.certificates import HOST, issue, requested
from tests.embedded_aws.tenant import Tenant


def create(account: Tenant, region: str, arn: str) -> Any:
    """The configuration of a new domain name with this certificate."""
    made = account.client("apigatewayv2", region).create_domain_name(
        DomainName=HOST, DomainNameConfigurations=[{"CertificateArn": arn, "EndpointType": "REGIONAL"}]
    )
    return made["DomainNameConfigurations"][0]


def test_a_domain_name_is_in_the_zone_of_its_region(account: Tenant) -> None:
    arns = {region: requested(account, region) for region in ("us-east-1", "us-west-2")}
    issue(account, arns["us-east-1"])
    made = {region: create(account, region, arn)["HostedZoneId"] for region, arn in arns.items()}
    assert made == {"us-east-1": "Z1UJRXOUMOOFQ8", "us-west-2": "Z2OJLYMUO9EFXC"}
    read = account.client("apigatewayv2", "us-west-2").get_domain_name(DomainName=HOST)
    assert read["DomainNameConfigurations"][0]["HostedZoneId"] == "Z2OJLYMUO9EFXC"


def test_a_certificate_of_another_region_is_refused_with_both_named(account: Tenant) -> None:
    arn = requested(account, "us-west-2")
    issue(account, arn)
    with pytest.raises(ClientError, match=f"Invalid certificate ARN: {arn}. Certificate must be in 'us-east-1'"):
        create(account, "us-east-1", arn)


def test_a_certificate_has_to_be_issued_and_the_accounts_own(account: Tenant) -> None:
    arn = requested(account, "us-east-1")
    with pytest.raises(ClientError, match="is not issued"):
        create(account, "us-east-1", arn)
    with pytest.raises(ClientError, match="must be owned by the account creating the domain"):
        create(Tenant(account.aws), "us-east-1", arn)


def test_a_change_of_the_certificate_is_judged_as_well(account: Tenant) -> None:
    arn = requested(account, "us-east-1")
    issue(account, arn)
    create(account, "us-east-1", arn)
    client = account.client("apigatewayv2")
    with pytest.raises(ClientError, match="must be owned by"):
        client.update_domain_name(DomainName=HOST, DomainNameConfigurations=[{"CertificateArn": f"{arn}0"}])
    client.update_domain_name(DomainName=HOST, DomainNameConfigurations=[{"CertificateArn": arn}])


def test_a_certificate_in_use_is_not_deleted(account: Tenant) -> None:
    arn = requested(account, "us-east-1")
    issue(account, arn)
    create(account, "us-east-1", arn)
    acm = account.client("acm")
    with pytest.raises(acm.exceptions.ResourceInUseException):
        acm.delete_certificate(CertificateArn=arn)
    account.client("apigatewayv2").delete_domain_name(DomainName=HOST)
    acm.delete_certificate(CertificateArn=arn)


def test_upstream_still_takes_any_certificate_and_has_one_zone(unpatched_account: Tenant) -> None:
    arn = requested(unpatched_account, "us-east-1")
    assert create(unpatched_account, "us-west-2", arn)["HostedZoneId"] == "Z1UJRXOUMOOFQ8"
    acm = unpatched_account.client("acm")
    acm.delete_certificate(CertificateArn=arn)
    assert acm.list_certificates()["CertificateSummaryList"] == []
