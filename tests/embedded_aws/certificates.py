"""Certificates of ACM, requested and issued as Terraform does it."""

from typing import Any

from tests.embedded_aws.tenant import Tenant

HOST = "app.shop.test"


def requested(account: Tenant, region: str) -> str:
    arn: str = account.client("acm", region).request_certificate(DomainName=HOST, ValidationMethod="DNS")[
        "CertificateArn"
    ]
    return arn


def certificate(account: Tenant, region: str, arn: str) -> Any:
    return account.client("acm", region).describe_certificate(CertificateArn=arn)["Certificate"]


def proof(account: Tenant, region: str, arn: str) -> Any:
    (option,) = certificate(account, region, arn)["DomainValidationOptions"]
    return option["ResourceRecord"]


def write(account: Tenant, name: str, value: str) -> None:
    client = account.client("route53")
    zone = client.create_hosted_zone(Name="shop.test", CallerReference=value)["HostedZone"]["Id"]
    record = {"Name": name, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": value}]}
    client.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )


def issue(account: Tenant, arn: str) -> None:
    """Write the record that ACM asks for."""
    wanted = proof(account, arn.split(":")[3], arn)
    write(account, wanted["Name"], wanted["Value"])
