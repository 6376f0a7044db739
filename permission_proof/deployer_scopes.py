"""The resources of each action of a deployment, by the stack's names, and what AWS requires beyond the recording."""

from collections.abc import Mapping

from payment_dr.operations.iam_policies import ACCOUNT_ID, ENVIRONMENT, TABLE, Document

# Tags are read, set and removed by GET, POST and DELETE on a path of their own:
# https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/tags-resource-arn.html. It ends with the encoded ARN of
# what is tagged, whose id AWS chooses; which characters it encodes no page says, so the pattern is not narrower.
_TAGS_OF_APIS = ("arn:aws:apigateway:*::/tags/*",)

PAYMENTS = f"arn:aws:dynamodb:*:{ACCOUNT_ID}:table/{TABLE}"
SWITCH = f"arn:aws:dynamodb:*:{ACCOUNT_ID}:table/table-switch-*-{ENVIRONMENT}"

# The resources of each service. Names that AWS chooses (ids of keys, networks, APIs, zones) cannot be known.
SCOPES: Mapping[str, tuple[str, ...]] = {
    "apigateway": ("arn:aws:apigateway:*::/apis", "arn:aws:apigateway:*::/apis/*"),
    "apigateway tags": _TAGS_OF_APIS,
    "cloudwatch": (f"arn:aws:cloudwatch:*:{ACCOUNT_ID}:alarm:alarm-*-{ENVIRONMENT}",),
    # They have no region: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    "cloudwatch dashboards": (f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/dashboard-*-{ENVIRONMENT}",),
    "dynamodb": (PAYMENTS, SWITCH),
    "ec2": tuple(f"arn:aws:ec2:*:{ACCOUNT_ID}:{kind}/*" for kind in ("route-table", "security-group", "subnet", "vpc")),
    "events": (f"arn:aws:events:*:{ACCOUNT_ID}:rule/event-rule-*-{ENVIRONMENT}",),
    "iam": (
        f"arn:aws:iam::{ACCOUNT_ID}:policy/iam-policy-*-{ENVIRONMENT}",
        f"arn:aws:iam::{ACCOUNT_ID}:role/iam-role-*-{ENVIRONMENT}",
    ),
    "kms": (f"arn:aws:kms:*:{ACCOUNT_ID}:alias/dr-encryption-*-{ENVIRONMENT}", f"arn:aws:kms:*:{ACCOUNT_ID}:key/*"),
    "lambda": (f"arn:aws:lambda:*:{ACCOUNT_ID}:function:lambda-*-{ENVIRONMENT}",),
    "logs": tuple(
        f"arn:aws:logs:*:{ACCOUNT_ID}:log-group:{group}-*-{ENVIRONMENT}{end}"
        for group in ("/aws/lambda/lambda", "/aws/vendedlogs/apigateway/api")
        for end in ("", ":*")
    ),
    "route53": ("arn:aws:route53:::healthcheck/*", "arn:aws:route53:::hostedzone/*"),
    "s3": (f"arn:aws:s3:::s3-payment-docs-*-{ENVIRONMENT}-{ACCOUNT_ID}",),
    "s3 objects": (f"arn:aws:s3:::s3-payment-docs-*-{ENVIRONMENT}-{ACCOUNT_ID}/*",),
    "sns": (f"arn:aws:sns:*:{ACCOUNT_ID}:sns-dr-alerts-*-{ENVIRONMENT}",),
    "ssm": (f"arn:aws:ssm:*:{ACCOUNT_ID}:parameter/payment-app/{ENVIRONMENT}/*",),
}
OF_A_CUSTOM_DOMAIN: Mapping[str, tuple[str, ...]] = {
    "acm": (f"arn:aws:acm:*:{ACCOUNT_ID}:certificate/*",),
    "apigateway": ("arn:aws:apigateway:*::/domainnames", "arn:aws:apigateway:*::/domainnames/*"),
    "apigateway tags": _TAGS_OF_APIS,
}
OF_ENDPOINTS: Mapping[str, tuple[str, ...]] = {
    "ec2": (*SCOPES["ec2"], f"arn:aws:ec2:*:{ACCOUNT_ID}:vpc-endpoint/*"),
}
# Actions without a resource, by https://docs.aws.amazon.com/service-authorization/latest/reference/ and the page of
# the service there. DescribeAlarms and DescribeLogGroups are lists, which Terraform filters by prefix.
ANYWHERE = frozenset(
    {
        "acm:RequestCertificate",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:GetMetricStatistics",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribePrefixLists",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeVpcs",
        "events:ListRuleNamesByTarget",
        "kms:CreateKey",
        "kms:ListAliases",
        "logs:DescribeLogGroups",
        "route53:CreateHealthCheck",
        "route53:CreateHostedZone",
        "sns:GetSubscriptionAttributes",
        "sns:Unsubscribe",
        "ssm:DescribeParameters",
    }
)
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: no permissions are required.
FREE = frozenset({"sts:GetCallerIdentity"})

# Actions for which ministack 1.5.33 checks another ARN than AWS, mostly "*": the proof must allow it there too.
ASKED_OTHERWISE = frozenset(
    {
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DeleteDashboards",
        "cloudwatch:GetDashboard",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:PutDashboard",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
        "dynamodb:ListTagsOfResource",
        "dynamodb:TagResource",
        "dynamodb:UntagResource",
        "ec2:CreateTags",
        "ec2:CreateVpc",
        "ec2:DeleteTags",
        "ec2:DisassociateRouteTable",
        "events:DeleteRule",
        "events:DescribeRule",
        "events:ListTagsForResource",
        "events:ListTargetsByRule",
        "events:PutRule",
        "events:PutTargets",
        "events:RemoveTargets",
        "events:TagResource",
        "events:UntagResource",
        "iam:CreatePolicy",
        "kms:CreateAlias",
        "kms:DeleteAlias",
        "lambda:CreateFunction",
        "route53:ChangeTagsForResource",
        "route53:DeleteHealthCheck",
        "route53:GetHealthCheck",
        "route53:ListTagsForResource",
        "route53:UpdateHealthCheck",
        "sns:ListTagsForResource",
        "sns:TagResource",
        "sns:UntagResource",
    }
)
# The same of a network with endpoints.
ASKED_OTHERWISE_FOR_ENDPOINTS = frozenset({"ec2:ModifyVpcEndpoint"})

# What AWS requires and the embedded AWS does not: from AWS's pages, not proven.
DOCUMENTED: tuple[Document, ...] = (
    {
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
        "Sid": "DocumentedPassRole",
        "Action": ["iam:PassRole"],
        "Resource": [f"arn:aws:iam::{ACCOUNT_ID}:role/iam-role-*-{ENVIRONMENT}"],
        "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "s3.amazonaws.com"]}},
    },
    {
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2gt_IAM.html
        "Sid": "DocumentedReplicationRole",
        "Action": ["iam:CreateServiceLinkedRole"],
        "Resource": [f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/replication.dynamodb.amazonaws.com/*"],
        "Condition": {"StringEquals": {"iam:AWSServiceName": "replication.dynamodb.amazonaws.com"}},
    },
    {
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2gt_IAM.html
        "Sid": "DocumentedReplicas",
        "Action": [
            "dynamodb:BatchWriteItem",
            "dynamodb:CreateTableReplica",
            "dynamodb:DeleteItem",
            "dynamodb:DeleteTableReplica",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        ],
        "Resource": [PAYMENTS],
    },
    {
        # Tags at creation need a right of their own, and PUT is the older way to change them:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging-iam-policy.html
        "Sid": "DocumentedApis",
        "Action": ["apigateway:PUT", "apigateway:TagResource"],
        "Resource": [*SCOPES["apigateway"], *SCOPES["apigateway tags"]],
    },
    {
        # A policy has five versions at most; the sixth replaces the oldest:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-versioning.html
        "Sid": "DocumentedVersions",
        "Action": ["iam:DeletePolicyVersion"],
        "Resource": [*SCOPES["iam"]],
    },
    {
        # Access logs: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
        # Changes: https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html
        "Sid": "DocumentedAnywhere",
        "Action": [
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
            "route53:GetChange",
        ],
        "Resource": ["*"],
    },
)


# The same, only for the custom domain.
DOCUMENTED_FOR_CUSTOM_DOMAIN: tuple[Document, ...] = (
    {
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/using-service-linked-roles.html
        "Sid": "DocumentedDomainRole",
        "Action": ["iam:CreateServiceLinkedRole"],
        "Resource": [f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/ops.apigateway.amazonaws.com/*"],
        "Condition": {"StringEquals": {"iam:AWSServiceName": "ops.apigateway.amazonaws.com"}},
    },
    {
        # A new certificate is a change of the domain name.
        "Sid": "DocumentedDomains",
        "Action": ["apigateway:PATCH", "apigateway:PUT", "apigateway:TagResource"],
        "Resource": [*OF_A_CUSTOM_DOMAIN["apigateway"], *OF_A_CUSTOM_DOMAIN["apigateway tags"]],
    },
)


# The same, only for endpoints.
DOCUMENTED_FOR_ENDPOINTS: tuple[Document, ...] = (
    {
        # Tags are given at creation: https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-iam.html
        "Sid": "DocumentedEndpointTags",
        "Action": ["ec2:CreateTags", "ec2:DeleteTags"],
        "Resource": [f"arn:aws:ec2:*:{ACCOUNT_ID}:vpc-endpoint/*"],
    },
    {
        # Private DNS: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
        "Sid": "DocumentedPrivateDns",
        "Action": ["route53:AssociateVPCWithHostedZone"],
        "Resource": ["arn:aws:route53:::hostedzone/*", f"arn:aws:ec2:*:{ACCOUNT_ID}:vpc/*"],
    },
)
