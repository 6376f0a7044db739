"""What exists in an account: used to show that a destroy leaves nothing."""

from collections.abc import Iterable

from embedded_aws.server import EmbeddedAws
from payment_dr.operations.aws import listed

# By service: the call that lists, the key of the list, the key of the name. Keys in a list of their own, because a
# deleted key stays for its waiting period.
_REGIONAL = (
    ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("dynamodb", "list_tables", "TableNames", None),
    ("lambda", "list_functions", "Functions", "FunctionArn"),
    ("apigatewayv2", "get_apis", "Items", "ApiId"),
    ("apigatewayv2", "get_domain_names", "Items", "DomainName"),
    ("acm", "list_certificates", "CertificateSummaryList", "CertificateArn"),
    ("events", "list_rules", "Rules", "Arn"),
    ("sqs", "list_queues", "QueueUrls", None),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmArn"),
    ("logs", "describe_log_groups", "logGroups", "arn"),
    ("ssm", "describe_parameters", "Parameters", "Name"),
    ("kms", "list_aliases", "Aliases", "AliasName"),
)
_GLOBAL = (
    ("s3", "list_buckets", "Buckets", "Name"),
    ("iam", "list_roles", "Roles", "Arn"),
    ("iam", "list_policies", "Policies", "Arn"),
    ("route53", "list_hosted_zones", "HostedZones", "Id"),
    ("route53", "list_health_checks", "HealthChecks", "Id"),
)


def inventory(aws: EmbeddedAws, regions: Iterable[str]) -> frozenset[str]:
    """Name everything in these regions, and everything global, as "region service call name".

    KMS keys that wait for their deletion do not count: AWS keeps them for seven days at least.
    """
    found: set[str] = set()
    where = [(region, call) for region in regions for call in _REGIONAL] + [("us-east-1", call) for call in _GLOBAL]
    for region, (service, operation, items, key) in where:
        arguments = {"Scope": "Local"} if operation == "list_policies" else {}
        for item in listed(aws.client(service, region), operation, items, **arguments):
            found.add(f"{region} {service} {operation} {item[key] if key else item}")
    for region in regions:
        kms = aws.client("kms", region)
        for each in listed(kms, "list_keys", "Keys"):
            metadata = kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]
            if metadata["KeyState"] != "PendingDeletion":
                found.add(f"{region} kms list_keys {metadata['Arn']}")
    return frozenset(found)
