"""The monthly cost of the stack: computed from the synthesized stack, list prices and stated assumptions."""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from no_loss.reads import reads_of_a_payment
from pages.graph import regions, resources
from pages.prices import AS_OF, EAST, EVERYWHERE, PRICES, WEST
from pages.text import text_of
from payment_dr.config_sync import METRIC_NAMESPACE as SYNC_NAMESPACE
from payment_dr.data_canary import METRIC_NAMESPACE as CANARY_NAMESPACE
from payment_dr.failover_timing import ALIAS_TTL_SECONDS, FAILURE_THRESHOLD, REQUEST_INTERVAL_SECONDS
from payment_dr.health_monitor import METRIC_NAMESPACE as MONITOR_NAMESPACE
from payment_dr.suppressions import YEAR_DAYS

Template = Mapping[str, Any]
INTERFACE_SERVICES: Final = ("ssm", "kms", "sns", "logs")  # all that `interface_endpoints` takes
MINUTES: Final = 730 * 60  # in a month, as AWS counts them


@dataclass(frozen=True)
class Assumption:
    """A number that the stack does not determine, with its meaning."""

    value: float
    what: str


@dataclass(frozen=True)
class Assumptions:
    """Use by clients and AWS in a month."""

    probes: Assumption = Assumption(
        30,
        "probes a minute of each health check with an interval of 30 s, which is [one about every two seconds]"
        "(https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html)",
    )
    probe_ms: Assumption = Assumption(30, "ms billed for a probe, which calls DynamoDB once")
    peer_ms: Assumption = Assumption(300, "ms billed for the wait until the other region's monitor answers")
    sync_ms: Assumption = Assumption(1_000, "ms billed for a comparison of all parameters")
    log_bytes: Assumption = Assumption(
        700,
        "bytes logged for a probe: our line, Lambda's three and the access log's, and the 26 that AWS adds to each",
    )
    resolvers: Assumption = Assumption(20, "resolvers that query the name again as soon as its TTL ends")
    payments: Assumption = Assumption(1_000_000, "payments, each written once, as an item of 1 KB")
    reads: Assumption = Assumption(1, "strongly consistent read of each payment where it was written")
    reads_back: Assumption = Assumption(
        round(reads_of_a_payment(), 1),
        "strongly consistent reads of each payment in the other region by [the client that confirms it]"
        "(no-loss.md#what-it-costs) (simulated)",
    )
    table_gb: Assumption = Assumption(10, "GB of stored payments")
    documents: Assumption = Assumption(100_000, "new documents")
    document_kb: Assumption = Assumption(10, "KB in a document")
    documents_gb: Assumption = Assumption(10, "GB of stored documents, including former versions")


ASSUMPTIONS: Final = Assumptions()
_NOTHING = Assumption(0, "")
IDLE: Final = replace(
    ASSUMPTIONS,
    resolvers=_NOTHING,
    payments=_NOTHING,
    table_gb=_NOTHING,
    documents=_NOTHING,
    documents_gb=_NOTHING,
)

# What is counted below.
PRICED: Final = {
    "aws_apigatewayv2_api",
    "aws_cloudwatch_dashboard",
    "aws_cloudwatch_log_group",
    "aws_cloudwatch_metric_alarm",
    "aws_dynamodb_table",
    "aws_kms_key",
    "aws_lambda_function",
    "aws_route53_health_check",
    "aws_route53_record",
    "aws_route53_zone",
    "aws_s3_bucket",
    "aws_s3_bucket_replication_configuration",
    "aws_ssm_parameter",
    "aws_vpc_endpoint",
}
# Types without a cost of their own, or with a negligible one, and why.
FREE: Final[Mapping[str, str]] = {
    "aws_acm_certificate": "public certificates are free",
    "aws_acm_certificate_validation": "no resource",
    "aws_apigatewayv2_api_mapping": "requests are charged",
    "aws_apigatewayv2_domain_name": "requests are charged",
    "aws_apigatewayv2_integration": "requests are charged",
    "aws_apigatewayv2_route": "requests are charged",
    "aws_apigatewayv2_stage": "requests are charged",
    "aws_cloudwatch_event_rule": "schedules and events of AWS services are free",
    "aws_cloudwatch_event_target": "schedules and events of AWS services are free",
    "aws_default_security_group": "free",
    "aws_iam_policy": "IAM is free",
    "aws_iam_role": "IAM is free",
    "aws_iam_role_policy_attachment": "IAM is free",
    "aws_kms_alias": "the key is charged",
    "aws_lambda_function_event_invoke_config": "a setting",
    "aws_lambda_permission": "a setting",
    "aws_route_table": "free",
    "aws_route_table_association": "free",
    "aws_s3_bucket_policy": "a setting",
    "aws_s3_bucket_public_access_block": "a setting",
    "aws_s3_bucket_server_side_encryption_configuration": "a setting; S3's own keys are free",
    "aws_s3_bucket_versioning": "a setting; what it keeps is storage",
    "aws_security_group": "free",
    "aws_sns_topic": "the first thousand mails a month are free",
    "aws_sns_topic_policy": "a setting",
    "aws_sns_topic_subscription": "the first thousand mails a month are free",
    "aws_subnet": "free",
    "aws_vpc": "free: no NAT gateway",
    "random_password": "not in AWS",
    "terraform_data": "not in AWS",
}


@dataclass(frozen=True)
class Line:
    """One cost in one place.

    Attributes:
        place: A region, or `EVERYWHERE`.
        what: The charged item.
        quantity, price: The number of units, and the key of their price.
    """

    place: str
    what: str
    quantity: float
    price: str

    @property
    def usd(self) -> float:
        """US dollars a month."""
        return self.quantity * PRICES[self.price].each


def estimate(template: Template, assumed: Assumptions = ASSUMPTIONS) -> list[Line]:
    """Compute the costs of a month.

    Args:
        template: A synthesized stack, as parsed from cdk.tf.json.
        assumed: The numbers that the stack does not determine.

    Raises:
        KeyError: It uses a resource type or a region without a price here.
    """
    if unknown := sorted(template["resource"].keys() - FREE.keys() - PRICED):
        raise KeyError(f"no price for {', '.join(unknown)}: add each to FREE or a line to pages/costs.py")
    if unknown := sorted(set(regions(template)) - {EAST, WEST}):
        raise KeyError(f"no prices for {', '.join(unknown)}: add them to pages/prices.py")
    return [
        *_of_route_53(template, assumed),
        *(line for r in regions(template) for line in _lines_of_region(template, r, assumed)),
    ]


def _probes(template: Template, region: str, assumed: Assumptions) -> dict[str, float]:
    """Probes that the APIs of a region receive in a month, by the function that answers them."""
    apis = resources(template, "aws_apigatewayv2_api", region)
    functions = _behind_an_api(resources(template, "aws_apigatewayv2_integration", region))
    found: dict[str, float] = {}
    for route in resources(template, "aws_apigatewayv2_route", region).values():
        (integration,) = re.findall(r"aws_apigatewayv2_integration\.(\w+)\.", route["target"])
        for host, path, probes in _asked(template, assumed):
            if apis.keys() & _apis_in(host) and route["route_key"] == f"GET {path}":
                function = functions[integration]
                found[function] = found.get(function, 0) + probes
    return found


def _asked(template: Template, assumed: Assumptions) -> Iterator[tuple[str, str, float]]:
    """Host and path of every probed endpoint, and its probes in a month: by Route 53, and by monitors."""
    for check in resources(template, "aws_route53_health_check").values():
        if "fqdn" in check:
            every = check["request_interval"]
            yield check["fqdn"], check.get("resource_path", ""), assumed.probes.value * 30 / every * MINUTES
    for url in _peers(resources(template, "aws_lambda_function")).values():
        host, slash, path = url.removeprefix("https://").partition("/")
        yield host, slash + path, MINUTES


def _apis_in(host: str) -> list[str]:
    return re.findall(r"aws_apigatewayv2_api\.(\w+)\.", host)


def _peers(functions: Mapping[str, Any]) -> dict[str, str]:
    """The URL that a function calls in the other region every minute, by function: health monitors, and a takeover."""
    found = {}
    for name, each in functions.items():
        variables = each["environment"]["variables"]
        if url := variables.get("PEER_HEALTH_URL") or variables.get("PRIMARY_HEALTH_URL"):
            found[name] = url
    return found


def _alarm_readers(template: Template, region: str) -> int:
    """The number of takeover functions that read an alarm of this region every minute."""
    settings = [each["environment"]["variables"] for each in resources(template, "aws_lambda_function").values()]
    return sum("PRIMARY_ALARM_NAME" in each and each["PRIMARY_REGION"] == region for each in settings)


def _of_route_53(template: Template, assumed: Assumptions) -> Iterator[Line]:
    zones = resources(template, "aws_route53_zone")
    checks = resources(template, "aws_route53_health_check").values()
    options = sum(
        check["type"].startswith("HTTPS")
        + check["type"].endswith("STR_MATCH")
        + (check.get("request_interval") == 10)
        + check.get("measure_latency", False)
        for check in checks
    )
    # an alias has no TTL, and its queries cost nothing
    ttls = [
        record["ttl"]
        for record in resources(template, "aws_route53_record").values()
        if "set_identifier" in record and "ttl" in record
    ]
    queries = assumed.resolvers.value * MINUTES * 60 / min(ttls) if ttls else 0
    yield Line(EVERYWHERE, "hosted zone", len(zones), "hosted zone")
    yield Line(EVERYWHERE, "health checks", len(checks), "health check")
    yield Line(EVERYWHERE, "options of health checks: HTTPS, and a fast interval", options, "health check option")
    yield Line(EVERYWHERE, "queries", queries, "DNS query")


def _lines_of_region(template: Template, region: str, assumed: Assumptions) -> Iterator[Line]:
    def line(what: str, quantity: float, price: str) -> Line:
        return Line(region, what, quantity, price)

    def here(kind: str) -> dict[str, Any]:
        return resources(template, kind, region)

    probes = _probes(template, region, assumed)
    yield line("probes: API Gateway", sum(probes.values()), "API request")
    runs = {name: probes.get(name, 0.0) for name in here("aws_lambda_function")}
    seconds = {name: count * assumed.probe_ms.value / 1000 for name, count in runs.items()}
    for name, count, every in _scheduled(here("aws_cloudwatch_event_target"), here("aws_cloudwatch_event_rule")):
        ms = assumed.probe_ms if every == 1 else assumed.sync_ms
        runs[name] += count
        seconds[name] += count * ms.value / 1000
    for name in _peers(here("aws_lambda_function")):
        seconds[name] += MINUTES * assumed.peer_ms.value / 1000
    gb_seconds = sum(here("aws_lambda_function")[name]["memory_size"] / 1024 * spent for name, spent in seconds.items())
    yield line("probes and schedules: Lambda requests", sum(runs.values()), "Lambda request")
    yield line("probes and schedules: Lambda duration", gb_seconds, "Lambda GB-second")
    logged = sum(runs.values()) * assumed.log_bytes.value / 1e9
    groups = here("aws_cloudwatch_log_group").values()
    yield line("logs", logged if groups else 0, "log GB")
    # A log without an end of retention is counted for a year.
    kept = max((group["retention_in_days"] or YEAR_DAYS for group in groups), default=0)
    yield line("logs stored, uncompressed", logged * kept * 24 * 60 / MINUTES, "stored log GB")

    alarms = here("aws_cloudwatch_metric_alarm").values()
    metrics = sum(sum("metric" in query for query in alarm.get("metric_query", [{"metric": 1}])) for alarm in alarms)
    yield line("alarms, by metric", metrics, "alarm metric")
    yield line("reads of the data canary's alarm", MINUTES * _alarm_readers(template, region), "CloudWatch request")
    yield line("dashboards", len(here("aws_cloudwatch_dashboard")), "dashboard")
    spaces = [f["environment"]["variables"].get("METRIC_NAMESPACE") for f in here("aws_lambda_function").values()]
    yield line("metrics of config sync", 3 * spaces.count(SYNC_NAMESPACE), "custom metric")
    yield line("metrics of the data canary", 2 * spaces.count(CANARY_NAMESPACE), "custom metric")
    yield line("metrics of the health monitor", spaces.count(MONITOR_NAMESPACE), "custom metric")
    yield line("metrics of document replication", _replication_metrics(template, region), "custom metric")

    interfaces = [each for each in here("aws_vpc_endpoint").values() if each["vpc_endpoint_type"] == "Interface"]
    hours = sum(len(each["subnet_ids"]) for each in interfaces) * MINUTES / 60
    yield line("interface endpoints, by the subnet", hours, "endpoint hour")

    yield line("encryption key", len(here("aws_kms_key")), "KMS key")
    decrypted = 2 * len(here("aws_ssm_parameter")) * MINUTES / 5  # both functions compare all values every five minutes
    yield line("parameters decrypted", decrypted, "KMS request")
    advanced = [p for p in here("aws_ssm_parameter").values() if p.get("tier", "Standard") != "Standard"]
    yield line("advanced parameters", len(advanced), "advanced parameter")

    yield from (line(*each) for each in _table(template, region, assumed))
    yield from (line(*each) for each in _documents(template, region, assumed))


def _replication_metrics(template: Template, region: str) -> int:
    """Metrics that S3 publishes in a region: one of each rule in the source region, three in the destination region."""
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html
    kind = "aws_s3_bucket_replication_configuration"
    here = resources(template, kind, region)
    return sum(
        1 if name in here else 3
        for name, each in resources(template, kind).items()
        for rule in each["rule"]
        if rule["destination"].get("metrics", {}).get("status") == "Enabled"
    )


def _behind_an_api(integrations: Mapping[str, Any]) -> dict[str, str]:
    """The function of each integration that has one."""
    return {
        name: found
        for name, each in integrations.items()
        for found in re.findall(r"aws_lambda_function\.(\w+)\.", each["integration_uri"])
    }


def _scheduled(targets: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """Functions that run on a schedule, with the runs in a month and the interval in minutes."""
    for target in targets.values():
        rule = rules[re.findall(r"aws_cloudwatch_event_rule\.(\w+)\.", target["rule"])[0]]
        if every := re.fullmatch(r"rate\((\d+) minutes?\)", rule.get("schedule_expression", "")):
            (function,) = re.findall(r"aws_lambda_function\.(\w+)\.", target["arn"])
            yield function, MINUTES / int(every[1]), int(every[1])


def _table(template: Template, region: str, assumed: Assumptions) -> Iterator[tuple[str, float, str]]:
    kind = "aws_dynamodb_table"
    for name, table in resources(template, kind).items():
        if "replica" not in table:  # the table of the switch, which its function reads once per probe
            readers = [
                function
                for function, each in resources(template, "aws_lambda_function", region).items()
                if f"{kind}.{name}." in json.dumps(each["environment"])
            ]
            probed = _probes(template, region, assumed)
            yield ("the switch: reads of its table", sum(probed.get(each, 0.0) for each in readers), "table read")
            continue
        is_home = table in resources(template, kind, region).values()
        recovers = (
            table["point_in_time_recovery"]["enabled"] if is_home else table["replica"][0]["point_in_time_recovery"]
        )
        written = assumed.payments.value
        yield ("payments written", written, "table write" if is_home else "replicated write")
        yield ("payments read", written * (assumed.reads if is_home else assumed.reads_back).value, "table read")
        yield ("payments stored", assumed.table_gb.value, "table GB")
        yield ("point-in-time recovery", assumed.table_gb.value * recovers, "recovery GB")
        yield ("payments sent to the other region", written / 1e6 * is_home, "GB between regions")


def _documents(template: Template, region: str, assumed: Assumptions) -> Iterator[tuple[str, float, str]]:
    kind = "aws_s3_bucket"
    for _ in resources(template, kind, region):
        replicates = bool(resources(template, "aws_s3_bucket_replication_configuration", region))
        sent = assumed.documents.value * assumed.document_kb.value / 1e6
        yield ("documents stored", assumed.documents_gb.value, "object GB")
        yield ("documents written", assumed.documents.value, "object put")
        yield ("documents sent to the other region", sent * replicates, "GB between regions")


def total(lines: list[Line]) -> float:
    """The sum in US dollars a month."""
    return sum(line.usd for line in lines)


@dataclass(frozen=True)
class Lever:
    """A change of settings, and its effect on a copy of the stack."""

    what: str
    but: str
    change: Callable[[Any], object]


def _fast_probes(stack: Any) -> None:
    for check in stack["resource"]["aws_route53_health_check"].values():
        if "request_interval" in check:  # one that follows an alarm has none
            check["request_interval"] = 10


def _no_recovery(stack: Any) -> None:
    for table in stack["resource"]["aws_dynamodb_table"].values():
        table["point_in_time_recovery"]["enabled"] = table["replica"][0]["point_in_time_recovery"] = False


def _no_alarms(stack: Any) -> None:
    stack["resource"]["aws_cloudwatch_metric_alarm"].clear()


def _alias_records(stack: Any) -> None:
    for record in stack["resource"]["aws_route53_record"].values():
        record.pop("ttl", None)


def _options(with_canary: Template, with_switch: Template, with_endpoints: Template) -> tuple[Lever, ...]:
    return (
        Lever(
            "`data_canary=True`",
            "fails over when reads and writes fail while the probe passes; its reads and writes cost cents and are not "
            "counted",
            lambda stack: stack.update(with_canary),
        ),
        Lever(
            "`switch=True`",
            "an operator can fail over with the standby region alone, for a limited time; adds two health checks",
            lambda stack: stack.update(with_switch),
        ),
        Lever(
            f"all of `interface_endpoints`: {', '.join(INTERFACE_SERVICES)}",
            "the private subnets reach these services; each GB through them is $0.01 more and not counted",
            lambda stack: stack.update(with_endpoints),
        ),
    )


LEVERS: Final = (
    Lever(
        "`request_interval_seconds=10`",
        f"detection takes {10 * FAILURE_THRESHOLD} s in place of {REQUEST_INTERVAL_SECONDS * FAILURE_THRESHOLD} s",
        _fast_probes,
    ),
    Lever(
        "`custom_domain=True`",
        f"the TTL is {ALIAS_TTL_SECONDS} s; queries of an alias of API Gateway are free",
        _alias_records,
    ),
    Lever(
        "no point-in-time recovery",
        "a wrong write is replicated and cannot be undone; needs an edit of `GlobalData`",
        _no_recovery,
    ),
    Lever("no alarms", "nobody is notified; for comparison only", _no_alarms),
)


def render(template: Template, with_canary: Template, with_switch: Template, with_endpoints: Template) -> str:
    """Render docs/costs.md.

    Args:
        template: The synthesized stack, as parsed from cdk.tf.json.
        with_canary: The same with the data canary.
        with_switch: The same with the switch in the standby region.
        with_endpoints: The same with all interface endpoints.
    """
    levers = (*LEVERS, *_options(with_canary, with_switch, with_endpoints))
    lines = estimate(template)
    places = [*regions(template), EVERYWHERE]
    paid = {line.price: PRICES[line.price] for line in lines if line.quantity}
    sources = dict.fromkeys(source for price in paid.values() for source in price.seen_in)
    found: dict[str, list[Line]] = {}
    for line in lines:
        if line.quantity:
            found.setdefault(line.what, []).append(line)
    rows = sorted((_row(what, of_what, places) for what, of_what in found.items()), key=lambda row: -row["usd"])
    free: dict[str, list[str]] = {}
    for kind in sorted(template["resource"].keys() & FREE.keys()):
        free.setdefault(FREE[kind], []).append(f"`{kind}`")
    return text_of(
        "costs.md.j2",
        total=total(lines),
        idle=total(estimate(template, IDLE)),
        dominant=rows[0],
        places=places,
        rows=rows,
        sums=[f"**{total([line for line in lines if line.place == place]):.2f}**" for place in places],
        levers=[(lever, _change(template, lever) - total(lines)) for lever in levers],
        assumptions=[getattr(ASSUMPTIONS, field.name) for field in fields(ASSUMPTIONS)],
        as_of=f"{AS_OF:%-d %B %Y}",
        sources=[(source, [name for name, price in paid.items() if source in price.seen_in]) for source in sources],
        unseen=[(place, unseen) for place in places if (unseen := _unseen(place, lines))],
        free=free,
    )


def _row(what: str, lines: list[Line], places: list[str]) -> dict[str, Any]:
    by_place = {line.place: f"{line.usd:.2f}" for line in lines}
    return {
        "what": what,
        "usd": total(lines),
        "by_place": [by_place.get(place, "") for place in places],
        "counted": " + ".join(f"{line.quantity:,.2f}".removesuffix(".00") for line in lines),
        "price": f"[{PRICES[lines[0].price]}]({PRICES[lines[0].price].page})",
    }


def _unseen(place: str, lines: list[Line]) -> list[str]:
    """Prices that were not seen for a place, among those charged there."""
    paid = dict.fromkeys(line.price for line in lines if line.place == place and line.quantity)
    return [price for price in paid if place not in PRICES[price].seen_for]


def _change(template: Template, lever: Lever) -> float:
    changed: Any = copy.deepcopy(template)
    lever.change(changed)
    return total(estimate(changed))
