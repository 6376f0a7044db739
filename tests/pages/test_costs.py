"""What the stack costs: counted in it, by prices of one place."""

import ast
import copy
from typing import Any

import pytest

from pages import costs
from pages.costs import ASSUMPTIONS, FREE, IDLE, PRICED, Line, estimate, total
from pages.graph import regions
from pages.prices import EAST, EVERYWHERE, PRICES, WEST
from pages.synthesis import PROJECT, Template, stack_of
from payment_dr.checks import LIMITS


@pytest.fixture
def changed(stack: Template) -> Any:
    """A copy that a test may change."""
    return copy.deepcopy(stack)


def of(lines: list[Line], what: str) -> dict[str, float]:
    """Dollars of one line by place."""
    return {line.place: round(line.usd, 4) for line in lines if line.what == what}


def usd(stack: Any, what: str | None = None, place: str | None = None) -> float:
    """Dollars of a stack, or of one line or place of it."""
    return total([line for line in estimate(stack) if what in (None, line.what) and place in (None, line.place)])


def row_of(page: str, text: str) -> str:
    """The one line of a page that has a text."""
    (row,) = [line for line in page.splitlines() if text in line]
    return row


def small(**resources: Any) -> Any:
    """A stack of two regions that holds just these."""
    return {
        "provider": {"aws": [{"region": EAST}, {"region": WEST, "alias": "secondary"}]},
        "resource": {f"aws_{kind}": named for kind, named in resources.items()},
    }


def test_every_resource_type_has_a_price_or_a_reason_to_have_none(
    stack: Template, with_custom_domain: Template
) -> None:
    assert (stack["resource"].keys() | with_custom_domain["resource"].keys()) - FREE.keys() - PRICED == set()
    assert FREE.keys() & PRICED == set()


def test_a_type_that_nobody_has_priced_is_named(changed: Any) -> None:
    changed["resource"]["aws_nat_gateway"] = {}
    with pytest.raises(KeyError, match=r"no price for aws_nat_gateway: add"):
        estimate(changed)


def test_a_region_without_prices_is_named(changed: Any) -> None:
    changed["provider"]["aws"][1]["region"] = "eu-west-1"
    with pytest.raises(KeyError, match=r"no prices for eu-west-1: add them to pages/prices\.py"):
        estimate(changed)


@pytest.mark.parametrize("kind", sorted(PRICED - {"aws_cloudwatch_dashboard", "aws_vpc_endpoint"}))  # of options
def test_a_priced_type_is_counted(kind: str, stack: Template, changed: Any) -> None:
    del changed["resource"][kind]
    if kind == "aws_lambda_function":  # what runs them goes with them
        del changed["resource"]["aws_cloudwatch_event_target"]
    assert usd(changed) < usd(stack)


def test_a_dashboard_costs_three_dollars_wherever_it_is() -> None:
    assert usd(small(cloudwatch_dashboard={"a": {}, "b": {"provider": "aws.secondary"}})) == 6


def test_a_log_is_paid_for_as_long_as_it_is_kept(changed: Any) -> None:
    for group in changed["resource"]["aws_cloudwatch_log_group"].values():
        group["retention_in_days"] = 365
    lines = estimate(changed)
    (logged,) = (line.quantity for line in lines if (line.what, line.place) == ("logs", EAST))
    assert of(lines, "logs stored, uncompressed")[EAST] == round(logged * 12 * 0.03, 4)


def test_lines_by_hand(stack: Template) -> None:
    lines = estimate(stack)
    assert of(lines, "hosted zone") == {EVERYWHERE: 0.5}
    assert of(lines, "health checks") == {EVERYWHERE: 2 * 0.75}
    assert of(lines, "encryption key") == {"us-east-1": 1, "us-west-2": 1}
    assert of(lines, "probes: API Gateway") == dict.fromkeys(("us-east-1", "us-west-2"), 1.3578)  # 31 a minute
    # 31 probes a minute of 30 ms, one of them of the other region; one run a minute of 30 ms and 300 ms that it waits
    # for that; one of 1 s in five minutes; 256 MB
    gb_seconds = 43_800 * (32 * 0.030 + 0.3 + 0.2) / 4
    assert of(lines, "probes and schedules: Lambda duration")["us-east-1"] == round(gb_seconds * 16.6667e-6, 4)
    # nine operations are summed by one alarm, which so looks at nine metrics
    assert of(lines, "alarms, by metric") == {"us-east-1": 2.4, "us-west-2": 2.2}
    assert of(lines, "metrics of the health monitor") == {"us-east-1": 0.3, "us-west-2": 0.3}
    # of one rule, three of its four metrics in the region of the destination
    assert of(lines, "metrics of document replication") == {"us-east-1": 0.3, "us-west-2": 0.9}
    assert of(lines, "documents sent to the other region") == {"us-east-1": 0.02, "us-west-2": 0}


@pytest.mark.parametrize(
    ("kind", "changes", "dollars"),
    [
        ("aws_kms_key", {}, 1.00),
        ("aws_cloudwatch_metric_alarm", {}, 0.10),
        ("aws_route53_zone", {}, 0.50),
        ("aws_route53_health_check", {"type": "TCP", "fqdn": "elsewhere.example"}, 0.75),
        ("aws_route53_health_check", {"type": "HTTPS", "fqdn": "elsewhere.example"}, 0.75 + 2.00),
        ("aws_route53_health_check", {"type": "HTTPS_STR_MATCH", "fqdn": "elsewhere.example"}, 0.75 + 2 * 2.00),
        # both functions decrypt it every five minutes: 17,520 more requests of the key
        ("aws_ssm_parameter", {}, 0.05256),
        ("aws_ssm_parameter", {"tier": "Advanced"}, 0.05256 + 0.05),
        ("aws_s3_bucket", {}, 0.23 + 0.50),
    ],
)
def test_one_more_resource_costs_its_price(
    kind: str, changes: Any, dollars: float, stack: Template, changed: Any
) -> None:
    found = changed["resource"][kind]
    found["one_more"] = next(each for each in found.values() if "metric_query" not in each) | changes
    assert usd(changed) - usd(stack) == pytest.approx(dollars)


def test_one_more_health_check_of_an_api_brings_its_probes(stack: Template, changed: Any) -> None:
    checks = changed["resource"]["aws_route53_health_check"]
    checks["one_more"] = checks["dns_primary_health_check"]
    probes = "probes: API Gateway"
    assert usd(changed, probes, EAST) == pytest.approx(usd(stack, probes, EAST) * 61 / 31)  # one is of the other region
    assert usd(changed, probes, WEST) == usd(stack, probes, WEST)


def test_an_alarm_is_paid_by_the_metrics_that_it_looks_at() -> None:
    metrics = [{"id": f"m{number}", "metric": {"metric_name": "SystemErrors"}} for number in range(9)]
    sum_of_nine = {"provider": "aws.secondary", "metric_query": [{"id": "total", "expression": "SUM"}, *metrics]}
    stack = small(cloudwatch_metric_alarm={"one": {"metric_name": "Errors"}, "nine": sum_of_nine})
    assert [usd(stack, place=place) for place in (EAST, WEST)] == pytest.approx([0.10, 0.90])


def test_of_the_three_checks_of_a_region_with_a_canary_only_the_probe_is_https(stack: Template) -> None:
    with_canary = stack_of(data_canary=True)
    assert of(estimate(with_canary), "health checks") == {EVERYWHERE: 6 * 0.75}
    assert of(estimate(with_canary), "options of health checks: HTTPS, and a fast interval") == {EVERYWHERE: 2 * 2.00}
    assert of(estimate(with_canary), "metrics of the data canary") == {EAST: 0.60, WEST: 0.60}
    (row,) = [
        line for line in costs.render(stack, with_canary, stack, stack).splitlines() if "data_canary=True" in line
    ]
    assert row


def test_a_switch_costs_two_checks_and_what_its_probes_take(stack: Template) -> None:
    with_switch = stack_of(switch=True)
    assert of(estimate(with_switch), "health checks") == {EVERYWHERE: 4 * 0.75}
    assert of(estimate(with_switch), "options of health checks: HTTPS, and a fast interval") == {EVERYWHERE: 3 * 2.00}
    reads = 30 * 60 * 730
    assert of(estimate(with_switch), "the switch: reads of its table") == {
        EAST: 0,
        WEST: pytest.approx(reads * PRICES["table read"].each, abs=1e-3),
    }
    probes = "probes: API Gateway"
    assert usd(with_switch, probes, EAST) == usd(stack, probes, EAST)
    assert usd(with_switch, probes, WEST) == pytest.approx(usd(stack, probes, WEST) * 61 / 31)
    assert usd(with_switch, "payments stored", WEST) == usd(stack, "payments stored", WEST)  # its table is empty
    row = row_of(costs.render(stack, stack, with_switch, stack), "`switch=True`")
    assert row


def test_an_operators_failback_costs_a_run_and_a_probe_of_the_primary_each_minute(stack: Template) -> None:
    with_switch, held = stack_of(switch=True), stack_of(switch=True, failback="operator")
    assert usd(held, "alarms, by metric", WEST) == pytest.approx(usd(with_switch, "alarms, by metric", WEST) + 2 * 0.10)
    a_minute = 60 * 730
    runs = "probes and schedules: Lambda requests"
    for place in (EAST, WEST):  # the probe is a run of the primary's monitor
        more = usd(held, runs, place) - usd(with_switch, runs, place)
        assert more == pytest.approx(a_minute * PRICES["Lambda request"].each)
    probes = "probes: API Gateway"
    more = usd(held, probes, EAST) - usd(with_switch, probes, EAST)
    assert more == pytest.approx(a_minute * PRICES["API request"].each)
    assert usd(held, probes, WEST) == usd(with_switch, probes, WEST)


def test_the_alarm_of_the_data_canary_is_asked_for_once_a_minute_with_an_operators_failback() -> None:
    looks, with_canary = "reads of the data canary's alarm", {"switch": True, "data_canary": True}
    assert of(estimate(stack_of(**with_canary)), looks) == {EAST: 0, WEST: 0}
    assert of(estimate(stack_of(**with_canary, failback="operator")), looks) == {
        EAST: pytest.approx(60 * 730 * 0.01 / 1000),
        WEST: 0,
    }


def test_interface_endpoints_are_paid_by_the_subnet_and_gateway_endpoints_are_free(stack: Template) -> None:
    gateways, interfaces = ("dynamodb", "s3"), costs.INTERFACE_SERVICES
    with_endpoints = stack_of(gateway_endpoints=gateways, interface_endpoints=interfaces)
    assert LIMITS["interface_endpoints"].accepts(interfaces)
    four_in_two_subnets = 4 * 2 * 730 * 0.01
    assert of(estimate(with_endpoints), "interface endpoints, by the subnet") == {
        EAST: pytest.approx(four_in_two_subnets),
        WEST: pytest.approx(four_in_two_subnets),
    }
    assert usd(stack_of(gateway_endpoints=gateways)) == pytest.approx(usd(stack))
    (row,) = [
        line for line in costs.render(stack, stack, stack, with_endpoints).splitlines() if "interface_endpoints" in line
    ]
    assert "| +116.80 |" in row


@pytest.mark.parametrize(("interval", "times"), [(30, 1), (10, 3)])
def test_probes_are_paid_at_the_api_and_at_the_function(interval: int, times: int) -> None:
    host = "${aws_apigatewayv2_api.api.id}.execute-api.us-east-1.amazonaws.com"
    stack = small(
        apigatewayv2_api={"api": {}},
        apigatewayv2_integration={"it": {"integration_uri": "${aws_lambda_function.f.invoke_arn}"}},
        apigatewayv2_route={
            "health": {"route_key": "GET /health", "target": "integrations/${aws_apigatewayv2_integration.it.id}"},
            "others": {"route_key": "GET /others", "target": "integrations/${aws_apigatewayv2_integration.it.id}"},
        },
        lambda_function={"f": {"memory_size": 512, "environment": {"variables": {}}}},
        route53_health_check={
            "check": {"type": "HTTP", "request_interval": interval, "fqdn": host, "resource_path": "/health"}
        },
    )
    probes = 30 * 60 * 730 * times
    assert usd(stack, "probes: API Gateway") == pytest.approx(probes * 1.00 / 1e6)
    assert usd(stack, "probes and schedules: Lambda requests") == pytest.approx(probes * 0.20 / 1e6)
    assert usd(stack, "probes and schedules: Lambda duration") == pytest.approx(probes * 0.5 * 0.030 * 16.6667 / 1e6)
    assert usd(stack, place=WEST) == 0


@pytest.mark.parametrize(("status", "east", "west"), [("Enabled", 0.30, 0.90), ("Disabled", 0, 0)])
def test_metrics_of_document_replication_are_paid_where_s3_publishes_them(
    status: str, east: float, west: float
) -> None:
    rule = {"destination": {"metrics": {"status": status}}}
    stack = small(s3_bucket_replication_configuration={"replication": {"rule": [rule]}})
    what = "metrics of document replication"
    assert [usd(stack, what, place) for place in (EAST, WEST)] == pytest.approx([east, west])


def test_payments_are_paid_in_both_regions_and_recovery_where_it_is_on() -> None:
    table = {"point_in_time_recovery": {"enabled": True}, "replica": [{"point_in_time_recovery": False}]}
    stack = small(dynamodb_table={"payments": table})
    written, read, kept, recovery, sent = 0.625, 0.125, 10 * 0.25, 10 * 0.20, 0.02
    assert usd(stack, place=EAST) == pytest.approx(written + read + kept + recovery + sent)
    assert 1.5 < ASSUMPTIONS.reads_back.value < 2.5  # by the client that confirms them
    assert usd(stack, place=WEST) == pytest.approx(written + read * ASSUMPTIONS.reads_back.value + kept)


def test_config_sync_publishes_as_many_metrics_as_are_counted(stack: Template) -> None:
    source = ast.parse((PROJECT / "handlers/lambda_config_sync.py").read_text(encoding="utf-8"))
    keywords = [
        keyword
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "emit_metrics"
        for keyword in call.keywords
    ]
    in_mappings = [node.value for k in keywords if not k.arg for node in ast.walk(k) if isinstance(node, ast.Constant)]
    published = {*in_mappings, *(keyword.arg for keyword in keywords if keyword.arg)}
    counted = {line.place: line.quantity for line in estimate(stack) if line.what == "metrics of config sync"}
    assert counted == {EAST: len(published), WEST: len(published)}


def test_every_price_is_used_was_seen_and_has_a_page_of_aws(stack: Template) -> None:
    assert {line.price for line in estimate(stack)} == PRICES.keys()
    for name, price in PRICES.items():
        assert price.page.startswith("https://aws.amazon.com/"), name
        assert price.seen_for, name


def test_the_page_says_which_prices_nobody_has_seen(stack: Template) -> None:
    paid = {line.price for line in estimate(stack) if line.place == WEST and line.quantity}
    unseen = {price for price in paid if WEST not in PRICES[price].seen_for}
    (told,) = [
        line
        for line in costs.render(stack, stack, stack, stack).splitlines()
        if line.startswith("Not seen for us-west-2")
    ]
    assert set(told.partition(": ")[2].rstrip(".").split(", ")) == unseen


def test_the_page_names_the_largest_line_and_adds_up(stack: Template) -> None:
    lines, page = estimate(stack), costs.render(stack, stack, stack, stack)
    by_what: dict[str, float] = {}
    for line in lines:
        by_what[line.what] = by_what.get(line.what, 0) + line.usd
    assert f"The dominant line is **{max(by_what, key=lambda what: by_what[what])}**" in page
    assert f"About **${total(lines):.0f} a month**" in page
    rows = [line for line in page.partition("| **all**")[0].splitlines() if line.startswith("| ")][1:]
    dollars = [sum(float(cell or 0) for cell in row.split(" | ")[1:4]) for row in rows]
    assert dollars == sorted(dollars, reverse=True)
    sums = [total([line for line in lines if line.place == place]) for place in (*regions(stack), EVERYWHERE)]
    assert f"| **all** | {' | '.join(f'**{each:.2f}**' for each in sums)} | | |" in page


def test_another_line_dominates_when_it_is_the_largest(changed: Any) -> None:
    changed["resource"]["aws_cloudwatch_metric_alarm"] |= {f"alarm_{n}": {"metric_name": "Errors"} for n in range(100)}
    assert "The dominant line is **alarms, by metric**,\n$14.60." in costs.render(changed, changed, changed, changed)


def test_levers_move_the_total_the_way_they_say(stack: Template, with_custom_domain: Template) -> None:
    moved = {}
    for lever in costs.LEVERS:
        copied: Any = copy.deepcopy(stack)
        lever.change(copied)
        moved[lever.what] = total(estimate(copied)) - total(estimate(stack))
    assert moved["no point-in-time recovery"] == pytest.approx(-2 * 10 * 0.20)
    assert moved["`request_interval_seconds=10`"] > 4  # the option alone, for two checks
    assert moved["`custom_domain=True`"] == pytest.approx(usd(with_custom_domain) - usd(stack))
    assert usd(with_custom_domain, "queries") == 0


def test_without_clients_only_what_runs_by_itself_costs(stack: Template) -> None:
    idle = {line.what for line in estimate(stack, IDLE) if line.quantity}
    assert {"health checks", "probes: API Gateway", "encryption key"} <= idle
    assert not any(what.startswith(("payments", "documents", "queries")) for what in idle)
    assert IDLE.probes == ASSUMPTIONS.probes
