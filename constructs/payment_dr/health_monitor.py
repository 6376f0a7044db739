"""HealthMonitor: a region's verdict on itself, behind an HTTPS address that Route 53 can probe."""

from pathlib import Path
from typing import Final

from .alerting import AlarmTarget
from .bindings import (
    Apigatewayv2Api,
    Apigatewayv2Integration,
    Apigatewayv2Route,
    Apigatewayv2Stage,
    Apigatewayv2StageAccessLogSettings,
    Apigatewayv2StageDefaultRouteSettings,
    CloudwatchLogGroup,
    Construct,
    LambdaPermission,
)
from .described import Described
from .naming import name
from .policies import Statement, publish_to_encrypted_topic
from .python_function import PythonFunction, handler_file
from .region import Region, region_name
from .suppressions import suppress

HEALTH_PATH = "/health"


class HealthMonitor(Described):
    """A function that looks at the region's DynamoDB table every minute and whenever `GET /health` is called.

    It answers 200 while the table serves, 503 when it does not, and 200 with the status "unknown" when the monitor
    itself is at fault: a missing permission never fails a region over. Only the run of every minute sends mail.

    Args:
        region: Where it runs.
        environment: Environment name; may be a Terraform variable.
        table_name, table_arn: The table in this region. Of a global table, give the ARN of this region's replica.
        topic_arn, topic_key_arn: Encrypted topic for notifications, and its key.
        alarms: Where the function's alarms go. Default: no alarms.
        requests_per_second, burst: Throttle of the public address. Route 53 needs about one in two seconds, in bursts
            of up to some dozens. Beyond it callers, health checkers too, are answered 429, which Route 53 takes for
            unhealthy: keep it well above what a nuisance can send, below what the account's functions can take. Default
            200 and 400.
        purpose: What names carry; a second monitor in the region needs another. Default "health-monitor".
        log_retention_days: Days that the logs of function and API are kept. Default 1.
        source: The handler's file. Default: this project's.

    Raises:
        ConfigurationError: The region's provider deploys to another region.

    Attributes:
        function_name, function_arn, role_arn, log_group_name: The function.
        api_id, stage, api_endpoint: The HTTP API.
        host: Host name of the API: what a health check probes.
        health_url: The whole address.
        alarm_names: Names of its alarms.

    Example:
        >>> HealthMonitor(self, "health", region=east, environment="dev", table_name="orders", table_arn=table.arn,
        ...               topic_arn=topic.arn, topic_key_arn=key.arn)
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        environment: str,
        table_name: str,
        table_arn: str,
        topic_arn: str,
        topic_key_arn: str,
        alarms: AlarmTarget | None = None,
        requests_per_second: float = 200,
        burst: int = 400,
        purpose: str = "health-monitor",
        log_retention_days: int = 1,
        source: Path | None = None,
    ) -> None:
        super().__init__(scope, id_)
        region_token = region_name(self, region)
        function = PythonFunction(
            self,
            "function",
            region=region,
            environment=environment,
            purpose=purpose,
            section="health-monitor",
            description=f"Tells whether the table serves in {region.name}",
            source=source or handler_file("lambda_health_monitor.py"),
            variables={"DYNAMODB_TABLE_NAME": table_name, "SNS_TOPIC_ARN": topic_arn},
            permissions=[
                Statement(sid="DescribeTable", actions=["dynamodb:DescribeTable"], resources=[table_arn]),
                *publish_to_encrypted_topic(region_token, topic_arn, topic_key_arn),
            ],
            alarms=alarms,
            log_retention_days=log_retention_days,
            # The next run comes in a minute: a retry would only report the past, and count one fault three times.
            retries=0,
            max_event_age_seconds=60,
            # `dr failover` fences the region with it: an apply during an incident must not send clients back.
            ignore_changes=["reserved_concurrent_executions"],
        )

        function.invoke_by_rule(
            "schedule",
            rule_name=name("event-rule", purpose, region, environment),
            description="Looks at the table every sixty seconds",
            schedule="rate(1 minute)",
            max_event_age_seconds=60,
            max_retries=0,
        )

        api_name = name("api", purpose, region, environment)
        api = Apigatewayv2Api(
            self,
            "api",
            name=api_name,
            description=f"Health of {region.name}, probed by Route 53",
            protocol_type="HTTP",
            tags={"Name": api_name},
            provider=region.provider,
        )
        integration = Apigatewayv2Integration(
            self,
            "integration",
            api_id=api.id,
            integration_type="AWS_PROXY",
            integration_method="POST",
            integration_uri=function.invoke_arn,
            payload_format_version="2.0",
            provider=region.provider,
        )
        route = Apigatewayv2Route(
            self,
            "route",
            api_id=api.id,
            route_key=f"GET {HEALTH_PATH}",
            target=f"integrations/{integration.id}",
            provider=region.provider,
        )
        suppress(
            route, CKV_AWS_309="health checkers of Route 53 cannot sign a request; the answer holds nothing private"
        )
        # Groups under this prefix need no entry in the account's resource policy for log delivery, which is limited.
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
        access_log = CloudwatchLogGroup(
            self,
            "access_log",
            name=f"/aws/vendedlogs/apigateway/{api_name}",
            retention_in_days=log_retention_days,
            provider=region.provider,
        )
        suppress(
            access_log,
            CKV_AWS_158="addresses of health checkers need no key of their own",
            CKV_AWS_338="a day is enough to see who probed during an incident",
        )
        stage = Apigatewayv2Stage(
            self,
            "stage",
            api_id=api.id,
            name="$default",
            auto_deploy=True,
            default_route_settings=Apigatewayv2StageDefaultRouteSettings(
                throttling_rate_limit=requests_per_second, throttling_burst_limit=burst
            ),
            access_log_settings=Apigatewayv2StageAccessLogSettings(
                destination_arn=access_log.arn,
                format='{"time":"$context.requestTime","ip":"$context.identity.sourceIp","route":"$context.routeKey",'
                '"status":"$context.status","latency_ms":"$context.responseLatency"}',
            ),
            depends_on=[route],
            provider=region.provider,
        )
        LambdaPermission(
            self,
            "api_permission",
            statement_id="AllowHealthRoute",
            action="lambda:InvokeFunction",
            function_name=function.function_name,
            principal="apigateway.amazonaws.com",
            source_arn=f"{api.execution_arn}/$default/GET{HEALTH_PATH}",
            provider=region.provider,
        )
        self.function_name: Final = function.function_name
        self.function_arn: Final = function.function_arn
        self.role_arn: Final = function.role_arn
        self.log_group_name: Final = function.log_group_name
        self.api_id: Final = api.id
        self.stage: Final = stage.name
        self.api_endpoint: Final = api.api_endpoint
        self.host: Final = f"{api.id}.execute-api.{region_token}.amazonaws.com"
        self.health_url: Final = f"https://{self.host}{HEALTH_PATH}"
        self.alarm_names: Final = function.alarm_names
