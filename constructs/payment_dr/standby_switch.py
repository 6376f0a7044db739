"""StandbySwitch: a switch in the standby region that sends the primary region's clients there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .alerting import AlarmTarget, topic_of
from .bindings import (
    Apigatewayv2Integration,
    Apigatewayv2Route,
    Construct,
    DynamodbTable,
    DynamodbTableAttribute,
    DynamodbTablePointInTimeRecovery,
    LambdaPermission,
    Password,
    TerraformResource,
)
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .health_monitor import PRIVATE_SEGMENT_LENGTH
from .naming import mistakes_in_names, name
from .policies import Condition, Statement
from .python_function import NAMES_OF_A_FUNCTION, PythonFunction, handler_file
from .region import PARTITION, Region, account_id, arn, mistakes_in_home, mistakes_in_providers, mistakes_in_same_region
from .suppressions import suppress

SWITCH_PATH = "/switch"
TAKEOVER = "{}-takeover"  # purpose of the function that sets the switch by itself
TAKEOVER_NAMES = [each.format(TAKEOVER) for each in (*NAMES_OF_A_FUNCTION, "event-rule-{}")]


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """How the standby region detects that the primary fails, so that it sets the switch by itself.

    Args:
        primary_url: The https:// address where Route 53 probes the primary region.
        own_url: The https:// address where Route 53 probes the standby region.
        primary_alarm_name: CloudWatch alarm in the primary region that its health check follows, as
            `Endpoint.alarm_name`. Default: none. Then clients return by themselves after a failover by an alarm.
        after: Resources that both addresses need to answer: created before the first probe, destroyed after the last
            one. Default: none.

    Raises:
        ConfigurationError: A prop is outside its limit.
    """

    primary_url: str
    own_url: str
    primary_alarm_name: str | None = None
    after: Sequence[TerraformResource] = ()

    def __post_init__(self) -> None:
        reject("Takeover", mistakes_in_props(Takeover, vars(self)))


class StandbySwitch(Described):
    """A table in the standby region with the operator's switch, and a function that serves it at `GET /switch`.

    The route answers 200 only while the switch is set. `DnsFailover` probes it with an inverted health check
    (`switch_host`), which the primary's record follows together with the primary's own. So an operator sends all
    clients to the standby region with one write to a table there, without a call to the failing region or to a control
    plane. Any other answer, and no answer, mean *not switched*: losing the standby region never keeps clients away from
    the primary.

    Each change is a new item that records who made it, when, why, and when it ends. No item is overwritten, so the
    table is also the history. A change that has ended counts as not switched, and nobody needs to undo it. A write is
    conditional on the item before it, so when two operators write at once, one write fails.

    It is a table of its own. In the payments table, anyone who chooses the key of a payment could set the switch, and
    the failing region could write to it. A parameter (SSM) has no conditional write, and PutParameter is a call to a
    control plane. An object (S3) costs more for each probe, and needs a bucket of its own, because the documents'
    bucket is replicated.

    With `takeover` the standby region keeps the switch set after an automatic failover. Clients then return when an
    operator fails back, and not when the primary's probe passes. A second function probes the primary every minute. It
    sets the switch, without an end, once the probe has failed for 30 s and the standby's own probe passes. It never
    releases the switch. It sets nothing until the primary has answered once. AWS calls the pattern "standby takes over
    primary".
    https://aws.amazon.com/blogs/networking-and-content-delivery/creating-disaster-recovery-mechanisms-using-amazon-route-53/

    The switch is set at most 96 s after an outage begins: up to 60 s to the next run, 30 s of failing probes and 6 s
    for a last probe that hangs. A run that EventBridge starts late, or not at all, adds its delay.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
    Route 53 may fail over in a shorter outage that no run has seen for 30 s. Clients then return by themselves. The
    standby reaches the primary only over its own link. If that link breaks while Route 53 still reaches the primary,
    the standby takes over nevertheless.

    With an alarm the function also sets the switch when the primary's probe passes and the alarm is in the state ALARM,
    because the primary's health check follows that alarm's data. The function asks once a minute, so it can miss an
    alarm that lasts less than that. Setting the switch uses only data planes of the standby region. The state of the
    alarm is a read in the primary region. If that read fails, the probe still detects a failing primary.

    Args:
        region: The standby region.
        primary_region: Name of the region whose clients the switch sends away, such as "us-east-1".
        environment: Environment name; may be a Terraform variable.
        api_id, stage: The HTTP API in the standby region that serves the route, and its stage.
        private_route: Serve it at `GET /switch/<random segment>`, a path that nobody can guess: callers of a public one
            could use up its throttle, and a throttled probe means *not switched*. The stack needs a `RandomProvider`.
            Default no.
        takeover: Set the switch when the primary fails, see `Takeover`. Default: only an operator sets it.
        alarms: Where the alarms of the functions go. Default: no alarms.
        deletion_protection: Protect the table from deletion. Default no. Without its table, the switch is not switched.
        purpose: Part of names. Default "switch".
        log_retention_days: Days to keep the logs of the functions. Default 1.
        source: The file of the handler that serves the route. Default: this project's.

    Attributes:
        table_name, table_arn: The table.
        function_name, role_arn: The function that serves the route, and its execution role.
        takeover_function_name, takeover_role_arn: The function that sets the switch. None without `takeover`.
        path: Path of the route; with `private_route` it is sensitive.
        route_key: The route as API Gateway names it.
        route: The route's resource, for `HealthMonitor.throttle_apart`.
        alarm_names: Names of the alarms of the functions.

    Raises:
        ConfigurationError: A prop is outside its limit, a name becomes too long, both regions are the same, or the
            region's provider or the alarms' topic is in another region. The error lists all mistakes.

    Example:
        >>> StandbySwitch(self, "switch", region=west, primary_region="us-east-1", environment="dev",
        ...               api_id=west_health.api_id, stage="$default")
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        primary_region: str,
        environment: str,
        api_id: str,
        stage: str,
        private_route: bool = False,
        takeover: Takeover | None = None,
        alarms: AlarmTarget | None = None,
        deletion_protection: bool = False,
        purpose: str = "switch",
        log_retention_days: int = 1,
        source: Path | None = None,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(StandbySwitch, locals())
        mistakes += mistakes_in_same_region(primary_region, region.name)
        mistakes += mistakes_in_providers(self, region) + mistakes_in_home(region, alarms=topic_of(alarms))
        names: Sequence[str] = (*NAMES_OF_A_FUNCTION, "table-{}", *(TAKEOVER_NAMES if takeover else ()))
        mistakes += mistakes_in_names("purpose", purpose, [region], environment, *names)
        reject("StandbySwitch", mistakes)
        table_name = name("table", purpose, region, environment)
        table = DynamodbTable(
            self,
            "table",
            name=table_name,
            billing_mode="PAY_PER_REQUEST",
            hash_key="region",
            range_key="version",
            attribute=[
                DynamodbTableAttribute(name="region", type="S"),
                DynamodbTableAttribute(name="version", type="N"),
            ],
            point_in_time_recovery=DynamodbTablePointInTimeRecovery(enabled=True),
            deletion_protection_enabled=deletion_protection,
            provider=region.provider,
        )
        suppress(table, CKV_AWS_119="encrypted with the key that DynamoDB owns, which nobody can disable")
        function = PythonFunction(
            self,
            "function",
            region=region,
            environment=environment,
            purpose=purpose,
            section="switch",
            description=f"Answers 200 while clients of {primary_region} go to {region.name}",
            source=source or handler_file("lambda_switch.py"),
            variables={"SWITCH_TABLE_NAME": table.name, "PRIMARY_REGION": primary_region},
            permissions=[Statement(sid="ReadSwitch", actions=["dynamodb:Query"], resources=[table.arn])],
            alarms=alarms,
            timeout_seconds=10,
            log_retention_days=log_retention_days,
        )
        path = SWITCH_PATH
        if private_route:
            segment = Password(self, "private_segment", length=PRIVATE_SEGMENT_LENGTH, special=False)
            path = f"{SWITCH_PATH}/{segment.result}"
        integration = Apigatewayv2Integration(
            self,
            "integration",
            api_id=api_id,
            integration_type="AWS_PROXY",
            integration_method="POST",
            integration_uri=function.invoke_arn,
            payload_format_version="2.0",
            provider=region.provider,
        )
        permission = LambdaPermission(
            self,
            "permission",
            statement_id="AllowSwitchRoute",
            action="lambda:InvokeFunction",
            function_name=function.function_name,
            principal="apigateway.amazonaws.com",
            source_arn=arn(self, "execute-api", region, f"{api_id}/{stage}/GET{path}"),
            provider=region.provider,
        )
        route = Apigatewayv2Route(
            self,
            "route",
            api_id=api_id,
            route_key=f"GET {path}",
            target=f"integrations/{integration.id}",
            depends_on=[permission],
            provider=region.provider,
        )
        suppress(
            route, CKV_AWS_309="Route 53's health checkers cannot sign a request; the answer holds nothing private"
        )
        self.table_name: Final = table.name
        self.table_arn: Final = table.arn
        self.function_name: Final = function.function_name
        self.role_arn: Final = function.role_arn
        self.path: Final = path
        self.route_key: Final = f"GET {path}"
        self.route: Final[TerraformResource] = route
        taking_over = takeover and self._takeover(
            takeover, table, region, primary_region, environment, TAKEOVER.format(purpose), alarms, log_retention_days
        )
        self.takeover_function_name: Final = taking_over.function_name if taking_over else None
        self.takeover_role_arn: Final = taking_over.role_arn if taking_over else None
        self.alarm_names: Final = [*function.alarm_names, *(taking_over.alarm_names if taking_over else ())]

    def _takeover(
        self,
        takeover: Takeover,
        table: DynamodbTable,
        region: Region,
        primary_region: str,
        environment: str,
        purpose: str,
        alarms: AlarmTarget | None,
        log_retention_days: int,
    ) -> PythonFunction:
        """Make the function that sets the switch. It is not the one of the public route, which cannot write."""
        alarm_name = takeover.primary_alarm_name
        see_alarm = [
            Statement(
                sid="SeeAlarm",
                actions=["cloudwatch:DescribeAlarms"],
                # Enough for a metric alarm, the only kind that Route 53 follows; a composite one would need "*".
                # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
                resources=[f"arn:{PARTITION}:cloudwatch:{primary_region}:{account_id(self)}:alarm:{alarm_name}"],
            )
        ]
        function = PythonFunction(
            self,
            "takeover",
            region=region,
            environment=environment,
            purpose=purpose,
            section="switch-takeover",
            description=f"Sends clients of {primary_region} to {region.name} when it fails, until 'dr failback'",
            source=handler_file("lambda_standby_takeover.py"),
            variables={
                "SWITCH_TABLE_NAME": table.name,
                "PRIMARY_REGION": primary_region,
                "PRIMARY_HEALTH_URL": takeover.primary_url,
                "OWN_HEALTH_URL": takeover.own_url,
                **({"PRIMARY_ALARM_NAME": alarm_name} if alarm_name else {}),
            },
            permissions=[
                Statement(
                    sid="SetSwitch",
                    actions=["dynamodb:Query", "dynamodb:PutItem"],
                    resources=[table.arn],
                    conditions=[
                        Condition("ForAllValues:StringEquals", "dynamodb:LeadingKeys", [primary_region]),
                        # ForAllValues alone holds for a call without keys.
                        Condition("Null", "dynamodb:LeadingKeys", ["false"]),
                    ],
                ),
                *(see_alarm if alarm_name else ()),
            ],
            alarms=alarms,
            timeout_seconds=60,
            log_retention_days=log_retention_days,
            # The next run comes in a minute, and decides by what it finds then.
            retries=0,
            max_event_age_seconds=60,
        )
        # Without its schedule it does nothing. Destroyed before what it probes, that cannot take over in a destroy.
        function.invoke_by_rule(
            "schedule",
            rule_name=name("event-rule", purpose, region, environment),
            description=f"Probes {primary_region} every sixty seconds",
            schedule="rate(1 minute)",
            max_event_age_seconds=60,
            max_retries=0,
            after=takeover.after,
        )
        return function
