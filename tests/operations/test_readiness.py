"""What is left to do: named, and not green, on AWS; no fault on an embedded AWS."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.resolver
import pytest

from payment_dr.operations import readiness
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient
from payment_dr.operations.errors import OperationError
from payment_dr.operations.readiness import asked_of_dns, is_placeholder, left_to_do
from payment_dr.operations.status import BAD, CANNOT_TELL, OK, Finding
from tests.operations.stack import OUTPUTS, Stack, refusal, subscription

OURS = frozenset(OUTPUTS["hosted_zone_name_servers"])
PRODUCTION: dict[str, Any] = {
    "terraform": {"backend": {"s3": {}}},
    "resource": {
        "aws_s3_bucket": {"documents": {"force_destroy": False}},
        "aws_dynamodb_table": {"table": {"deletion_protection_enabled": True}},
        "aws_cloudwatch_log_group": {"log": {"retention_in_days": 365}, "other": {"retention_in_days": "${var.days}"}},
    },
}


@pytest.fixture
def live(make_stack: Callable[..., Stack]) -> Stack:
    return make_stack(live=True)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """A synthesized stack that differs from one for production in these parts."""

    def made(change: dict[str, Any]) -> Path:
        (tmp_path / "cdk.tf.json").write_text(json.dumps(PRODUCTION | change), encoding="utf-8")
        return tmp_path

    return made


Folder = Callable[[dict[str, Any]], Path]


def found(stack: Stack, directory: Path | None = None, servers: frozenset[str] = OURS) -> dict[str, Finding]:
    return left_to_do(stack, directory, lambda _: servers)


def test_where_everything_is_done_all_is_well(live: Stack, folder: Folder) -> None:
    assert {name: str(each) for name, each in found(live, folder({})).items()} == {
        "alert subscriptions": "2 confirmed",
        "name servers": "pay.acme.io is delegated to this zone",
        "state": "in a bucket",
        "settings": "for production",
    }


def test_on_an_embedded_aws_nothing_is_left_to_do(make_stack: Callable[..., Stack], folder: Folder) -> None:
    stack = make_stack(custom_domain=True)
    stack.subscriptions["primary"] = [subscription("dr-alerts@example.com", "PendingConfirmation")]
    rows = found(stack, folder({"terraform": {}, "resource": {}}), frozenset())
    assert [*rows] == ["alert subscriptions", "name servers", "certificate", "state", "settings"]
    assert {each.state for each in rows.values()} == {OK}
    assert rows["name servers"].found == "not checked: an embedded AWS has no parent zone"


@pytest.mark.parametrize(
    ("subscriptions", "text"),
    [
        (
            [subscription("oncall@acme.io", "PendingConfirmation")],
            "oncall@acme.io in us-west-2 is not confirmed: open the mail from AWS Notifications",
        ),
        (
            [subscription("dr-alerts@example.com", "arn:aws:sns:…:1")],
            "dr-alerts@example.com in us-west-2 is a placeholder: set alert_email",
        ),
        ([], "none in us-west-2"),
    ],
)
def test_alerts_that_reach_nobody_are_named(live: Stack, subscriptions: list[dict[str, str]], text: str) -> None:
    live.subscriptions["secondary"] = subscriptions
    row = found(live)["alert subscriptions"]
    assert (row.state, row.found) == (BAD, text)


def test_subscriptions_that_cannot_be_listed_do_not_count_as_confirmed(live: Stack) -> None:
    live.failing["sns", "primary"] = refusal(403)
    row = found(live)["alert subscriptions"]
    assert (row.state, row.found) == (CANNOT_TELL, "SNS in us-east-1 rejects the call: AccessDeniedException")


@pytest.mark.parametrize(
    ("servers", "what"),
    [(frozenset(), "nothing"), (frozenset({"ns.old.io", "ns-1.awsdns-01.org"}), "ns-1.awsdns-01.org, ns.old.io")],
)
def test_a_domain_that_leads_elsewhere_is_named(live: Stack, servers: frozenset[str], what: str) -> None:
    row = found(live, servers=servers)["name servers"]
    text = f"pay.acme.io is delegated to {what}: enter hosted_zone_name_servers at your registrar"
    assert (row.state, row.found) == (BAD, text)


def test_a_zone_that_was_there_before_the_stack_is_not_asked_about(live: Stack) -> None:
    live.outputs["hosted_zone_name_servers"] = []
    row = found(live, servers=frozenset({"ns.old.io"}))["name servers"]
    assert (row.state, row.found) == (OK, "not checked: the zone of pay.acme.io is older than the stack")


def test_a_placeholder_on_aws_is_named_and_its_settings_are_not_judged(live: Stack, folder: Folder) -> None:
    live.outputs["hosted_zone_name"] = "payment-app.test"
    rows = found(live, folder({"resource": {"aws_s3_bucket": {"documents": {"force_destroy": True}}}}))
    text = "payment-app.test is a placeholder that does not resolve: set domain_name"
    assert (rows["name servers"].state, rows["name servers"].found) == (BAD, text)
    assert rows["settings"].state == OK


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("payment-app.test", True),
        ("test", True),
        ("Mail.Example.COM.", True),
        ("contest.io", False),
        ("myexample.com", False),
    ],
)
def test_placeholders_are_the_names_that_nobody_can_own(domain: str, expected: bool) -> None:
    assert is_placeholder(domain) is expected


@pytest.mark.parametrize(
    ("change", "row", "text"),
    [
        (
            {"terraform": {"backend": {"local": {}}}},
            "state",
            "in a file on this machine: set PAYMENT_DR_STATE and run dr bootstrap",
        ),
        (
            {"aws_s3_bucket": {"documents": {"force_destroy": True}}},
            "settings",
            "for testing: buckets delete their documents with the stack (force_destroy)",
        ),
        (
            {"aws_dynamodb_table": {"table": {"deletion_protection_enabled": False}}},
            "settings",
            "for testing: the table has no deletion protection (deletion_protection)",
        ),
        (
            {"aws_cloudwatch_log_group": {"log": {"retention_in_days": 1}}},
            "settings",
            "for testing: logs are kept for less than 30 days",
        ),
    ],
)
def test_each_test_setting_is_named(live: Stack, folder: Folder, change: dict[str, Any], row: str, text: str) -> None:
    directory = folder(change if row == "state" else {"resource": PRODUCTION["resource"] | change})
    rows = found(live, directory)
    assert (rows[row].state, rows[row].found) == (BAD, text)


def test_without_the_folder_of_the_stack_its_settings_are_not_checked(live: Stack, tmp_path: Path) -> None:
    for directory in (None, tmp_path):
        rows = found(live, directory)
        assert rows["state"] == rows["settings"]
        assert (rows["state"].state, rows["state"].found.partition(":")[0]) == (OK, "not checked")


@pytest.mark.parametrize(
    ("error", "state"),
    [("its certificate is rejected: expired", BAD), ("no answer: timed out", CANNOT_TELL)],
)
def test_a_certificate_that_is_not_issued_is_named(
    make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch, error: str, state: str
) -> None:
    def refuse(_self: TlsClient, side: str) -> None:
        if side == "secondary":
            raise NotServedError(error)

    monkeypatch.setattr(TlsClient, "call", refuse)
    row = found(make_stack(live=True, custom_domain=True))["certificate"]
    assert (row.state, row.found) == (state, f"us-west-2 does not serve app.pay.acme.io: {error}")


def test_an_unknown_domain_has_no_name_servers_and_a_failing_dns_is_an_error(
    monkeypatch: pytest.MonkeyPatch, live: Stack
) -> None:
    def answering(error: type[Exception]) -> None:
        def resolve(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(dns.resolver, "resolve", resolve)

    answering(dns.resolver.NXDOMAIN)
    assert asked_of_dns("pay.acme.io") == frozenset()
    answering(dns.resolver.NoNameservers)
    with pytest.raises(OperationError, match="DNS does not answer for the name servers of pay"):
        asked_of_dns("pay.acme.io")
    assert readiness.left_to_do(live, None)["name servers"].state == CANNOT_TELL
