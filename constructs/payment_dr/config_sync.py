"""ConfigSync: keeps secret configuration equal in two regions, whichever region it changes in."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from .alerting import AlarmTarget, Metric, metric_alarm, topic_of
from .bindings import (
    Construct,
    SsmParameter,
    TerraformResourceLifecycle,
)
from .checks import LONGEST_TOKEN, is_token, mistakes_in_props
from .described import Described
from .errors import reject
from .naming import logical, mistakes_in_names, name, parameter_name
from .policies import Condition, Role, Statement, via_service
from .python_function import NAMES_OF_A_FUNCTION, PythonFunction, handler_file
from .region import Region, account_root, arn, mistakes_in_home, mistakes_in_pair, region_name, role_arn

METRIC_NAMESPACE = "PaymentApp/ConfigSync"
# A fault that begins right after a good reconciliation reaches ALARM within three intervals, 15 minutes by default: the
# interval that holds the good one ends, and two go by without another.
DRIFT_ALARM_PERIODS = 2
CHANGE, RECONCILE = "change", "reconcile"
SEED = "[seed]"  # how the sync knows the versions that Terraform creates
# Terraform changes a parameter by PutParameter, which writes the value too, as it was when the plan was made. So it
# must not change what operators and the sync do: they rotate values, choose a tier and write copies' origins into
# descriptions, and the sync encrypts with the key that its function is given.
_CHANGED_IN_PLACE = ["value", "description", "tier", "key_id", "type", "allowed_pattern"]
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
LONGEST_VALUE = 4096  # bytes, in the standard tier

APPLICATION = "payment-app"
# https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html
_KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
# A name may have 1,011 characters, but the tag "Name" carries it, and a tag's value has 256.
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html
_LONGEST_NAME = 256
# The target role's policy names every parameter twice, once as resource and once in the encryption context, beside
# about a thousand characters of its own: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_POLICY_LENGTH = 6144 - 1000
_ARN_LENGTH = len('"arn:aws:ssm:ap-southeast-2:123456789012:parameter",')
_DEEPEST_NAME = 15


def mistakes_in_config_keys(prop: str, keys: Iterable[str], application: str = APPLICATION) -> list[str]:
    """Report keys that cannot end a parameter's name."""
    keys = list(keys)
    start = parameter_name(application, "e" * LONGEST_TOKEN, "")
    longest_key, deepest_key = _LONGEST_NAME - len(start), _DEEPEST_NAME - start.count("/") + 1
    mistakes = [] if keys else [f"{prop} is empty; name at least one key to keep in sync"]
    if sum(2 * (_ARN_LENGTH + len(start) + len(key)) for key in keys) > _POLICY_LENGTH:
        mistakes.append(
            f"{prop} has {len(keys)} keys, more than one IAM policy can name; split them between two ConfigSyncs, "
            "each with a purpose of its own"
        )
    alike: dict[str, str] = {}
    for key in keys:
        if key in alike.values() or alike.setdefault(logical(key), key) != key:
            mistakes.append(f"{prop} has the keys {alike[logical(key)]!r} and {key!r}, which clash; rename one")
    for key in keys:
        if not _KEY.fullmatch(key):
            mistakes.append(
                f"{prop} has the key {key!r}; use letters, digits, '.', '-' and '_', with single '/' between levels"
            )
        elif len(key) > longest_key or key.count("/") >= deepest_key:
            mistakes.append(
                f"{prop} has the key {key!r}, too long or too deep for Parameter Store and the tag of this name; "
                f"use at most {longest_key} characters and {deepest_key} levels"
            )
    return mistakes


def mistakes_in_initial_values(parameters: Mapping[str, str]) -> list[str]:
    """Report values that Parameter Store rejects, without the values themselves."""
    return [
        f"parameters has {len(value.encode()):,} bytes for the key {key!r}; use 1 to {LONGEST_VALUE:,}"
        for key, value in parameters.items()
        if not is_token(value) and not 1 <= len(value.encode()) <= LONGEST_VALUE
    ]


@dataclass(frozen=True)
class _Side:
    """One region as the sync sees it."""

    region: Region
    region_token: str
    key_arn: str
    alarms: AlarmTarget | None
    parameter_arns: list[str]


class ConfigSync(Described):
    """SecureString parameters in both regions and, in each region, a function that copies changes to the other one.

    A change in either region is copied within seconds, on Parameter Store's change event. Every few minutes each
    function also compares all parameters, because these events are best effort. The newest write wins. Deletions are
    never copied. Terraform gives a parameter its first value, the seed, and ignores later changes. A seed loses to
    every other write: a parameter that Terraform creates again takes its value from the other region.

    Each function assumes a role of its own to reach the other region. That role trusts one execution role, and the
    execution role may assume it from one function only. The second half is in the identity policy, because
    `aws:SourceArn` is absent when code calls AssumeRole, and a trust policy cannot use `lambda:SourceFunctionArn`.
    https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html

    Args:
        primary, secondary: The two regions.
        environment: Environment name; may be a Terraform variable.
        parameters: First value by config key, 1 to 4,096 bytes; the name is /{application}/{environment}/{config key}.
        primary_key_arn, secondary_key_arn: Keys that encrypt the parameters, one in each region.
        application: First level of the names. Default "payment-app".
        primary_alarms, secondary_alarms: Where the regions' alarms go. Default: no alarms.
        reconcile_every_minutes: How often the functions compare all parameters, 2 to 60. Parameters that differ in two
            comparisons in a row are drift, and so are two missed comparisons in a row. Default 5.
        purpose: Part of names. A second sync between these regions needs another one. Default "config-sync".
        log_retention_days: Days to keep the logs of the functions. Default 1.
        source: The handler's file. Default: this project's.

    Attributes:
        parameter_names: Full names, in the order of `parameters`.
        parameter_values: First value by name, never a later one. Sensitive.
        primary_function_name, primary_function_arn, secondary_function_name, secondary_function_arn: The functions.
        primary_role_arn, secondary_role_arn: Their execution roles.
        primary_log_group_name, secondary_log_group_name: Their log groups.
        primary_to_secondary_role_arn, secondary_to_primary_role_arn: The roles that they assume.
        alarm_names: Names of the alarms in both regions.

    Raises:
        ConfigurationError: A prop is outside its limit, a name becomes too long, a key cannot be a parameter's name,
            there are more keys than a policy can name, the ARN of a key or topic is in another region, or the regions
            cannot hold copies of each other. The error lists all mistakes.

    Example:
        >>> ConfigSync(self, "config", primary=east, secondary=west, environment="dev", parameters={"api-key": "?"},
        ...            primary_key_arn=east_key.key_arn, secondary_key_arn=west_key.key_arn)
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        primary: Region,
        secondary: Region,
        environment: str,
        parameters: Mapping[str, str],
        primary_key_arn: str,
        secondary_key_arn: str,
        application: str = APPLICATION,
        primary_alarms: AlarmTarget | None = None,
        secondary_alarms: AlarmTarget | None = None,
        reconcile_every_minutes: int = 5,
        purpose: str = "config-sync",
        log_retention_days: int = 1,
        source: Path | None = None,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(ConfigSync, locals())
        mistakes += mistakes_in_pair(self, primary, secondary)
        mistakes += mistakes_in_home(
            primary, primary_key_arn=primary_key_arn, primary_alarms=topic_of(primary_alarms)
        ) + mistakes_in_home(
            secondary, secondary_key_arn=secondary_key_arn, secondary_alarms=topic_of(secondary_alarms)
        )
        mistakes += mistakes_in_config_keys("parameters", parameters, application)
        mistakes += mistakes_in_initial_values(parameters)
        mistakes += mistakes_in_names(
            "purpose",
            purpose,
            [primary, secondary],
            environment,
            *NAMES_OF_A_FUNCTION,
            *("iam-role-{}-target", "iam-policy-{}-target", "event-rule-{}-reconcile", "alarm-{}-lost-write"),
        )
        reject("ConfigSync", mistakes)

        self._environment = environment
        self._purpose = purpose
        self._minutes = reconcile_every_minutes
        self._log_retention_days = log_retention_days
        names = {key: parameter_name(application, environment, key) for key in parameters}
        sides = [
            _Side(
                region,
                region_name(self, region),
                key_arn,
                alarms,
                [arn(self, "ssm", region, f"parameter{full_name}") for full_name in names.values()],
            )
            for region, key_arn, alarms in (
                (primary, primary_key_arn, primary_alarms),
                (secondary, secondary_key_arn, secondary_alarms),
            )
        ]
        self.parameter_names: Final[list[str]] = []
        self.parameter_values: Final[dict[str, str]] = {}
        all_parameters: list[SsmParameter] = []
        for key, initial_value in parameters.items():
            seeded = [self._parameter(side, key, names[key], initial_value) for side in sides]
            all_parameters += seeded
            self.parameter_names.append(seeded[0].name)
            # Not the resource's attribute, which every refresh sets to the value that is in Parameter Store.
            self.parameter_values[names[key]] = initial_value

        self.alarm_names: Final[list[str]] = []
        directions = [
            self._direction(
                home, target, list(names.values()), all_parameters, source or handler_file("lambda_config_sync.py")
            )
            for home, target in (sides, sides[::-1])
        ]
        (first, first_role), (second, second_role) = directions
        self.primary_function_name: Final = first.function_name
        self.primary_function_arn: Final = first.function_arn
        self.primary_role_arn: Final = first.role_arn
        self.primary_log_group_name: Final = first.log_group_name
        self.primary_to_secondary_role_arn: Final = first_role.arn
        self.secondary_function_name: Final = second.function_name
        self.secondary_function_arn: Final = second.function_arn
        self.secondary_role_arn: Final = second.role_arn
        self.secondary_log_group_name: Final = second.log_group_name
        self.secondary_to_primary_role_arn: Final = second_role.arn

    def _name(self, resource_type: str, region: Region, part: str = "") -> str:
        return name(resource_type, "-".join(filter(None, [self._purpose, part])), region, self._environment)

    def _parameter(self, side: _Side, key: str, full_name: str, initial_value: str) -> SsmParameter:
        return SsmParameter(
            self,
            f"parameter_{logical(key)}_{side.region.label}",
            name=full_name,
            description=f"{key}; change the value in Parameter Store, not in Terraform {SEED}",
            type="SecureString",
            tier="Standard",
            key_id=side.key_arn,
            value=initial_value,
            lifecycle=TerraformResourceLifecycle(ignore_changes=_CHANGED_IN_PLACE),
            tags={"Name": full_name},
            provider=side.region.provider,
        )

    def _direction(
        self,
        home: _Side,
        target: _Side,
        names: list[str],
        parameters: list[SsmParameter],
        source: Path,
    ) -> tuple[PythonFunction, Role]:
        region, label = home.region, home.region.label
        # The role's name is written out here, because the role in turn names the function's role.
        cross_region_role_name = self._name("iam-role", target.region, "target")
        function_name = self._name("lambda", region)
        function = PythonFunction(
            self,
            label,
            region=region,
            environment=self._environment,
            purpose=self._purpose,
            section="config-sync",
            description=f"Copies changed parameters from {region.name} to {target.region.name}",
            source=source,
            variables={
                "PARAMETER_NAMES": json.dumps(names),
                "TARGET_REGION": target.region_token,
                "TARGET_KMS_KEY_ARN": target.key_arn,
                "CROSS_REGION_ROLE_ARN": role_arn(self, cross_region_role_name),
                "METRIC_NAMESPACE": METRIC_NAMESPACE,
            },
            permissions=[
                *_use_parameters(home, writing=False),
                Statement(
                    sid="WriteToOtherRegion",
                    actions=["sts:AssumeRole"],
                    resources=[role_arn(self, cross_region_role_name)],
                    conditions=[
                        Condition(
                            "ArnEquals",
                            "lambda:SourceFunctionArn",
                            [arn(self, "lambda", region, f"function:{function_name}")],
                        )
                    ],
                    suppressed={
                        "PARLIAMENT_UNKNOWN_CONDITION_FOR_ACTION": "Lambda adds this key to every call of a function's "
                        "code: docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html"
                    },
                ),
            ],
            alarms=home.alarms,
            log_retention_days=self._log_retention_days,
            # A function that outlived a parameter would create it anew, during a destroy, from the other region.
            after=parameters,
        )
        cross_region_role = Role(
            self,
            f"{label}_to_{target.region.label}",
            name=cross_region_role_name,
            policy_name=self._name("iam-policy", target.region, "target"),
            description=f"Lets config sync of {region.name} write parameters in {target.region.name}",
            # The account is the principal and the condition names the role: a role named as principal would be
            # stored by its internal id, and a role made anew would be locked out.
            # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-roles
            trust=[
                Statement(
                    sid="AssumedByConfigSync",
                    actions=["sts:AssumeRole"],
                    principals={"AWS": [account_root(self)]},
                    conditions=[Condition("ArnEquals", "aws:PrincipalArn", [function.role_arn])],
                )
            ],
            permissions=_use_parameters(target, writing=True),
        )
        self._triggers(home, names, function, cross_region_role)
        self.alarm_names.extend(function.alarm_names)
        if home.alarms:
            self._alarms(home, target, home.alarms, function_name)
        return function, cross_region_role

    def _triggers(
        self,
        home: _Side,
        names: list[str],
        function: PythonFunction,
        cross_region_role: Role,
    ) -> None:
        for trigger, description, how in (
            (
                CHANGE,
                "A parameter was created or updated",
                {
                    # https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html
                    "pattern": {
                        "source": ["aws.ssm"],
                        "detail-type": ["Parameter Store Change"],
                        "detail": {"name": names, "operation": ["Create", "Update"]},
                    }
                },
            ),
            (
                RECONCILE,
                "Compares all parameters: change events are best effort",
                {"schedule": f"rate({self._minutes} minutes)"},
            ),
        ):
            function.invoke_by_rule(
                trigger,
                rule_name=self._name("event-rule", home.region, trigger),
                description=description,
                max_event_age_seconds=3600,
                max_retries=10,
                after=cross_region_role.ready,
                **how,
            )

    def _alarms(self, home: _Side, target: _Side, alarms: AlarmTarget, function_name: str) -> None:
        both = f"{home.region.name} and {target.region.name}"
        alarm = partial(metric_alarm, self, region=home.region, environment=self._environment, target=alarms)
        self.alarm_names.append(
            alarm(
                f"drift_alarm_{home.region.label}",
                purpose=f"{self._purpose}-drift",
                section="config-sync-drift",
                metrics=[
                    Metric(
                        namespace=METRIC_NAMESPACE,
                        name="ParameterDrift",
                        dimensions={"FunctionName": function_name},
                        # One run of the interval that finds no drift is enough: the next ones make up for the others.
                        statistic="Minimum",
                        period_seconds=60 * self._minutes,
                        # Every reconciliation reports: silence is a reconciliation that does not happen.
                        fill=1,
                    )
                ],
                what_to_do=f"Parameters still differ between {both}, or no run has compared them: "
                f"read the log of {function_name}, and check that it still runs.",
                threshold=0,
                periods=DRIFT_ALARM_PERIODS,
                treat_missing_data="breaching",
            )
        )
        self.alarm_names.append(
            alarm(
                f"lost_write_alarm_{home.region.label}",
                purpose=f"{self._purpose}-lost-write",
                section="config-sync-lost-write",
                metrics=[
                    Metric(namespace=METRIC_NAMESPACE, name="WritesLost", dimensions={"FunctionName": function_name})
                ],
                what_to_do=f"A parameter changed in both {both} before either change was copied. The later value was "
                f"kept. The log of {function_name} names the write that was lost.",
                threshold=0,
            )
        )


def _use_parameters(side: _Side, *, writing: bool) -> list[Statement]:
    # Parameter Store calls KMS for its caller, with the parameter's ARN as encryption context.
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
    verb = "Write" if writing else "Read"
    return [
        Statement(
            sid=f"{verb}Parameters",
            actions=["ssm:GetParameter", "ssm:GetParameterHistory", *(["ssm:PutParameter"] if writing else [])],
            resources=side.parameter_arns,
        ),
        Statement(
            sid=f"{verb}ParametersWithKey",
            # The advanced tier has its values encrypted with a data key.
            actions=["kms:Decrypt", *(["kms:Encrypt", "kms:GenerateDataKey"] if writing else [])],
            resources=[side.key_arn],
            conditions=[
                via_service("ssm", side.region_token),
                Condition("StringEquals", "kms:EncryptionContext:PARAMETER_ARN", side.parameter_arns),
            ],
        ),
    ]
