"""The limits of every prop, in one table. Constructs check them at synth, and the pages show them.

Types come from the signatures. A value that only Terraform knows (a token) is not checked. It fails at synth where the
construct itself needs the value. Nothing here needs cdktf, so the command `dr` starts without Node.

Attributes:
    LIMITS: The limit of a prop, by its name, or by owner and name ("Role.name") where a name has several meanings.
    NAMES: The limit of a composed name, by its first part.
    ENVIRONMENT_PATTERN, DOMAIN_PATTERN, RESERVED_DOMAIN_PATTERN, EMAIL_PATTERN, PLACEHOLDER_EMAIL_PATTERN: In
        Terraform's syntax. The stack's variables have the same rules.
"""

import inspect
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import Repr
from types import NoneType, UnionType
from typing import Any, Final, Literal, get_args, get_origin

from .errors import ConfigurationError

_AWS = "https://docs.aws.amazon.com/"
_LOGS = "AmazonCloudWatchLogs/latest/APIReference/"

# Twelve characters keep every role name below IAM's 64 and every bucket name below S3's 63 characters, with the longest
# region label that AWS has.
ENVIRONMENT_PATTERN: Final = "^[a-z][a-z0-9-]{1,11}$"
# A name with at least two labels, as RFC 1035 writes them, in lower case; `[.]` needs no escaping in Terraform.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN_PATTERN: Final = f"^({_LABEL}[.])+{_LABEL}$"
RESERVED_DOMAIN_PATTERN: Final = "(^|[.])example[.](com|net|org)$"
EMAIL_PATTERN: Final = "^[^@[:space:]]+@[^@[:space:].]+([.][^@[:space:].]+)+$"
# Domains that never receive mail, in any case of letters: https://www.rfc-editor.org/rfc/rfc2606
PLACEHOLDER_EMAIL_PATTERN: Final = "(?i)([@.]example[.](com|net|org)|[@.](example|invalid|localhost|test))$"
# What a token may become where a name is composed: an environment or an account id.
_TOKEN = re.compile(r"\$\{[^}]*\}")
LONGEST_TOKEN: Final = 12

_repr = Repr()
_repr.maxstring = _repr.maxother = 80


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The limit of a prop, beyond its type.

    Args:
        takes: The limit in words that can follow "is not" and "takes".
        accepts: Whether a value of the right type is within the limit.
        example: A value within the limit. None where the words are enough.
        page: Where AWS or the standard states the limit. Default: the limit is this library's.
        known: The construct needs the value at synth, so a token fails. Default no.
        longest: Maximum number of characters of a text. Default: no limit.
    """

    takes: str
    accepts: Callable[[Any], bool]
    example: object = None
    page: str = ""
    known: bool = False
    longest: int = 0


def is_token(value: object) -> bool:
    """Whether only Terraform knows this value, or part of it.

    Example:
        >>> is_token("${var.environment}"), is_token(-8.1e298), is_token(["#{TfToken[TOKEN.1]}"]), is_token("dev")
        (True, True, True, False)
    """
    if isinstance(value, str):
        return "${" in value or "TfToken[" in value
    if isinstance(value, float):
        return value < -1e280  # cdktf's numbers that stand for a token
    if isinstance(value, list | tuple):
        return any(isinstance(each, str) and each.startswith("#{TfToken[") for each in value)
    return hasattr(value, "creation_stack")  # as all that cdktf resolves


def _text(takes: str, pattern: str, example: str, page: str = "", longest: int = 0, known: bool = False) -> Limit:
    fits = re.compile(pattern.replace("[:space:]", r"\s").removeprefix("^").removesuffix("$"), re.ASCII)
    return Limit(
        takes=takes,
        accepts=lambda value: (not longest or len(value) <= longest) and bool(fits.fullmatch(value)),
        example=example,
        page=page,
        known=known,
        longest=longest,
    )


def _number(low: int, high: int | None, example: int, page: str = "", known: bool = False) -> Limit:
    return Limit(
        takes=f"a whole number from {low:,} to {high:,}" if high else f"a whole number of {low} or more",
        accepts=lambda value: low <= value and (high is None or value <= high),
        example=example,
        page=page,
        known=known,
    )


def _one_of(*values: object, page: str = "", known: bool = False) -> Limit:
    *others, last = (repr(value) for value in values)
    takes = f"{', '.join(others)} or {last}"
    return Limit(takes=takes, accepts=lambda value: value in values, example=values[0], page=page, known=known)


def _each(limit: Limit, low: int, high: int | None, example: object) -> Limit:
    """The limit of a list whose entries have a limit each."""
    return Limit(
        takes=f"{low}{f' to {high}' if high else ' or more'} entries, each {limit.takes}",
        accepts=lambda values: (
            low <= len(values)
            and (high is None or len(values) <= high)
            and all(is_token(value) or limit.accepts(value) for value in values)
        ),
        example=example,
        page=limit.page,
        known=limit.known,
    )


def _elsewhere(takes: str, example: object, page: str = "") -> Limit:
    """A limit that the construct itself checks, because it depends on other props too."""
    return Limit(takes=takes, accepts=lambda _: True, example=example, page=page, known=True)


def _arn(what: str, resource: str, example: str) -> Limit:
    pattern = f"arn:aws:{what}:[a-z0-9-]+:[0-9]{{12}}:{resource}"
    return _text(
        f"an ARN of {'a table' if what == 'dynamodb' else 'a topic' if what == 'sns' else 'a key (not of an alias)'}",
        pattern,
        f"arn:aws:{what}:us-east-1:123456789012:{example}",
        f"{_AWS}IAM/latest/UserGuide/reference-arns.html",
    )


def _is_tag_value(value: str) -> bool:
    return (
        1 <= len(value) <= 256
        and not value.lower().startswith("aws:")
        and all(unicodedata.category(character)[0] in "LNZ" or character in "_.:/=+-@" for character in value)
    )


def _is_source(path: Path) -> bool:
    return path.suffix == ".py" and path.stem.isidentifier() and path.is_file()


# Set by Lambda itself, which refuses them in a function's configuration.
_RESERVED_VARIABLES = frozenset(
    {
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV"),
        *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"),
        *("AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
        *("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"),
    }
)


def _are_variables(values: Mapping[str, str]) -> bool:
    names = all(re.fullmatch("[a-zA-Z][a-zA-Z0-9_]+", name) and name not in _RESERVED_VARIABLES for name in values)
    return names and sum(len(f"{name}{value}".encode()) for name, value in values.items()) <= 4096


# Numeric last labels are those of addresses.
_HOST = _text(
    "a host name of at most 253 characters, without scheme, port, path and final dot",
    r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+(?![0-9]+$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    "app.acme.io",
    f"{_AWS}Route53/latest/DeveloperGuide/DomainNameFormat.html",
)


def _domain(longest: int, takes: str, example: str, page: str, pattern: str = DOMAIN_PATTERN) -> Limit:
    form = _text("", pattern, "", longest=longest)
    return Limit(
        takes=takes,
        accepts=lambda value: form.accepts(value) and not re.search(RESERVED_DOMAIN_PATTERN, value),
        example=example,
        page=page,
    )


_DOMAIN = _domain(
    253,
    "a domain in lower case with at least two labels, at most 253 characters, not under example.com, .net or .org",
    "pay.acme.io",
    f"{_AWS}Route53/latest/DeveloperGuide/DomainNameFormat.html",
)
_PURPOSE = _text("letters, digits, '-' and '_'", "[A-Za-z0-9_-]+", "health-monitor", known=True)
_PATH = _text(
    "a path of at most 255 characters that starts with '/' and has no spaces",
    r"/\S*",
    "/health",
    f"{_AWS}Route53/latest/APIReference/API_HealthCheckConfig.html",
    255,
)
_HTTPS_URL = _text(
    "an https:// address with a host and a path, without query and spaces",
    r"https://[^/?#\s]+/[^?#\s]*",
    "https://a1b2c3.execute-api.us-east-1.amazonaws.com/health",
)
_API_ID = _text("the id of an HTTP API: lower-case letters and digits", "[a-z0-9]+", "a1b2c3d4e5")
_STAGE = _text(
    "'$default', or 1 to 128 letters, digits, '-' and '_'",
    r"\$default|[A-Za-z0-9_-]{1,128}",
    "$default",
    f"{_AWS}apigateway/latest/developerguide/http-api-stages.html",
)
_SEGMENT = r"[A-Za-z0-9._~!$&'()*+,;=:@%-]+"
_VARIABLE, _REST = r"\{[A-Za-z0-9._-]+\}", r"\{[A-Za-z0-9._-]+\+\}"
_FUNCTION_ARN = _text(
    "an ARN of a Lambda function, or of a version or alias of one",
    r"arn:aws:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9_-]{1,128})?",
    "arn:aws:lambda:us-east-1:123456789012:function:payments",
    f"{_AWS}lambda/latest/api/API_AddPermission.html",
)
_KEY_ARN = _arn("kms", "key/[A-Za-z0-9-]+", "key/12345678-1234-1234-1234-123456789012")
_TABLE_NAME = _text(
    "3 to 255 letters, digits, '_', '-' and '.'",
    "[a-zA-Z0-9_.-]{3,255}",
    "transactions",
    f"{_AWS}amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html",
)
_CIDR = _elsewhere("an IPv4 network from /16 to /28", "10.0.0.0/16", f"{_AWS}vpc/latest/userguide/vpc-cidr-blocks.html")
_SUBNETS = _elsewhere(
    "two or more networks inside the VPC's that do not overlap",
    ["10.0.1.0/24", "10.0.2.0/24"],
    f"{_AWS}vpc/latest/userguide/subnet-sizing.html",
)
_REGION = _elsewhere("a commercial AWS region", "us-east-1", f"{_AWS}general/latest/gr/rande.html")
_KEYS = "letters, digits, '.', '-' and '_', with single '/' between levels; not more than one IAM policy can name"
_FLAG = _one_of(True, False, known=True)
_IAM_DESCRIPTION = r"[\t\n\r -~\u00A1-\u00FF]*"
_STATEMENTS = "at least one Statement"
_THROTTLES = f"{_AWS}apigateway/latest/developerguide/http-api-throttling.html"
_ALARM_NAME = _text(
    "1 to 255 characters, none of them a control character",
    r"[^\x00-\x1f\x7f]+",
    "alarm-data-canary-failover-east-prod",
    f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
    255,
)
_RATE = Limit(takes="a number of 1 or more", accepts=lambda value: value >= 1, example=200, page=_THROTTLES)
_BURST = _number(1, None, 400, _THROTTLES)
_PENDING_WINDOW = _number(7, 30, 7, f"{_AWS}kms/latest/APIReference/API_ScheduleKeyDeletion.html")
_RETENTION_DAYS = (
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545),
    *(731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
LIMITS: Final[Mapping[str, Limit]] = {
    # of regions and networks
    "Region.name": _REGION,
    "Region.label": _text(
        "at most 32 lower-case letters, digits and '-' that start with a letter",
        "([a-z][a-z0-9-]{0,31})?",
        "east",
        known=True,
    ),
    "primary_region": _REGION,
    "secondary_region": _REGION,
    "state_region": _REGION,
    "cidr": _CIDR,
    "primary_cidr": _CIDR,
    "secondary_cidr": _CIDR,
    "subnet_cidrs": _SUBNETS,
    "primary_subnet_cidrs": _SUBNETS,
    "secondary_subnet_cidrs": _SUBNETS,
    "gateway_endpoints": _each(
        _one_of("dynamodb", "s3", page=f"{_AWS}vpc/latest/privatelink/gateway-endpoints.html", known=True),
        0,
        2,
        ["dynamodb", "s3"],
    ),
    "interface_endpoints": _each(
        _one_of(
            *("ssm", "kms", "sns", "logs"),
            page=f"{_AWS}vpc/latest/privatelink/aws-services-privatelink-support.html",
            known=True,
        ),
        0,
        4,
        ["ssm", "kms"],
    ),
    # of the deployment
    "environment": _text(
        "2 to 12 lower-case letters, digits or '-' that start with a letter", ENVIRONMENT_PATTERN, "dev"
    ),
    "account": _text(
        "an AWS account id of twelve digits",
        "[0-9]{12}",
        "123456789012",
        f"{_AWS}accounts/latest/reference/manage-acct-identifiers.html",
        known=True,
    ),
    "state": _elsewhere(
        "s3://BUCKET/ENVIRONMENT",
        "s3://acme-terraform-state/prod",
        f"{_AWS}AmazonS3/latest/userguide/bucketnamingrules.html",
    ),
    "owner": Limit(
        takes="1 to 256 letters, digits, spaces and '_.:/=+-@', without 'aws:' at the start",
        accepts=_is_tag_value,
        example="platform-team",
        page=f"{_AWS}IAM/latest/APIReference/API_Tag.html",
    ),
    # of the table and the buckets
    "table_name": _TABLE_NAME,
    "DisasterRecoveryStack.table_name": replace(_TABLE_NAME, known=True),
    "GlobalData.table_name": replace(_TABLE_NAME, known=True),  # part of the alarms' names
    "table_arn": _arn("dynamodb", "table/[a-zA-Z0-9_.-]{3,255}", "table/transactions"),
    "bucket_purpose": _text(
        "lower-case letters, digits and '-', such that bucket names have at most 63 characters",
        "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        "payment-docs",
        f"{_AWS}AmazonS3/latest/userguide/bucketnamingrules.html",
        known=True,
    ),
    "replication_lag_alarm_ms": _number(1, None, 3000, known=True),
    "stale_after_seconds": _number(120, 3600, 300, known=True),
    "data_canary": _FLAG,
    "switch": _FLAG,
    "failback": _one_of("automatic", "operator", known=True),
    "production": _FLAG,
    "alert_email_required": _FLAG,
    "deletion_protection": _one_of(True, False),
    "force_destroy": _one_of(True, False),
    "operations": _each(
        _one_of(
            *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchGetItem", "BatchWriteItem"),
            *(
                "TransactGetItems",
                "TransactWriteItems",
                "ExecuteStatement",
                "BatchExecuteStatement",
                "ExecuteTransaction",
            ),
            page=f"{_AWS}amazondynamodb/latest/developerguide/metrics-dimensions.html",
            known=True,
        ),
        1,
        10,
        ["GetItem", "PutItem"],
    ),
    # of functions and their APIs
    "purpose": _PURPOSE,
    "PythonFunction.description": _text(
        "at most 256 characters", r"[^\n]*", "Sweeps", f"{_AWS}lambda/latest/api/API_CreateFunction.html", 256
    ),
    "source": Limit(
        takes="an existing Python file whose name is a module name",
        accepts=_is_source,
        example=Path("handlers/sweep.py"),
        page=f"{_AWS}lambda/latest/dg/python-handler.html",
    ),
    "variables": Limit(
        takes="names of letters, digits and '_' that start with a letter and are not Lambda's own, at most 4 KB in all",
        accepts=_are_variables,
        example={"TABLE_NAME": "orders"},
        page=f"{_AWS}lambda/latest/dg/configuration-envvars.html",
        known=True,
    ),
    "section": _text("an anchor: letters, digits, '-' and '_'", "[A-Za-z0-9_-]+", "health-monitor", known=True),
    "retries": _number(0, 2, 2, f"{_AWS}lambda/latest/api/API_PutFunctionEventInvokeConfig.html"),
    "max_event_age_seconds": _number(
        60, 21_600, 21_600, f"{_AWS}lambda/latest/api/API_PutFunctionEventInvokeConfig.html"
    ),
    "memory_mb": _number(128, 10_240, 256, f"{_AWS}lambda/latest/dg/configuration-memory.html"),
    "timeout_seconds": _number(1, 900, 300, f"{_AWS}lambda/latest/dg/configuration-timeout.html"),
    "log_retention_days": _one_of(
        *_RETENTION_DAYS,
        page=f"{_AWS}{_LOGS}API_PutRetentionPolicy.html",
    ),
    "invoke_by_rule.trigger": _PURPOSE,
    "invoke_by_rule.rule_name": _text(
        "1 to 64 letters, digits, '.', '-' and '_'",
        "[.A-Za-z0-9_-]{1,64}",
        "event-rule-sweep",
        f"{_AWS}eventbridge/latest/APIReference/API_PutRule.html",
    ),
    "invoke_by_rule.description": _text(
        "at most 512 characters", ".*", "Sweeps", f"{_AWS}eventbridge/latest/APIReference/API_PutRule.html", 512
    ),
    "invoke_by_rule.schedule": _text(
        "rate(...) or cron(...)",
        r"rate\((1 (minute|hour|day)|[0-9]+ (minutes|hours|days))\)|cron\([^()]+\)",
        "rate(5 minutes)",
        f"{_AWS}eventbridge/latest/userguide/eb-scheduled-rule-pattern.html",
        256,
    ),
    "invoke_by_rule.max_event_age_seconds": _number(
        60, 86_400, 3600, f"{_AWS}eventbridge/latest/APIReference/API_RetryPolicy.html"
    ),
    "invoke_by_rule.max_retries": _number(0, 185, 10, f"{_AWS}eventbridge/latest/APIReference/API_RetryPolicy.html"),
    "requests_per_second": _RATE,
    "stage_requests_per_second": _RATE,
    "burst": _BURST,
    "stage_burst": _BURST,
    "private_probe_route": _FLAG,
    "routes": _each(
        _text(
            "a method or ANY, a space, and a path without spaces, with {name} and a final {name+} as variables",
            rf"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|ANY) ((/({_SEGMENT}|{_VARIABLE}))+(/{_REST})?|/({_REST})?)",
            "",
            f"{_AWS}apigateway/latest/developerguide/http-api-develop-routes.html",
            512,
            known=True,
        ),
        1,
        None,
        ["POST /payments", "GET /payments/{id}"],
    ),
    "function_arn": _FUNCTION_ARN,
    "primary_function_arn": _FUNCTION_ARN,
    "secondary_function_arn": _FUNCTION_ARN,
    "Service.actions": _each(
        _one_of(
            *(f"dynamodb:{call}" for call in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")),
            *(f"dynamodb:{call}" for call in ("BatchGetItem", "BatchWriteItem", "ConditionCheckItem")),
            page="https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html",
            known=True,
        ),
        0,
        None,
        ["dynamodb:PutItem", "dynamodb:GetItem"],
    ),
    # An HTTP API gives up after 30 s.
    "Service.timeout_seconds": _number(1, 30, 10, f"{_AWS}apigateway/latest/developerguide/http-api-quotas.html"),
    # of parameters
    "config_keys": _elsewhere(
        _KEYS, ["api-key"], f"{_AWS}systems-manager/latest/userguide/sysman-paramstore-su-create.html"
    ),
    "parameters": _elsewhere(
        f"{_KEYS}; values of 1 to 4,096 bytes",
        {"api-key": "set the real one later"},
        f"{_AWS}systems-manager/latest/userguide/sysman-paramstore-su-create.html",
    ),
    "application": _text(
        "at most 100 letters, digits, '.', '-' and '_', single '/' between levels, and not 'aws' or 'ssm' at the start",
        r"(?!(?i:aws|ssm))[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*",
        "payment-app",
        f"{_AWS}systems-manager/latest/userguide/sysman-paramstore-su-create.html",
        100,
        known=True,
    ),
    "reconcile_every_minutes": _number(2, 60, 5, known=True),
    # of keys and alarms
    "key_arn": _KEY_ARN,
    "topic_key_arn": _KEY_ARN,
    "primary_key_arn": _KEY_ARN,
    "secondary_key_arn": _KEY_ARN,
    "topic_arn": _arn("sns", "[A-Za-z0-9_-]{1,256}", "alerts"),
    "EncryptionKey.purpose": _text(
        "letters, digits, '/', '-' and '_', not 'aws/' at the start",
        "(?!aws/)[A-Za-z0-9/_-]+",
        "dr-encryption",
        f"{_AWS}kms/latest/APIReference/API_CreateAlias.html",
        known=True,
    ),
    "deletion_window_days": _PENDING_WINDOW,
    "key_deletion_window_days": _PENDING_WINDOW,
    "email": _text("an email address", EMAIL_PATTERN, "oncall@acme.io", f"{_AWS}sns/latest/api/API_Subscribe.html"),
    "runbook": _text(
        "an address of at most 512 characters, without spaces (alarm descriptions have 1,024)",
        r"\S+",
        "docs/runbook.md",
        f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
        512,
    ),
    "dashboard": _text(
        "an address of at most 512 characters, without spaces (alarm descriptions have 1,024)",
        r"\S+",
        "https://console.aws.amazon.com/cloudwatch/home#dashboards/dashboard/payments",
        f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
        512,
    ),
    "dashboards": _FLAG,
    "protocol": _one_of("https", "sqs", "lambda", page=f"{_AWS}sns/latest/api/API_Subscribe.html", known=True),
    "Subscription.endpoint": _elsewhere("an https:// address, or the ARN of a queue or function", None),
    "metrics": Limit(
        takes="one to ten metrics",
        accepts=lambda value: 1 <= len(value) <= 10,
        page=f"{_AWS}AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html",
    ),
    "comparison": _one_of(
        *("GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"),
        page=f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
    ),
    "periods": _number(1, None, 1, f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html", known=True),
    "Metric.namespace": _text(
        "1 to 255 characters that do not start with ':'",
        "[^:].*",
        "AWS/Lambda",
        f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
        255,
    ),
    "Metric.name": _text(
        "1 to 255 characters",
        ".+",
        "Errors",
        f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
        255,
    ),
    "Metric.dimensions": Limit(
        takes="at most 30 dimensions",
        accepts=lambda value: len(value) <= 30,
        example={"FunctionName": "sweep"},
        page=f"{_AWS}AmazonCloudWatch/latest/APIReference/API_Dimension.html",
    ),
    "Metric.statistic": _one_of(
        *("Sum", "Average", "Minimum", "Maximum", "SampleCount"),
        page=f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
    ),
    "Metric.period_seconds": Limit(
        takes="10, 20, 30 or a multiple of 60",
        accepts=lambda value: value in (10, 20, 30) or (value > 0 and value % 60 == 0),
        example=60,
        page=f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
        known=True,
    ),
    # of DNS
    "domain_name": _DOMAIN,
    "record_name": _text(
        "one or more labels of a domain in lower case, without the domain itself",
        rf"{_LABEL}([.]{_LABEL})*",
        "app",
        f"{_AWS}Route53/latest/DeveloperGuide/DomainNameFormat.html",
        known=True,
    ),
    "health_path": _PATH,
    "switch_path": _PATH,
    "request_interval_seconds": _one_of(
        30, 10, page=f"{_AWS}Route53/latest/DeveloperGuide/health-checks-creating-values.html", known=True
    ),
    "failure_threshold": _number(
        1, 10, 3, f"{_AWS}Route53/latest/DeveloperGuide/health-checks-creating-values.html", known=True
    ),
    "ttl_seconds": _number(
        0, 2_147_483_647, 30, f"{_AWS}Route53/latest/APIReference/API_ResourceRecordSet.html", known=True
    ),
    "rto_target_seconds": _number(1, None, 180, known=True),
    "custom_domain": _FLAG,
    "zone_id": _text(
        "the id of a zone, without '/hostedzone/'",
        "[A-Z0-9]{1,32}",
        "Z0123456789ABCDEFGHIJ",
        f"{_AWS}Route53/latest/APIReference/API_GetHostedZone.html",
    ),
    "HostedZone.name": _DOMAIN,
    "HostedZone.name_servers": _each(_HOST, 0, None, ["ns-1.awsdns-00.com"]),
    "Endpoint.host": _HOST,
    "health_host": _HOST,
    "switch_host": _HOST,
    "primary_url": _HTTPS_URL,
    "own_url": _HTTPS_URL,
    "alarm_name": _ALARM_NAME,
    "primary_alarm_name": _ALARM_NAME,
    # Route 53 follows no alarm of high resolution, so a period has 60 s or more.
    "alarm_seconds": _number(
        60, None, 120, f"{_AWS}Route53/latest/DeveloperGuide/health-checks-creating-values.html", known=True
    ),
    "for_health_check": _FLAG,
    "api_id": _API_ID,
    "stage": _STAGE,
    "CustomDomain.host": _domain(
        64,
        "a domain in lower case of at most 64 characters, the limit of a certificate",
        "app.pay.acme.io",
        f"{_AWS}acm/latest/APIReference/API_RequestCertificate.html",
        rf"(?!.*[.].$){DOMAIN_PATTERN.removeprefix('^')}",
    ),
    # of roles and policies
    "Role.name": _text(
        "1 to 64 letters, digits and '+=,.@_-'",
        r"[A-Za-z0-9_+=,.@-]{1,64}",
        "iam-role-sweep",
        f"{_AWS}IAM/latest/UserGuide/reference_iam-quotas.html",
    ),
    "Role.policy_name": _text(
        "1 to 128 letters, digits and '+=,.@_-'",
        r"[A-Za-z0-9_+=,.@-]{1,128}",
        "iam-policy-sweep",
        f"{_AWS}IAM/latest/UserGuide/reference_iam-quotas.html",
    ),
    "Role.description": _text(
        "at most 1,000 characters of Latin-1",
        _IAM_DESCRIPTION,
        "Sweeps",
        f"{_AWS}IAM/latest/APIReference/API_CreateRole.html",
        1000,
    ),
    "trust": Limit(takes=_STATEMENTS, accepts=bool),
    "Role.permissions": Limit(takes=_STATEMENTS, accepts=bool),
    "Statement.sid": _text(
        "letters and digits",
        "[A-Za-z0-9]+",
        "ReadOrders",
        f"{_AWS}IAM/latest/UserGuide/reference_policies_elements_sid.html",
    ),
    "Statement.actions": _each(
        _text(
            "of the form service:Action",
            r"[a-z0-9-]+:[A-Za-z0-9*?]+",
            "",
            f"{_AWS}IAM/latest/UserGuide/reference_policies_elements_action.html",
        ),
        1,
        None,
        ["dynamodb:GetItem"],
    ),
    "Statement.resources": _each(
        _text(
            "an ARN or '*'",
            r"arn:.+|\*",
            "",
            f"{_AWS}IAM/latest/UserGuide/reference_policies_elements_resource.html",
        ),
        0,
        None,
        ["arn:aws:dynamodb:us-east-1:123456789012:table/orders"],
    ),
    "Statement.effect": _one_of(
        "Allow", "Deny", page=f"{_AWS}IAM/latest/UserGuide/reference_policies_elements_effect.html"
    ),
}

NAMES: Final[Mapping[str, Limit]] = {
    kind: _text(f"at most {longest} characters in {what}", pattern, "", f"{_AWS}{page}", longest)
    for kind, what, longest, pattern, page in (
        ("s3-", "a bucket's name", 63, "[a-z0-9-]+", "AmazonS3/latest/userguide/bucketnamingrules.html"),
        ("lambda-", "a function's name", 64, "[a-zA-Z0-9_-]+", "lambda/latest/api/API_CreateFunction.html"),
        ("iam-role-", "a role's name", 64, r"[\w+=,.@-]+", "IAM/latest/UserGuide/reference_iam-quotas.html"),
        ("iam-policy-", "a policy's name", 128, r"[\w+=,.@-]+", "IAM/latest/UserGuide/reference_iam-quotas.html"),
        ("event-rule-", "a rule's name", 64, r"[.A-Za-z0-9_-]+", "eventbridge/latest/APIReference/API_PutRule.html"),
        ("alarm-", "an alarm's name", 255, r"[ -~]+", "AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"),
        (
            "dashboard-",
            "a dashboard's name",
            255,
            "[A-Za-z0-9_-]+",
            "AmazonCloudWatch/latest/APIReference/API_PutDashboard.html",
        ),
        (
            "table-",
            "a table's name",
            255,
            "[a-zA-Z0-9_.-]+",
            "amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html",
        ),
        ("api-", "an API's name", 128, r"[ -~]+", "apigatewayv2/latest/api-reference/apis.html"),
        ("alias/", "an alias", 256, "alias/[a-zA-Z0-9/_-]+", "kms/latest/APIReference/API_CreateAlias.html"),
        ("/aws/", "a log group's name", 512, "[.#A-Za-z0-9/_-]+", f"{_LOGS}API_CreateLogGroup.html"),
        ("sns-", "a topic's name", 256, "[A-Za-z0-9_-]+", "sns/latest/api/API_CreateTopic.html"),
    )
}  # fmt: skip


def length_of(name: str) -> int:
    """Maximum length of a composed name. A token counts as the longest environment, which has an account id's length.

    Example:
        >>> length_of("lambda-sweep-east-${var.environment}")
        30
    """
    return len(_TOKEN.sub(" " * LONGEST_TOKEN, name))


def limit_of(owner: str, prop: str) -> Limit | None:
    """The limit of a prop beyond its type, if it has one."""
    return LIMITS.get(f"{owner}.{prop}", LIMITS.get(prop))


def props_of(owner: Any) -> list[inspect.Parameter]:
    """The props of a construct, a value or a function, in the order of its signature."""
    # The signature of a construct's class is jsii's.
    signature = inspect.signature(vars(owner)["__init__"] if isinstance(owner, type) else owner)
    return [each for name, each in signature.parameters.items() if name not in ("self", "scope", "id_")]


def mistakes_in_props(owner: Any, given: Mapping[str, Any]) -> list[str]:
    """Report props that are outside their limits.

    Args:
        owner: The construct, value or function whose props they are.
        given: The props by name, from `locals()` in the first line of the function. Other names are ignored.

    Raises:
        ConfigurationError: A prop has the wrong type, so it cannot be checked further. The error lists all mistakes.
    """
    wrong_types, mistakes = [], []
    for parameter in props_of(owner):
        prop = parameter.name
        value, limit = given[prop], limit_of(owner.__name__, prop)
        if not _fits(value, parameter.annotation):
            is_list = get_origin(parameter.annotation) in (Sequence, Mapping)
            takes = limit.takes if limit and not is_list else _type_in_words(parameter.annotation)
            wrong_types.append(_sentence(prop, value, takes, limit.example if limit else None))
        elif value is None or limit is None:
            continue
        elif is_token(value) or (limit.known and isinstance(value, list | tuple) and any(map(is_token, value))):
            if limit.known:
                wrong_types.append(
                    f"{prop} is a Terraform value, which is not known at synth; use a literal such as {limit.example!r}"
                )
        elif not limit.accepts(value):
            mistakes.append(_sentence(prop, value, limit.takes, limit.example))
    if wrong_types:
        raise ConfigurationError(owner.__name__, [*wrong_types, *mistakes])
    return mistakes


def _sentence(prop: str, value: object, takes: str, example: object) -> str:
    shown = _repr.repr(value)
    if isinstance(value, Mapping):
        shown = f"{{{', '.join(f'{key!r}: ...' for key in value)}}}"  # values may be secret
    if isinstance(value, str) and len(shown) < len(value):
        shown += f" ({len(value):,} characters)"
    return (
        f"{prop}={shown} is not {takes}; {f'use a value such as {example!r}' if example is not None else 'give that'}"
    )


def _fits(value: object, annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if origin is UnionType:
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is Sequence:
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str | bytes)
            and all(_fits(each, arguments[0]) for each in value)
        )
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, arguments[0]) and _fits(each, arguments[1]) for key, each in value.items()
        )
    if annotation in (int, float):
        numbers = int if annotation is int else (int, float)
        return (isinstance(value, numbers) and not isinstance(value, bool)) or (
            isinstance(value, float) and is_token(value)
        )
    if annotation is bool:
        return isinstance(value, bool) or is_token(value)
    return isinstance(value, annotation)


def _type_in_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is UnionType:
        return " or ".join(_type_in_words(each) for each in arguments)
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is Sequence:
        return f"a list of {_type_in_words(arguments[0]).removeprefix('a ')}"
    if origin is Mapping:
        return f"a dict of {_type_in_words(arguments[1]).removeprefix('a ')}"
    words = {str: "text", int: "a whole number", float: "a number", bool: "True or False", NoneType: "None"}
    return words.get(annotation) or f"a {annotation.__name__}"
