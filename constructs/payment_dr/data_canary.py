"""DataCanary: writes to the table and reads it in each region every minute, as payments do."""

from functools import partial
from pathlib import Path
from typing import Final

from .alerting import AlarmTarget, Metric, metric_alarm, topic_of
from .bindings import Construct
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .naming import mistakes_in_names, name
from .policies import Condition, Statement
from .python_function import NAMES_OF_A_FUNCTION, PythonFunction, handler_file
from .region import Region, arn, mistakes_in_home, mistakes_in_pair, region_name

METRIC_NAMESPACE = "PaymentApp/DataCanary"
KEY_PREFIX = "dr-canary/"
INTERVAL_SECONDS = 60
PERIODS = 2  # in a row; one late or lost run is no outage
# In a row, of the alarm that a health check follows. One run makes three attempts, and two periods would take longer
# than the RTO target leaves.
FAILOVER_PERIODS = 1
FAILOVER_SECONDS = INTERVAL_SECONDS + FAILOVER_PERIODS * INTERVAL_SECONDS


class DataCanary(Described):
    """A function in each region that writes an item to the table, reads it back and reads the other region's item.

    `HealthMonitor` asks DynamoDB's control plane, which can answer ACTIVE while reads and writes fail. The canary uses
    the data plane. It also detects stalled replication while there are no payments to replicate.

    The table gets two more items, with the partition keys dr-canary/{region}. They are overwritten every minute, and
    consumers of the table's stream see them. `dynamodb:LeadingKeys` limits each function to these items, in its own
    region. Replication brings the other region's item.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html

    Its alarms do not move traffic by themselves. `DnsFailover` does, for an `Endpoint` that has the region's failover
    alarm. That alarm fires when three attempts of one run fail to write to the region's table or to read it back.
    Stalled replication does not fire it, and neither does a canary that does not run. The alarm fires at most two
    minutes after an outage begins: one minute to the next run, and one until the period of that run is over.

    Args:
        primary, secondary: The two regions.
        environment: Environment name; may be a Terraform variable.
        table_name: A global table with replicas in both regions, whose key is that of `GlobalData`.
        primary_alarms, secondary_alarms: Where the regions' alarms go. Default: no alarms.
        stale_after_seconds: Replication counts as stalled when the other region's item is older than this, 120 to 3600.
            Default 300.
        purpose: Part of names. Default "data-canary".
        log_retention_days: Days to keep the logs of the functions. Default 1.
        source: The handler's file. Default: this project's.

    Attributes:
        primary_function_name, secondary_function_name: The functions.
        primary_role_arn, secondary_role_arn: Their execution roles.
        primary_failover_alarm_name, secondary_failover_alarm_name: The alarm for the region's `Endpoint`; None without
            `primary_alarms` or `secondary_alarms`.
        alarm_names: Names of the alarms in both regions.

    Raises:
        ConfigurationError: A prop is outside its limit, or the regions cannot hold copies of each other.

    Example:
        >>> DataCanary(self, "canary", primary=east, secondary=west, environment="dev", table_name=data.table_name)
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        primary: Region,
        secondary: Region,
        environment: str,
        table_name: str,
        primary_alarms: AlarmTarget | None = None,
        secondary_alarms: AlarmTarget | None = None,
        stale_after_seconds: int = 300,
        purpose: str = "data-canary",
        log_retention_days: int = 1,
        source: Path | None = None,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(DataCanary, locals())
        mistakes += mistakes_in_pair(self, primary, secondary)
        mistakes += mistakes_in_home(primary, primary_alarms=topic_of(primary_alarms))
        mistakes += mistakes_in_home(secondary, secondary_alarms=topic_of(secondary_alarms))
        mistakes += mistakes_in_names(
            "purpose",
            purpose,
            [primary, secondary],
            environment,
            *NAMES_OF_A_FUNCTION,
            *("event-rule-{}", "alarm-{}-data-path", "alarm-{}-replication", "alarm-{}-failover"),
        )
        reject("DataCanary", mistakes)
        self.alarm_names: Final[list[str]] = []
        functions = []
        failover_alarms: list[str | None] = []
        for home, peer, alarms in ((primary, secondary, primary_alarms), (secondary, primary, secondary_alarms)):
            function = PythonFunction(
                self,
                home.label,
                region=home,
                environment=environment,
                purpose=purpose,
                section="data-canary",
                description=f"Writes and reads an item of the table in {home.name}",
                source=source or handler_file("lambda_data_canary.py"),
                variables={
                    "DYNAMODB_TABLE_NAME": table_name,
                    "PEER_REGION": region_name(self, peer),
                    "METRIC_NAMESPACE": METRIC_NAMESPACE,
                },
                permissions=[
                    Statement(
                        sid=sid,
                        actions=[action],
                        resources=[arn(self, "dynamodb", home, f"table/{table_name}")],
                        conditions=[
                            Condition(
                                "ForAllValues:StringEquals",
                                "dynamodb:LeadingKeys",
                                [f"{KEY_PREFIX}{region_name(self, region)}" for region in regions],
                            ),
                            # ForAllValues alone holds for a call without keys.
                            Condition("Null", "dynamodb:LeadingKeys", ["false"]),
                        ],
                    )
                    for sid, action, regions in (
                        ("WriteOwnItem", "dynamodb:PutItem", [home]),
                        ("ReadBothItems", "dynamodb:GetItem", [home, peer]),
                    )
                ],
                alarms=alarms,
                log_retention_days=log_retention_days,
                retries=0,
                max_event_age_seconds=60,
            )
            function.invoke_by_rule(
                "schedule",
                rule_name=name("event-rule", purpose, home, environment),
                description="Writes to the table and reads it every sixty seconds",
                schedule="rate(1 minute)",
                max_event_age_seconds=60,
                max_retries=0,
            )
            self.alarm_names.extend(function.alarm_names)
            failover_alarm = None
            if alarms:
                function_name = name("lambda", purpose, home, environment)
                failover_alarm = self._alarms(
                    home, peer, environment, purpose, function_name, alarms, stale_after_seconds
                )
            failover_alarms.append(failover_alarm)
            functions.append(function)
        self.primary_function_name: Final = functions[0].function_name
        self.primary_role_arn: Final = functions[0].role_arn
        self.secondary_function_name: Final = functions[1].function_name
        self.secondary_role_arn: Final = functions[1].role_arn
        self.primary_failover_alarm_name: Final = failover_alarms[0]
        self.secondary_failover_alarm_name: Final = failover_alarms[1]

    def _alarms(
        self,
        home: Region,
        peer: Region,
        environment: str,
        purpose: str,
        function_name: str,
        alarms: AlarmTarget,
        stale_after_seconds: int,
    ) -> str:
        """Make the alarms of a region, and return the name of the one that a health check can follow."""
        alarm = partial(metric_alarm, self, region=home, environment=environment, target=alarms)

        def lowest(metric: str) -> list[Metric]:
            return [
                Metric(
                    namespace=METRIC_NAMESPACE,
                    name=metric,
                    dimensions={"FunctionName": function_name},
                    statistic="Minimum",
                    period_seconds=INTERVAL_SECONDS,
                )
            ]

        for what, metric, threshold, what_to_do in (
            (
                "data-path",
                "DataPathFailures",
                0,
                f"Payments may fail in {home.name}: DynamoDB rejects writes or does not return them, or the canary "
                "does not run. Look at AWS Health, and be ready to fail over.",
            ),
            (
                "replication",
                "ReplicationAge",
                stale_after_seconds,
                f"Writes in {peer.name} do not reach {home.name}, or the canaries do not run. A failover now would "
                "leave payments behind.",
            ),
        ):
            self.alarm_names.append(
                alarm(
                    f"{what.replace('-', '_')}_{home.label}_alarm",
                    purpose=f"{purpose}-{what}",
                    section=f"data-canary-{what}",
                    metrics=lowest(metric),
                    what_to_do=what_to_do,
                    threshold=threshold,
                    periods=PERIODS,
                    treat_missing_data="breaching",
                )
            )
        failover_alarm = alarm(
            f"failover_{home.label}_alarm",
            purpose=f"{purpose}-failover",
            section="data-canary-failover",
            metrics=lowest("DataPathFailures"),
            what_to_do=f"Three attempts of the canary in a row failed in DynamoDB in {home.name}. Where a health check "
            "follows this alarm, Route 53 now considers the region unhealthy. Run dr status.",
            threshold=0,
            periods=FAILOVER_PERIODS,
            # To a health check no data is no evidence: a canary that does not run, or whose metrics do not arrive,
            # fires the alarm data-path and leaves the health check as it was.
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
            treat_missing_data="missing",
            for_health_check=True,
        )
        self.alarm_names.append(failover_alarm)
        return failover_alarm
