"""HealthMonitor: reports a region's own health at an HTTPS address that Route 53 can probe."""

from pathlib import Path
from typing import Final

from .alerting import AlarmTarget, Metric, metric_alarm, topic_of
from .bindings import (
    Apigatewayv2Api,
    Apigatewayv2Integration,
    Apigatewayv2Route,
    Apigatewayv2Stage,
    Apigatewayv2StageAccessLogSettings,
    Apigatewayv2StageDefaultRouteSettings,
    Apigatewayv2StageRouteSettings,
    CloudwatchLogGroup,
    Construct,
    LambdaPermission,
    Password,
    TerraformResource,
)
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .naming import mistakes_in_names, name
from .policies import Statement, publish_to_encrypted_topic
from .python_function import NAMES_OF_A_FUNCTION, PythonFunction, handler_file
from .region import Region, mistakes_in_home, mistakes_in_providers, region_name
from .suppressions import short_retention, suppress

HEALTH_PATH = "/health"
STAGE = "$default"
PRIVATE_SEGMENT_LENGTH = 32  # letters and digits: 190 bits

REQUESTS_PER_SECOND = 200
BURST = 400

# 4xx answers in a minute, 50 a second. Below: scanners, which ask for some hundred paths and move on, and whoever calls
# a wrong path again and again. Above, by far: a flood that causes a failover, of which hundreds a second are refused
# (the table of docs/security.md). Two minutes in a row, because a hasty scanner is done after one.
CLIENT_ERRORS_A_MINUTE = 3_000
CLIENT_ERROR_MINUTES = 2

METRIC_NAMESPACE = "PaymentApp/HealthMonitor"
# One run that fails twice, and not two runs in a row, which would take longer than three minutes. After the end of the
# other region the next run begins within 60 s. CloudWatch counts it for the minute in which it begins, of which at most
# 60 s are left. The run takes at most 19 s: the verdict on its own region, two attempts of 6 s, and 5 s between them. A
# minute that has ended by then is evaluated again a minute later. That leaves 60 s for the log to become a metric and
# for the evaluation, of which AWS promises no time.
PEER_PERIOD_SECONDS = 60
PEER_PERIODS = 1


class HealthMonitor(Described):
    """A function that checks the region's DynamoDB table every minute and on each `GET /health`.

    It answers 200 while the table is healthy and 503 when it is not. It answers 200 with the status "unknown" when the
    monitor itself is at fault: a missing permission never fails a region over. Only the run of every minute sends mail.
    Two monitors can `watch` each other.

    Args:
        region: Where it runs.
        environment: Environment name; may be a Terraform variable.
        table_name, table_arn: The table in this region. For a global table, give the ARN of this region's replica.
        topic_arn, topic_key_arn: Encrypted topic for notifications, and its key.
        alarms: Where the function's alarms go. Default: no alarms.
        requests_per_second, burst: Throttle of the route. Beyond it callers get 429, health checkers included, which
            Route 53 considers unhealthy. Default 200 and 400: some four hundred times what Route 53 needs. A higher
            limit does not help: a flood only needs the higher rate, you pay for each request that is served, and while
            DynamoDB hangs, at 1.2 s a run, 200 requests a second take 240 of the 1,000 concurrent executions that the
            account's functions share by default.
        stage_requests_per_second, stage_burst: Throttle of the API's stage, for each route without a throttle of its
            own. Default: that of the route.
        private_probe_route: Make a second route, `GET /health/<random segment>`, with a throttle of its own, for
            Route 53 and the other region's monitor: see `probe_path`. A flood of `GET /health` does not reach it. The
            access log then does not name routes. The stack needs a `RandomProvider`. Default no.
        purpose: Part of names. A second monitor in the region needs another one. Default "health-monitor".
        log_retention_days: Days to keep the logs of function and API. Default 1.
        source: The handler's file. Default: this project's.

    Raises:
        ConfigurationError: A prop is outside its limit, a name becomes too long, or the region's provider, the table,
            the topic or its key is in another region. The error lists all mistakes.

    Attributes:
        function_name, function_arn, role_arn, log_group_name: The function.
        api_id, stage, api_endpoint: The HTTP API.
        host: Host name of the API, for a health check to probe.
        health_url: The public address, `GET /health`.
        probe_path: Path for Route 53 to probe: /health, or that of the private route, which is sensitive.
        serving: Resources that the routes need to answer. Create whatever needs the routes after them.
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
        requests_per_second: float = REQUESTS_PER_SECOND,
        burst: int = BURST,
        stage_requests_per_second: float | None = None,
        stage_burst: int | None = None,
        private_probe_route: bool = False,
        purpose: str = "health-monitor",
        log_retention_days: int = 1,
        source: Path | None = None,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(HealthMonitor, locals())
        mistakes += mistakes_in_providers(self, region)
        mistakes += mistakes_in_home(
            region, table_arn=table_arn, topic_arn=topic_arn, topic_key_arn=topic_key_arn, alarms=topic_of(alarms)
        )
        mistakes += mistakes_in_names(
            "purpose", purpose, [region], environment, *NAMES_OF_A_FUNCTION, "event-rule-{}", "api-{}", "alarm-{}-4xx"
        )
        reject("HealthMonitor", mistakes)
        region_token = region_name(self, region)
        function = PythonFunction(
            self,
            "function",
            region=region,
            environment=environment,
            purpose=purpose,
            section="health-monitor",
            description=f"Reports whether the table is healthy in {region.name}",
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

        schedule = function.invoke_by_rule(
            "schedule",
            rule_name=name("event-rule", purpose, region, environment),
            description="Checks the table every sixty seconds",
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
        probe_path = HEALTH_PATH
        paths = {"": HEALTH_PATH}  # by the prefix of Terraform addresses
        if private_probe_route:
            segment = Password(self, "private_segment", length=PRIVATE_SEGMENT_LENGTH, special=False)
            paths["private_"] = probe_path = f"{HEALTH_PATH}/{segment.result}"
        routes: list[TerraformResource] = []
        for prefix, path in paths.items():
            route = Apigatewayv2Route(
                self,
                f"{prefix}route",
                api_id=api.id,
                route_key=f"GET {path}",
                target=f"integrations/{integration.id}",
                provider=region.provider,
            )
            suppress(
                route, CKV_AWS_309="Route 53's health checkers cannot sign a request; the answer holds nothing private"
            )
            routes.append(route)
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
            **short_retention(log_retention_days, "a day is enough to find the callers during an incident"),
        )
        # A throttle can be set for "individual routes"; whether those under the stage's default share their tokens, no
        # page says.
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html
        self._own_throttles = [
            Apigatewayv2StageRouteSettings(
                route_key=f"GET {path}", throttling_rate_limit=requests_per_second, throttling_burst_limit=burst
            )
            for path in paths.values()
        ]
        named = "" if private_probe_route else '"route":"$context.routeKey",'  # a route key holds the path
        stage_rate, stage_bucket = stage_requests_per_second or requests_per_second, stage_burst or burst
        has_own_throttles = private_probe_route or (stage_rate, stage_bucket) != (requests_per_second, burst)
        stage = Apigatewayv2Stage(
            self,
            "stage",
            api_id=api.id,
            name=STAGE,
            auto_deploy=True,
            default_route_settings=Apigatewayv2StageDefaultRouteSettings(
                throttling_rate_limit=stage_rate, throttling_burst_limit=stage_bucket
            ),
            route_settings=self._own_throttles if has_own_throttles else None,
            access_log_settings=Apigatewayv2StageAccessLogSettings(
                destination_arn=access_log.arn,
                format=f'{{"time":"$context.requestTime","ip":"$context.identity.sourceIp",{named}'
                '"status":"$context.status","latency_ms":"$context.responseLatency"}',
            ),
            depends_on=routes,
            provider=region.provider,
        )
        permissions = [
            LambdaPermission(
                self,
                f"{prefix}api_permission",
                statement_id=f"Allow{prefix.strip('_').capitalize()}HealthRoute",
                action="lambda:InvokeFunction",
                function_name=function.function_name,
                principal="apigateway.amazonaws.com",
                source_arn=f"{api.execution_arn}/$default/GET{path}",
                provider=region.provider,
            )
            for prefix, path in paths.items()
        ]
        self._region, self._environment, self._purpose, self._alarms = region, environment, purpose, alarms
        self._function, self._schedule = function, schedule
        self._stage, self._routes = stage, routes
        self._throttle = requests_per_second, burst
        self.function_name: Final = function.function_name
        self.function_arn: Final = function.function_arn
        self.role_arn: Final = function.role_arn
        self.log_group_name: Final = function.log_group_name
        self.api_id: Final = api.id
        self.stage: Final = stage.name
        self.api_endpoint: Final = api.api_endpoint
        self.host: Final = f"{api.id}.execute-api.{region_token}.amazonaws.com"
        self.health_url: Final = f"https://{self.host}{HEALTH_PATH}"
        self.probe_path: Final = probe_path
        self.serving: Final[list[TerraformResource]] = [stage, *permissions]
        self.alarm_names: Final = [*function.alarm_names]
        if alarms:
            self.alarm_names.append(
                metric_alarm(
                    self,
                    "client_errors_alarm",
                    purpose=f"{purpose}-4xx",
                    section="health-monitor-4xx",
                    region=region,
                    environment=environment,
                    target=alarms,
                    # Published for the API, and for API and stage, of which there is one; by route only with detailed
                    # metrics, whose dimensions would show the path of the private route.
                    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
                    metrics=[
                        Metric(namespace="AWS/ApiGateway", name="4xx", dimensions={"ApiId": api.id}, period_seconds=60)
                    ],
                    what_to_do=f"A client floods the health API in {region.name}, and API Gateway may throttle Route "
                    f"53's probes too: find its address in the access log /aws/vendedlogs/apigateway/{api_name}.",
                    threshold=CLIENT_ERRORS_A_MINUTE,
                    periods=CLIENT_ERROR_MINUTES,
                )
            )

    def throttle_apart(self, route_key: str, route: TerraformResource) -> None:
        """Give another route of the API a throttle of its own, as the routes of the health monitor have.

        Args:
            route_key: The route as API Gateway names it, such as "GET /switch".
            route: Its resource, which must exist before the stage can name it.
        """
        self._own_throttles.append(
            Apigatewayv2StageRouteSettings(
                route_key=route_key, throttling_rate_limit=self._throttle[0], throttling_burst_limit=self._throttle[1]
            )
        )
        self._routes.append(route)
        self._stage.put_route_settings(self._own_throttles)
        self._stage.depends_on = [_address(each) for each in self._routes]

    def watch(self, peer: "HealthMonitor") -> None:
        """Let the run of every minute probe another region's monitor, and make an alarm here for when it is down.

        Call it once for each of the two monitors. The alarm needs `alarms`, and goes to this region's topic, because
        the other region's topic may be down too.

        Args:
            peer: The monitor in the other region. This function requests its `probe_path`, as Route 53 does. So anyone
                who can read the environment variables of this function can read that path.

        Raises:
            ConfigurationError: The monitor is in the same region.

        Example:
            >>> east_health.watch(west_health)
            >>> west_health.watch(east_health)
        """
        home, away = self._region, peer._region
        if home.name == away.name:
            mistake = f"peer is in {away.name!r} too, and would be down with it; give a monitor in another region"
            reject("HealthMonitor.watch", [mistake])
        self._function.add_variables(
            PEER_HEALTH_URL=f"https://{peer.host}{peer.probe_path}", METRIC_NAMESPACE=METRIC_NAMESPACE
        )
        # The first run comes a minute after the rule was made. The other region must answer by then, or a first
        # deployment would mail that it is gone.
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
        self._schedule.depends_on = [_address(each) for each in peer.serving]
        if self._alarms is None:
            return
        function_name = name("lambda", self._purpose, home, self._environment)
        self.alarm_names.append(
            metric_alarm(
                self,
                "peer_alarm",
                purpose=f"{self._purpose}-peer",
                section="health-monitor-peer",
                region=home,
                environment=self._environment,
                target=self._alarms,
                metrics=[
                    Metric(
                        namespace=METRIC_NAMESPACE,
                        name="PeerUnhealthy",
                        dimensions={"FunctionName": function_name},
                        statistic="Minimum",
                        period_seconds=PEER_PERIOD_SECONDS,
                    )
                ],
                what_to_do=f"{away.name} does not answer {home.name}, or answers that it is unhealthy. Route 53 moves "
                "clients by itself. Run dr status: where do clients go, and does "
                f"{away.name} pass? If it passes, only the link from {home.name} to it is broken: do nothing. Run dr "
                "failover if clients stay where payments fail. INSUFFICIENT_DATA: the monitor in "
                f"{home.name} does not run, or its result is unknown.",
                threshold=0,
                periods=PEER_PERIODS,
                # No data are a fault, but never that of the other region: the function is fenced, its schedule is off,
                # or its own network is at fault. "breaching" would also fire in each first deployment, before the
                # first run. So the alarm goes to INSUFFICIENT_DATA, in which a new one begins, and says that. It does
                # so when the period and the ones that CloudWatch looks further back at have no data.
                # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
                treat_missing_data="missing",
                says_when_data_end=True,
                # Destroyed before the schedule, so that a destroy mails nothing.
                after=[self._schedule],
            )
        )


def _address(resource: TerraformResource) -> str:
    return f"{resource.terraform_resource_type}.{resource.friendly_unique_id}"
