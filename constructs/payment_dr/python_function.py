"""PythonFunction: a Lambda function from one Python file, with its role, log group and alarms."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .alerting import AlarmTarget, Metric, metric_alarm, topic_of
from .bindings import (
    AssetType,
    CloudwatchEventRule,
    CloudwatchEventTarget,
    CloudwatchEventTargetRetryPolicy,
    CloudwatchLogGroup,
    Construct,
    DataArchiveFile,
    LambdaFunction,
    LambdaFunctionEnvironment,
    LambdaFunctionEventInvokeConfig,
    LambdaPermission,
    TerraformAsset,
    TerraformResource,
    TerraformResourceLifecycle,
)
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .naming import logical, mistakes_in_names, name
from .policies import Role, Statement, function_trust, mistakes_in_permissions
from .region import Region, arn, mistakes_in_home, mistakes_in_providers
from .suppressions import short_retention, suppress

RUNTIME = "python3.11"
# Names that carry the purpose of a function.
NAMES_OF_A_FUNCTION = ("lambda-{}", "iam-role-{}", "iam-policy-{}", "alarm-{}-throttles")


def handler_file(file_name: str) -> Path:
    """Path of one of this project's handlers: in the installed package, or beside it in a checkout."""
    packaged = Path(__file__).with_name("handlers") / file_name
    return packaged if packaged.exists() else Path(__file__).resolve().parents[2] / "handlers" / file_name


class PythonFunction(Described):
    """A Lambda function outside any VPC. Its role may write its own log and do what `permissions` allow.

    Args:
        region: Where it runs.
        environment: Environment name; may be a Terraform variable.
        purpose: Part of names ("health-monitor").
        description: One sentence for the console.
        source: The Python file; it must define `handler(event, context)`.
        variables: Environment variables. No secrets: anyone who may read the function sees them.
        permissions: Statements of what it may do beyond writing its log.
        alarms: Where its alarms on errors and throttles go. Default: no alarms.
        section: Section of the runbook that these alarms link to, before "-errors" or "-throttles". Default `purpose`.
        retries: Retries of an asynchronous run that failed, 0 to 2. Default 2.
        max_event_age_seconds: Age after which Lambda discards an asynchronous event. Default 6 hours.
        memory_mb: Its memory. Default 256.
        timeout_seconds: How long it may run. Default 300.
        log_retention_days: Days to keep its log. Default 1.
        after: Resources that must exist while it runs: created before it, destroyed after it. Default: none.
        ignore_changes: Arguments of the function that Terraform leaves alone when they change elsewhere. Default: none.

    Raises:
        ConfigurationError: A prop is outside its limit, a permission has a wildcard or no resource, a name becomes too
            long, or the region's provider or the alarms' topic is in another region. The error lists all mistakes.

    Attributes:
        function_name, function_arn, invoke_arn: The function.
        role_arn: Its execution role.
        log_group_name: Its log group.
        alarm_names: Names of its alarms.

    Example:
        >>> PythonFunction(self, "sweep", region=east, environment="dev", purpose="sweep", description="Sweeps",
        ...                source=Path("handlers/sweep.py"), variables={}, permissions=[])
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        environment: str,
        purpose: str,
        description: str,
        source: Path,
        variables: Mapping[str, str],
        permissions: Sequence[Statement],
        alarms: AlarmTarget | None = None,
        section: str | None = None,
        retries: int = 2,
        max_event_age_seconds: int = 21_600,
        memory_mb: int = 256,
        timeout_seconds: int = 300,
        log_retention_days: int = 1,
        after: Sequence[TerraformResource] = (),
        ignore_changes: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(PythonFunction, locals())
        mistakes += mistakes_in_providers(self, region) + mistakes_in_home(region, alarms=topic_of(alarms))
        mistakes += mistakes_in_names("purpose", purpose, [region], environment, *NAMES_OF_A_FUNCTION)
        mistakes += mistakes_in_permissions(permissions)
        reject("PythonFunction", mistakes)
        self._region = region
        self._variables = dict(variables)
        function_name = name("lambda", purpose, region, environment)
        log_group_name = f"/aws/lambda/{function_name}"
        log_group = CloudwatchLogGroup(
            self,
            "log_group",
            name=log_group_name,
            retention_in_days=log_retention_days,
            provider=region.provider,
        )
        suppress(
            log_group,
            CKV_AWS_158="log lines hold no payment data and no secret, so the service's own encryption is enough",
            **short_retention(
                log_retention_days,
                "alarms and Parameter Store's history record what happened; the log is for the day's faults",
            ),
        )
        role = Role(
            self,
            "role",
            name=name("iam-role", purpose, region, environment),
            policy_name=name("iam-policy", purpose, region, environment),
            description=f"Execution role of {purpose} in {region.name}",
            trust=function_trust(self, region, function_name),
            permissions=[
                # Stream names are made by Lambda; `:*` is the documented ARN of one group's streams.
                # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
                Statement(
                    sid="WriteOwnLog",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[arn(self, "logs", region, f"log-group:{log_group_name}:*")],
                ),
                *permissions,
            ],
        )
        # The asset is copied into the synthesized folder under a relative path, so that folder plans on any machine.
        asset = TerraformAsset(self, "source", path=str(source), type=AssetType.FILE)
        package = DataArchiveFile(
            self,
            "package",
            type="zip",
            source_file=asset.path,
            # File modes differ between checkouts and would change the hash.
            output_file_mode="0644",
            output_path=f"packages/{logical(purpose)}_{region.label}.zip",
        )
        function = LambdaFunction(
            self,
            "function",
            function_name=function_name,
            description=description,
            runtime=RUNTIME,
            handler=f"{source.stem}.handler",
            filename=package.output_path,
            source_code_hash=package.output_base64_sha256,
            role=role.arn,
            memory_size=memory_mb,
            timeout=timeout_seconds,
            environment=LambdaFunctionEnvironment(variables=self._variables),
            depends_on=[*role.ready, log_group, *after],
            lifecycle=TerraformResourceLifecycle(ignore_changes=[*ignore_changes]) if ignore_changes else None,
            provider=region.provider,
        )
        suppress(
            function,
            CKV_AWS_50="X-Ray's PutTraceSegments can only be granted on every resource",
            CKV_AWS_116="the functions act on the current state, not on the event: the next run replaces a lost one",
            CKV_AWS_117="it calls AWS APIs only; a VPC would cut it off from them and slow its start",
            CKV_AWS_272="the package is built from this repository by the same plan that deploys it",
        )
        LambdaFunctionEventInvokeConfig(
            self,
            "event_invoke_config",
            function_name=function.function_name,
            maximum_retry_attempts=retries,
            maximum_event_age_in_seconds=max_event_age_seconds,
            provider=region.provider,
        )
        self._function = function
        self.function_name: Final = function.function_name
        self.function_arn: Final = function.arn
        self.invoke_arn: Final = function.invoke_arn
        self.role_arn: Final = role.arn
        self.log_group_name: Final = log_group.name
        self.alarm_names: Final[list[str]] = []
        for metric, advice in {
            "Errors": f"{purpose} fails in {region.name}: read the last errors in {log_group_name}.",
            "Throttles": f"{purpose} is throttled in {region.name}: raise the account's Lambda concurrency quota.",
        }.items():
            if alarms:
                self.alarm_names.append(
                    metric_alarm(
                        self,
                        f"{metric.lower()}_alarm",
                        purpose=f"{purpose}-{metric.lower()}",
                        section=f"{section or purpose}-{metric.lower()}",
                        region=region,
                        environment=environment,
                        target=alarms,
                        metrics=[
                            Metric(namespace="AWS/Lambda", name=metric, dimensions={"FunctionName": function_name})
                        ],
                        what_to_do=advice,
                    )
                )

    def add_variables(self, **variables: str) -> None:
        """Give the function more environment variables, such as values that do not exist before the function does.

        Args:
            **variables: Their values by name. No secrets.
        """
        self._variables |= variables
        self._function.put_environment(variables=self._variables)

    def invoke_by_rule(
        self,
        trigger: str,
        *,
        rule_name: str,
        description: str,
        schedule: str | None = None,
        pattern: Mapping[str, Any] | None = None,
        max_event_age_seconds: int,
        max_retries: int,
        after: Sequence[TerraformResource] = (),
    ) -> CloudwatchEventRule:
        """Let an EventBridge rule invoke the function, and return the rule.

        Args:
            trigger: Short name of the trigger; part of Terraform addresses.
            rule_name: Name of the rule.
            description: When it fires.
            schedule: Schedule expression; give either this or `pattern`.
            pattern: Event pattern.
            max_event_age_seconds: Age after which EventBridge stops delivering an event.
            max_retries: How often it retries before that.
            after: Resources that must exist before the first event arrives.

        Raises:
            ConfigurationError: An argument is outside its limit, or `schedule` and `pattern` are both given or both
                missing.
        """
        mistakes = mistakes_in_props(PythonFunction.invoke_by_rule, locals())
        if (schedule is None) == (pattern is None):
            mistakes.append("schedule and pattern are both given or both missing; give one of them")
        reject("PythonFunction.invoke_by_rule", mistakes)
        rule = CloudwatchEventRule(
            self,
            f"{trigger}_rule",
            name=rule_name,
            description=description,
            schedule_expression=schedule,
            event_pattern=json.dumps(pattern) if pattern else None,
            tags={"Name": rule_name},
            provider=self._region.provider,
        )
        permission = LambdaPermission(
            self,
            f"{trigger}_permission",
            statement_id=f"Allow{trigger.capitalize()}",
            action="lambda:InvokeFunction",
            function_name=self.function_name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            provider=self._region.provider,
        )
        CloudwatchEventTarget(
            self,
            f"{trigger}_target",
            rule=rule.name,
            # Without it Terraform invents one, and what an interrupted apply left behind would be a second target.
            target_id=trigger,
            arn=self.function_arn,
            retry_policy=CloudwatchEventTargetRetryPolicy(
                maximum_event_age_in_seconds=max_event_age_seconds, maximum_retry_attempts=max_retries
            ),
            depends_on=[permission, *after],
            provider=self._region.provider,
        )
        return rule
