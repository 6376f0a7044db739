"""What a new account of the embedded AWS has, against the table of docs/security.md."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, unique

REGION = "us-east-1"
SAME, NOT_THERE = "the same", "not there"
Clients = Callable[[str], Any]

ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in (Path(__file__).parents[2] / "docs/security.md").read_text("utf-8").splitlines()
    if f" | {SAME} | " in line or f" | {NOT_THERE} | " in line
]


def _of_new_vpc(client: Clients) -> tuple[Any, list[dict[str, Any]]]:
    ec2 = client("ec2")
    return ec2, [{"Name": "vpc-id", "Values": [ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]]}]


def has_default_vpc(client: Clients) -> bool:
    return [vpc["CidrBlock"] for vpc in client("ec2").describe_vpcs()["Vpcs"] if vpc["IsDefault"]] == ["172.31.0.0/16"]


def security_group_is_open(client: Clients) -> bool:
    ec2, of_vpc = _of_new_vpc(client)
    (group,) = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    (in_,), (out,) = group["IpPermissions"], group["IpPermissionsEgress"]
    members = [pair["GroupId"] for pair in in_["UserIdGroupPairs"]]
    anywhere = [each["CidrIp"] for each in out["IpRanges"]]
    return (members, anywhere, in_["IpProtocol"]) == ([group["GroupId"]], ["0.0.0.0/0"], "-1")


def vpc_has_acl_and_route_table(client: Clients) -> bool:
    ec2, of_vpc = _of_new_vpc(client)
    acls, tables = ec2.describe_network_acls(Filters=of_vpc), ec2.describe_route_tables(Filters=of_vpc)
    return (len(acls["NetworkAcls"]), len(tables["RouteTables"])) == (1, 1)


def bucket_is_closed(client: Clients) -> bool:
    s3, name = client("s3"), unique("defaults")
    s3.create_bucket(Bucket=name)
    (ownership,) = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    (encryption,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    return (
        ownership["ObjectOwnership"] == "BucketOwnerEnforced"
        and len(block) == 4
        and all(block.values())
        and encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    )


def root_may_use_a_new_key(client: Clients) -> bool:
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    (statement,) = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Statement"]
    return bool(statement["Principal"]["AWS"].endswith(":root") and statement["Action"] == "kms:*")


def has_aws_managed_keys(client: Clients) -> bool:
    client("ssm").put_parameter(Name=f"/{unique('defaults')}", Value="x", Type="SecureString")
    return "alias/aws/ssm" in [alias["AliasName"] for alias in client("kms").list_aliases()["Aliases"]]


def has_service_linked_roles(client: Clients) -> bool:
    return bool(client("iam").list_roles(PathPrefix="/aws-service-role/")["Roles"])


def table_is_unprotected(client: Clients) -> bool:
    dynamodb, name = client("dynamodb"), unique("defaults")
    key: Any = {"AttributeName": "id"}
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{**key, "KeyType": "HASH"}],
        AttributeDefinitions=[{**key, "AttributeType": "S"}],
    )
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    table = dynamodb.describe_table(TableName=name)["Table"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    return (recovery, table["DeletionProtectionEnabled"]) == ("DISABLED", False)


def log_group_keeps_events(client: Clients) -> bool:
    logs, name = client("logs"), unique("defaults")
    logs.create_log_group(logGroupName=name)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return "retentionInDays" not in group


def zone_has_ns_and_soa(client: Clients) -> bool:
    route53, name = client("route53"), f"{unique('defaults')}.test"
    zone = route53.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"]
    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return sorted(record["Type"] for record in records) == ["NS", "SOA"]


def has_default_event_bus(client: Clients) -> bool:
    return "default" in [bus["Name"] for bus in client("events").list_event_buses()["EventBuses"]]


def _answers(call: Callable[[], Any]) -> bool:
    try:
        return bool(call())
    except ClientError:
        return False


def has_public_parameters(client: Clients) -> bool:
    return _answers(lambda: client("ssm").get_parameter(Name="/aws/service/global-infrastructure/regions/us-east-1"))


def has_quotas(client: Clients) -> bool:
    return _answers(lambda: client("service-quotas").list_service_quotas(ServiceCode="vpc")["Quotas"])


# In the order of the table.
OBSERVED = (
    has_default_vpc,
    security_group_is_open,
    vpc_has_acl_and_route_table,
    bucket_is_closed,
    root_may_use_a_new_key,
    has_aws_managed_keys,
    has_service_linked_roles,
    table_is_unprotected,
    log_group_keeps_events,
    zone_has_ns_and_soa,
    has_default_event_bus,
    has_public_parameters,
    has_quotas,
)


@pytest.mark.parametrize(
    ("row", "observe"), [*zip(ROWS, OBSERVED, strict=True)], ids=[observe.__name__ for observe in OBSERVED]
)
def test_an_account_has_what_the_table_says(
    account: Tenant, row: tuple[str, ...], observe: Callable[[Clients], bool]
) -> None:
    assert observe(lambda service: account.client(service, REGION)) == (row[2] == SAME), row
