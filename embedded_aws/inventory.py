"""Lists the resources of an account, to show that a destroy leaves nothing."""

from collections.abc import Iterable, Mapping
from typing import Any

from embedded_aws.server import EmbeddedAws
from payment_dr.operations.aws import listed

Call = tuple[str, str, str, str | None]
"""The service, the call that lists, the key of the list, the key of the name, if the items are not names themselves."""

# By the type of the resource, as Terraform calls it.
REGIONAL: Mapping[str, Call] = {
    "aws_vpc": ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    "aws_subnet": ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    "aws_route_table": ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    "aws_default_security_group": ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    "aws_vpc_endpoint": ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "aws_dynamodb_table": ("dynamodb", "list_tables", "TableNames", None),
    "aws_lambda_function": ("lambda", "list_functions", "Functions", "FunctionArn"),
    "aws_apigatewayv2_api": ("apigatewayv2", "get_apis", "Items", "ApiId"),
    "aws_apigatewayv2_domain_name": ("apigatewayv2", "get_domain_names", "Items", "DomainName"),
    "aws_acm_certificate": ("acm", "list_certificates", "CertificateSummaryList", "CertificateArn"),
    "aws_cloudwatch_event_rule": ("events", "list_rules", "Rules", "Arn"),
    "aws_sns_topic": ("sns", "list_topics", "Topics", "TopicArn"),
    "aws_sns_topic_subscription": ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    "aws_cloudwatch_metric_alarm": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmArn"),
    "aws_cloudwatch_log_group": ("logs", "describe_log_groups", "logGroups", "arn"),
    "aws_ssm_parameter": ("ssm", "describe_parameters", "Parameters", "Name"),
    "aws_kms_alias": ("kms", "list_aliases", "Aliases", "AliasName"),
    "aws_kms_key": ("kms", "list_keys", "Keys", "KeyArn"),
}
GLOBAL: Mapping[str, Call] = {
    "aws_cloudwatch_dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardArn"),
    "aws_s3_bucket": ("s3", "list_buckets", "Buckets", "Name"),
    "aws_iam_role": ("iam", "list_roles", "Roles", "Arn"),
    "aws_iam_policy": ("iam", "list_policies", "Policies", "Arn"),
    "aws_route53_zone": ("route53", "list_hosted_zones", "HostedZones", "Id"),
    "aws_route53_health_check": ("route53", "list_health_checks", "HealthChecks", "Id"),
}
# What has no call of its own: it ends with what it is a part of, which is listed. None is in no account at all.
PART_OF: Mapping[str, str | None] = {
    "aws_acm_certificate_validation": "aws_acm_certificate",  # waits, and makes nothing
    "aws_apigatewayv2_api_mapping": "aws_apigatewayv2_domain_name",
    "aws_apigatewayv2_integration": "aws_apigatewayv2_api",
    "aws_apigatewayv2_route": "aws_apigatewayv2_api",
    "aws_apigatewayv2_stage": "aws_apigatewayv2_api",
    "aws_cloudwatch_event_target": "aws_cloudwatch_event_rule",
    "aws_iam_role_policy_attachment": "aws_iam_role",
    "aws_lambda_function_event_invoke_config": "aws_lambda_function",
    "aws_lambda_permission": "aws_lambda_function",
    "aws_route53_record": "aws_route53_zone",  # AWS deletes no zone that has records
    "aws_route_table_association": "aws_route_table",
    "aws_s3_bucket_policy": "aws_s3_bucket",
    "aws_s3_bucket_public_access_block": "aws_s3_bucket",
    "aws_s3_bucket_replication_configuration": "aws_s3_bucket",
    "aws_s3_bucket_server_side_encryption_configuration": "aws_s3_bucket",
    "aws_s3_bucket_versioning": "aws_s3_bucket",
    "aws_security_group": "aws_default_security_group",  # one call lists both
    "aws_sns_topic_policy": "aws_sns_topic",
    "random_password": None,  # exists in the state alone
    "terraform_data": None,
}


def inventory(aws: EmbeddedAws, regions: Iterable[str]) -> frozenset[str]:
    """List all resources in these regions, and all global ones, as "region service call name".

    KMS keys that wait for their deletion do not count: AWS keeps them for at least seven days.
    """
    found: set[str] = set()
    where = [(region, call) for region in regions for call in REGIONAL.values()]
    where += [("us-east-1", call) for call in GLOBAL.values()]
    for region, (service, operation, items, key) in where:
        client = aws.client(service, region)
        for item in listed(client, operation, items, **({"Scope": "Local"} if operation == "list_policies" else {})):
            if operation == "list_keys" and _waits_for_its_deletion(client, item["KeyId"]):
                continue
            found.add(f"{region} {service} {operation} {item[key] if key else item}")
    return frozenset(found)


def _waits_for_its_deletion(kms: Any, key_id: str) -> bool:
    return bool(kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingDeletion")
