"""The timing of a failover: its defaults, the rules that fail or warn at synth, and the AWS limits behind them.

These are plain numbers and sentences, without cdktf: the command `dr` uses them too, and starts without Node.

The primary answers until Route 53 detects the outage (interval x threshold, or the seconds of an alarm that the health
check follows) and the last cached answer expires (TTL).

Attributes:
    RTO_TARGET_SECONDS: Default of the maximum time for detection and the TTL together.
    REQUEST_INTERVAL_SECONDS, FAILURE_THRESHOLD, RECORD_TTL_SECONDS: The other defaults of `DnsFailover`.
    ALIAS_TTL_SECONDS: TTL of an alias of API Gateway.
    HTTP_CONNECT_SECONDS, RESPONSE_SECONDS: How long a health checker waits for a connection, and then for an answer.
    HANGING_PROBE_SECONDS: Duration of a probe that a region never answers.
"""

from .checks import mistakes_in_props

RTO_TARGET_SECONDS = 180
REQUEST_INTERVAL_SECONDS = 30
FAILURE_THRESHOLD = 3
RECORD_TTL_SECONDS = 30
# An alias record has the TTL of what it points to, and API Gateway's is 60 s.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html
ALIAS_TTL_SECONDS = 60
# A checker waits 4 s for a connection and 2 s more for the status code, and the next interval starts then.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
HTTP_CONNECT_SECONDS = 4
RESPONSE_SECONDS = 2
HANGING_PROBE_SECONDS = HTTP_CONNECT_SECONDS + RESPONSE_SECONDS


def ttl_of(ttl_seconds: int | None, *, custom_domain: bool) -> int:
    """The TTL of the records, in seconds.

    Args:
        ttl_seconds: The TTL that the app sets, in seconds. None for the default.
        custom_domain: Whether the records are aliases of API Gateway.

    Example:
        >>> ttl_of(None, custom_domain=False), ttl_of(None, custom_domain=True), ttl_of(45, custom_domain=False)
        (30, 60, 45)
    """
    if ttl_seconds is not None:
        return ttl_seconds
    return ALIAS_TTL_SECONDS if custom_domain else RECORD_TTL_SECONDS


def budget_seconds(request_interval_seconds: int, failure_threshold: int, ttl_seconds: int) -> int:
    """Seconds from an outage to the last cached answer of the primary, when probes fail at once.

    Args:
        request_interval_seconds: Seconds from one probe of a checker to its next.
        failure_threshold: Failures in a row before a health check is unhealthy.
        ttl_seconds: TTL of the records.

    Example:
        >>> budget_seconds(30, 3, 30)
        120
    """
    return request_interval_seconds * failure_threshold + ttl_seconds


def slowest_seconds(request_interval_seconds: int, failure_threshold: int, ttl_seconds: int) -> int:
    """The same as `budget_seconds`, when every probe hangs for as long as a checker allows.

    Args:
        request_interval_seconds: As of `budget_seconds`.
        failure_threshold: As of `budget_seconds`.
        ttl_seconds: As of `budget_seconds`.

    Example:
        >>> slowest_seconds(30, 3, 30)
        138
    """
    return budget_seconds(request_interval_seconds + HANGING_PROBE_SECONDS, failure_threshold, ttl_seconds)


def mistakes_in_failover_timing(
    request_interval_seconds: int,
    failure_threshold: int,
    ttl_seconds: int | None,
    rto_target_seconds: int,
    *,
    custom_domain: bool = False,
    alarm_seconds: int | None = None,
) -> list[str]:
    """Report the number that makes a failover miss its target.

    Args:
        request_interval_seconds: As of `budget_seconds`.
        failure_threshold: As of `budget_seconds`.
        ttl_seconds: As of `ttl_of`.
        rto_target_seconds: Maximum time for detection and the TTL together, in seconds.
        custom_domain: Whether the records are aliases of API Gateway. Default no.
        alarm_seconds: Seconds from an outage to the alarm that a health check follows. Default: no alarm.

    Raises:
        ConfigurationError: A value is not a number.

    Example:
        >>> mistakes_in_failover_timing(30, 3, 30, 180)
        []
        >>> mistakes_in_failover_timing(20, 3, 30, 180)
        ['request_interval_seconds=20 is not 30 or 10; use a value such as 30']
    """
    mistakes = mistakes_in_props(mistakes_in_failover_timing, locals())
    if custom_domain and ttl_seconds is not None:
        mistakes.append(
            f"ttl_seconds={ttl_seconds}: with custom_domain the records are aliases, whose TTL of {ALIAS_TTL_SECONDS} "
            "is API Gateway's; leave it out"
        )
        ttl_seconds = None
    ttl = ttl_of(ttl_seconds, custom_domain=custom_domain)
    budget = budget_seconds(request_interval_seconds, failure_threshold, ttl)
    if budget > rto_target_seconds:
        detection = budget - ttl
        change = (
            f"lower ttl_seconds to {rto_target_seconds - detection} or less"
            if detection < rto_target_seconds and not custom_domain
            else "lower request_interval_seconds to 10 or failure_threshold"
        )
        mistakes.append(
            f"request_interval_seconds={request_interval_seconds} x failure_threshold={failure_threshold} + "
            f"{'the TTL of an alias, ' if custom_domain else 'ttl_seconds='}{ttl} is {budget} s, "
            f"beyond rto_target_seconds={rto_target_seconds}; {change}"
        )
    if alarm_seconds is not None and alarm_seconds + ttl > rto_target_seconds:
        least = f"raise rto_target_seconds to {alarm_seconds + ttl}"
        change = (
            f"lower ttl_seconds to {rto_target_seconds - alarm_seconds} or less, or {least}"
            if alarm_seconds < rto_target_seconds and not custom_domain
            else f"follow an alarm that fires earlier, or {least}"
        )
        mistakes.append(
            f"alarm_seconds={alarm_seconds} + {'the TTL of an alias, ' if custom_domain else 'ttl_seconds='}{ttl} is "
            f"{alarm_seconds + ttl} s, beyond rto_target_seconds={rto_target_seconds}; {change}"
        )
    return mistakes


def warnings_of_failover_timing(
    request_interval_seconds: int, failure_threshold: int, ttl_seconds: int, rto_target_seconds: int
) -> list[str]:
    """Warn when a region that never answers a probe makes a failover miss the target.

    Args:
        request_interval_seconds: As of `budget_seconds`.
        failure_threshold: As of `budget_seconds`.
        ttl_seconds: As of `budget_seconds`.
        rto_target_seconds: Maximum time for detection and the TTL together, in seconds.

    Example:
        >>> warnings_of_failover_timing(30, 3, 30, 180)
        []
    """
    slowest = slowest_seconds(request_interval_seconds, failure_threshold, ttl_seconds)
    if slowest <= rto_target_seconds:
        return []
    return [
        f"when every probe hangs for {HANGING_PROBE_SECONDS} s, a failover takes up to "
        f"({request_interval_seconds} + {HANGING_PROBE_SECONDS}) x {failure_threshold} + {ttl_seconds} = {slowest} s, "
        f"beyond rto_target_seconds={rto_target_seconds}; lower failure_threshold or request_interval_seconds"
    ]
