"""Alerting: the encrypted topic that a region's alarms publish to, and the one way to make an alarm."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from .bindings import (
    CloudwatchMetricAlarm,
    CloudwatchMetricAlarmMetricQuery,
    CloudwatchMetricAlarmMetricQueryMetric,
    Construct,
    SnsTopic,
    SnsTopicPolicy,
    SnsTopicSubscription,
    TerraformResource,
)
from .checks import is_token, length_of, mistakes_in_props
from .described import Described
from .errors import reject
from .naming import mistakes_in_names, name
from .policies import Condition, Statement, policy_document, source_account
from .region import Region, arn, mistakes_in_home, mistakes_in_providers

DEFAULT_RUNBOOK = "docs/runbook.md"

# "More than three errors within five minutes."
ERROR_THRESHOLD = 3
ERROR_PERIOD_SECONDS = 300

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
LONGEST_DESCRIPTION = 1024
_DAY, _WEEK = 86_400, 604_800


@dataclass(frozen=True, kw_only=True)
class AlarmTarget:
    """Where a region's alarms go, and which runbook they link to.

    Args:
        topic_arn: SNS topic in the alarms' region. An alarm can publish only in its own region.
        runbook: Address of the runbook. Each alarm adds its own anchor. Default: this project's runbook.
        dashboard: Address of a dashboard. Descriptions link to it where there is room. Default: none.

    Raises:
        ConfigurationError: A prop is outside its limit.
    """

    topic_arn: str
    runbook: str = DEFAULT_RUNBOOK
    dashboard: str | None = None

    def __post_init__(self) -> None:
        reject("AlarmTarget", mistakes_in_props(AlarmTarget, vars(self)))


def topic_of(alarms: AlarmTarget | None) -> str | None:
    """The topic that alarms publish to, if there are alarms."""
    return alarms.topic_arn if alarms else None


# https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html. A topic that is no FIFO topic takes no FIFO queue.
# https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html
_ENDPOINTS: Mapping[str, tuple[str, str, str]] = {
    "https": (
        r"https://[^\s/@]+(/\S*)?",
        "an https:// address without a user name",
        "https://events.pagerduty.com/integration/0123456789abcdef/enqueue",
    ),
    "sqs": (
        r"arn:aws:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,80}",
        "the ARN of a standard queue (not FIFO)",
        "arn:aws:sqs:us-west-2:123456789012:oncall",
    ),
    "lambda": (
        r"arn:aws:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9$_-]{1,128})?",
        "the ARN of a function",
        "arn:aws:lambda:us-west-2:123456789012:function:oncall",
    ),
}
# Amazon Q Developer in chat applications, formerly AWS Chatbot, subscribes an endpoint of its own to the topics that a
# chat configuration names, and knows the channel by that configuration alone.
# https://docs.aws.amazon.com/chatbot/latest/APIReference/API_SlackChannelConfiguration.html
_OF_CHAT = re.compile(r"https://[a-z0-9.-]*chatbot\.amazonaws\.com(/|$)|arn:aws:chatbot:")


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """One more subscriber to the alarms, beside the email address.

    SNS decrypts a message before it delivers it, so a subscriber needs no right to the topic's key. The owner of the
    endpoint must do the rest:

    - An https endpoint must confirm the subscription, as those of pager services do.
    - A queue must let `sns.amazonaws.com` send to it, with the topic as `aws:SourceArn`; so must the key of a queue
      that is encrypted with one: `kms:Decrypt` and `kms:GenerateDataKey*`.
      https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
    - A function must let `sns.amazonaws.com` invoke it, with the topic as source.
      https://docs.aws.amazon.com/sns/latest/dg/lambda-console.html

    A chat channel needs no subscription here. Name the topics in the `sns_topic_arns` of its chat configuration, which
    subscribes by itself.

    Args:
        protocol: "https", "sqs" or "lambda".
        endpoint: The https:// address, or the ARN of the queue or function, in any region. An endpoint outside the
            topic's region gets no alarm while its own region is down.

    Raises:
        ConfigurationError: The protocol is not one of these. The endpoint is checked where the subscription is used.

    Example:
        >>> Subscription(protocol="sqs", endpoint="arn:aws:sqs:us-west-2:123456789012:oncall").protocol
        'sqs'
    """

    protocol: str
    endpoint: str

    def __post_init__(self) -> None:
        reject("Subscription", mistakes_in_props(Subscription, vars(self)))


def mistakes_in_subscriptions(subscriptions: Sequence[Subscription]) -> list[str]:
    """Report subscriptions that are given twice, or whose endpoint does not fit their protocol.

    Example:
        >>> mistakes_in_subscriptions([Subscription(protocol="https", endpoint="https://events.acme.io/dr")])
        []
    """
    mistakes = []
    for place, each in enumerate(subscriptions):
        pattern, takes, example = _ENDPOINTS[each.protocol]
        said = f"subscriptions[{place}]: endpoint={each.endpoint!r}"
        if _OF_CHAT.match(each.endpoint):
            mistakes.append(
                f"{said} belongs to a chat configuration, which subscribes by itself; name the topics in its "
                "sns_topic_arns"
            )
        elif not is_token(each.endpoint) and not re.fullmatch(pattern, each.endpoint, re.ASCII):
            mistakes.append(f"{said} is not {takes}; use a value such as {example!r}")
        elif each in subscriptions[:place]:
            mistakes.append(f"{said} is given twice; remove one")
    return mistakes


class Alerting(Described):
    """An SNS topic, encrypted with a customer managed key, with one email subscriber.

    The subscriber confirms by hand (AWS sends a link). The key must let CloudWatch use it, as `EncryptionKey` does.

    Args:
        region: Where the topic lives.
        environment: Environment name; may be a Terraform variable.
        key_arn: Key that encrypts the topic.
        email: Address that gets the alarms; may be a Terraform variable.
        subscriptions: Further subscribers: https endpoints, queues and functions. Default: none.
        runbook: Address that alarm descriptions link to. Default "docs/runbook.md".
        dashboard: Address of a dashboard that they link to as well. Default: none.

    Raises:
        ConfigurationError: A prop is outside its limit, an endpoint does not fit its protocol, the region's provider
            deploys to another region, or the key is in another region. The error lists all mistakes.

    Attributes:
        topic_arn: The topic.
        target: Pass this to other constructs as `alarms`.

    Example:
        >>> alerting = Alerting(self, "alerts", region=east, environment="dev", key_arn=key.key_arn, email="a@b.io")
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        environment: str,
        key_arn: str,
        email: str,
        subscriptions: Sequence[Subscription] = (),
        runbook: str = DEFAULT_RUNBOOK,
        dashboard: str | None = None,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(Alerting, locals())
        mistakes += mistakes_in_subscriptions(subscriptions)
        mistakes += mistakes_in_providers(self, region) + mistakes_in_home(region, key_arn=key_arn)
        reject("Alerting", mistakes)
        topic_name = name("sns", "dr-alerts", region, environment)
        topic = SnsTopic(
            self,
            "topic",
            name=topic_name,
            display_name=f"Disaster recovery alerts {region.label}",
            kms_master_key_id=key_arn,
            tags={"Name": topic_name},
            provider=region.provider,
        )
        # This policy replaces the default one. It need not name the account: who is of the account and has the right
        # by an identity policy may use the topic.
        # https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html#sns-allow-cloudwatch-alarm-to-publish-to-topic-in-another-account
        SnsTopicPolicy(
            self,
            "topic_policy",
            arn=topic.arn,
            policy=policy_document(
                self,
                "topic_policy_document",
                [
                    Statement(
                        sid="AlarmsPublish",
                        actions=["sns:Publish"],
                        resources=[topic.arn],
                        principals={"Service": ["cloudwatch.amazonaws.com"]},
                        conditions=[
                            source_account(self),
                            Condition("ArnLike", "aws:SourceArn", [arn(self, "cloudwatch", region, "alarm:*")]),
                        ],
                    ),
                ],
            ),
            provider=region.provider,
        )
        SnsTopicSubscription(
            self, "email", topic_arn=topic.arn, protocol="email", endpoint=email, provider=region.provider
        )
        for place, each in enumerate(subscriptions):
            # By its endpoint, so that a list in another order changes nothing; a Terraform value has only its place.
            known_by = place if is_token(each.endpoint) else hashlib.sha256(each.endpoint.encode()).hexdigest()[:8]
            SnsTopicSubscription(
                self,
                f"{each.protocol}_{known_by}",
                topic_arn=topic.arn,
                protocol=each.protocol,
                endpoint=each.endpoint,
                provider=region.provider,
            )
        self.topic_arn: Final = topic.arn
        self.target: Final = AlarmTarget(topic_arn=topic.arn, runbook=runbook, dashboard=dashboard)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A CloudWatch metric, with exactly the dimensions that its service publishes; with others an alarm has no data.

    Args:
        namespace: For example "AWS/Lambda".
        name: Metric name.
        dimensions: All dimensions that the service publishes the metric with, and no others.
        statistic: Statistic over one period.
        period_seconds: Length of one period.
        fill: Value of a period without data. Default: none, the period counts as missing.

    Raises:
        ConfigurationError: A prop is outside its limit.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"
    period_seconds: int = ERROR_PERIOD_SECONDS
    fill: float | None = None

    def __post_init__(self) -> None:
        reject("Metric", mistakes_in_props(Metric, vars(self)))


_RUNBOOK, _DASHBOARD = " Runbook: ", " Dashboard: "


def description_parts(description: str) -> tuple[str, str]:
    """Split an alarm's description into what to do and the address of the runbook's section.

    Example:
        >>> description_parts("Look. Runbook: docs/runbook.md#drift Dashboard: https://console.aws.amazon.com")
        ('Look.', 'docs/runbook.md#drift')
    """
    what_to_do, _, links = description.partition(_RUNBOOK)
    return what_to_do, links.partition(_DASHBOARD)[0]


def metric_alarm(
    scope: Construct,
    id_: str,
    *,
    purpose: str,
    region: Region,
    environment: str,
    target: AlarmTarget,
    section: str,
    metrics: Sequence[Metric],
    what_to_do: str,
    threshold: float = ERROR_THRESHOLD,
    comparison: str = "GreaterThanThreshold",
    periods: int = 1,
    treat_missing_data: Literal["notBreaching", "breaching", "missing"] = "notBreaching",
    says_when_data_end: bool = False,
    for_health_check: bool = False,
    after: Sequence[TerraformResource] = (),
) -> str:
    """Make an alarm on one metric or on the sum of several, and return its name.

    The alarm publishes when it fires and when it clears, and links to a section of the runbook. By default missing data
    is healthy, because most of these metrics are published only when something happens. Such an alarm does not notice a
    function that has stopped running.

    `for_health_check` is for an alarm that a Route 53 health check follows. Such an alarm has one metric of standard
    resolution. All `periods` must breach in a row: Route 53 does not support "M out of N" alarms.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html

    `treat_missing_data="breaching"` is for a metric that is published all the time, so that silence is a fault. Alone
    it is slow: CloudWatch looks back further than `periods` and uses older data before it counts a period as missing.
    With `Metric.fill` no period is missing, and the alarm fires after `periods` silent ones. A filled alarm needs two
    periods or more, because late data are filled first: one period alone would always be filled.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html

    With `says_when_data_end` the alarm also publishes when it goes to INSUFFICIENT_DATA. A new alarm starts in that
    state and publishes nothing. Use it with `treat_missing_data="missing"`, where silence is a fault, but not the one
    that the alarm is about.

    Resources in `after` are created before the alarm and destroyed after it.

    Raises:
        ConfigurationError: A prop is outside its limit, CloudWatch does not support the alarm's length, or Route 53
            cannot follow such an alarm.
    """
    mistakes = mistakes_in_props(metric_alarm, locals())
    mistakes += mistakes_in_names("purpose", purpose, [region], environment, "alarm-{}")
    description = f"{what_to_do}{_RUNBOOK}{target.runbook}#{section}"
    linked = f"{description}{_DASHBOARD}{target.dashboard}" if target.dashboard else description
    if length_of(linked) <= LONGEST_DESCRIPTION:
        description = linked
    if length_of(description) > LONGEST_DESCRIPTION:
        mistakes.append(
            f"what_to_do and runbook make a description of {length_of(description):,} characters, and CloudWatch takes "
            f"{LONGEST_DESCRIPTION:,}; shorten one of them"
        )
    longest = max((metric.period_seconds for metric in metrics), default=0)
    if longest * periods > (_DAY if longest < 3600 else _WEEK):
        mistakes.append(
            f"periods={periods} of {longest} s are more than CloudWatch evaluates, which is a day, or a week when a "
            "period has an hour or more; use fewer or shorter periods"
        )
    if for_health_check:
        mistakes += _mistakes_for_health_check(metrics)
    reject("metric_alarm", mistakes)
    if len(metrics) == 1 and metrics[0].fill is None:
        (only,) = metrics
        what: dict[str, Any] = {
            "namespace": only.namespace,
            "metric_name": only.name,
            "dimensions": dict(only.dimensions) or None,
            "statistic": only.statistic,
            "period": only.period_seconds,
        }
    else:
        what = {"metric_query": _sum_of(metrics)}
    return CloudwatchMetricAlarm(
        scope,
        id_,
        alarm_name=name("alarm", purpose, region, environment),
        alarm_description=description,
        comparison_operator=comparison,
        threshold=threshold,
        evaluation_periods=periods,
        treat_missing_data=treat_missing_data,
        alarm_actions=[target.topic_arn],
        ok_actions=[target.topic_arn],
        insufficient_data_actions=[target.topic_arn] if says_when_data_end else None,
        depends_on=[*after] or None,
        provider=region.provider,
        **what,
    ).alarm_name


def _mistakes_for_health_check(metrics: Sequence[Metric]) -> list[str]:
    """Report why Route 53 cannot follow an alarm on these metrics."""
    mistakes = []
    if len(metrics) != 1 or metrics[0].fill is not None:
        mistakes.append(
            "for_health_check: a sum of metrics, or one with fill, is metric math, which Route 53 does not support; "
            "use one metric without fill"
        )
    mistakes += [
        f"for_health_check: period_seconds={metric.period_seconds} is a high-resolution alarm, which Route 53 does not "
        "support; use a multiple of 60"
        for metric in metrics
        if metric.period_seconds % 60
    ]
    return mistakes


def _sum_of(metrics: Sequence[Metric]) -> list[CloudwatchMetricAlarmMetricQuery]:
    parts = [
        CloudwatchMetricAlarmMetricQuery(
            id=f"m{index}",
            metric=CloudwatchMetricAlarmMetricQueryMetric(
                namespace=metric.namespace,
                metric_name=metric.name,
                dimensions=dict(metric.dimensions),
                stat=metric.statistic,
                period=metric.period_seconds,
            ),
        )
        for index, metric in enumerate(metrics)
    ]
    # A metric without data counts as 0 in a sum, so only a single metric is ever filled.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    first = metrics[0]
    total = CloudwatchMetricAlarmMetricQuery(
        id="total",
        label=first.name if first.fill is not None else f"All {first.name}",
        expression=(
            f"FILL(m0, {first.fill:g})" if first.fill is not None else f"SUM([{', '.join(part.id for part in parts)}])"
        ),
        return_data=True,
    )
    return [total, *parts]
