"""The pause of replication by AWS FIS: what is asked of it, and that it is stopped whatever happens."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import ANY, Stubber

from payment_dr.operations.drill import replication_pause
from payment_dr.operations.drill.replication_pause import ACTION, RESOURCE_TYPE, ReplicationPause
from payment_dr.operations.errors import OperationError
from payment_dr.side import Side
from tests.operations.stack import OUTPUTS, Clock, Stack

TABLE = OUTPUTS["dynamodb_table_arn"]
STARTED = {"clientToken": ANY, "experimentTemplateId": "EXT1"}


@pytest.fixture
def fis(stack: Stack, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Stubber]:
    """AWS FIS, which answers what a test says and must be asked all of it."""
    client = boto3.client("fis", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    clients = stack.client

    def of(service: str, side: Side, **options: Any) -> Any:
        assert side == "primary" or service != "fis"
        return client if service == "fis" else clients(service, side, **options)

    monkeypatch.setattr(stack, "client", of)
    monkeypatch.setattr(replication_pause, "time", clock)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def pause(stack: Stack, fis: Stubber) -> ReplicationPause:
    return ReplicationPause(stack, "EXT1")


def template(**change: Any) -> dict[str, Any]:
    made = {
        "actions": {"pause": {"actionId": ACTION, "parameters": {"duration": "PT20M"}}},
        "targets": {"table": {"resourceType": RESOURCE_TYPE, "resourceArns": [TABLE], "selectionMode": "ALL"}},
    }
    return {"experimentTemplate": made | change}


def experiment(status: str, reason: str = "") -> dict[str, Any]:
    return {"experiment": {"id": "EXP1", "state": {"status": status, "reason": reason}}}


@pytest.mark.parametrize(
    ("duration", "seconds"), [("PT20M", 1200), ("PT15M", 900), ("PT1H", 3600), ("PT900S", 900), ("PT0H16M1S", 961)]
)
def test_a_template_says_how_long_it_pauses_replication(
    duration: str, seconds: float, pause: ReplicationPause, fis: Stubber
) -> None:
    action = {"actionId": ACTION, "parameters": {"duration": duration}}
    fis.add_response("get_experiment_template", template(actions={"pause": action}), {"id": "EXT1"})
    assert pause.seconds() == seconds


@pytest.mark.parametrize("duration", ["PT14M59S", "PT61M", "PT12H"])
def test_a_template_that_is_too_short_or_too_long_is_rejected(
    duration: str, pause: ReplicationPause, fis: Stubber
) -> None:
    action = {"actionId": ACTION, "parameters": {"duration": duration}}
    fis.add_response("get_experiment_template", template(actions={"pause": action}), {"id": "EXT1"})
    with pytest.raises(OperationError, match="EXT1 pauses replication for ") as raised:
        pause.seconds()
    assert raised.value.hint.startswith("give it 15 to 60 minutes")


PAUSES: dict[str, Any] = {"actionId": ACTION, "parameters": {"duration": "PT20M"}}
TARGET: dict[str, Any] = {"resourceType": RESOURCE_TYPE, "resourceArns": [TABLE]}


@pytest.mark.parametrize(
    "change",
    [
        {"actions": {"a": {"actionId": "aws:ec2:terminate-instances"}}},
        {"actions": {"a": PAUSES, "b": {"actionId": "aws:fis:wait", "parameters": {"duration": "PT1M"}}}},
        {"actions": {}},
        {"actions": {"a": {"actionId": ACTION}}},
        {"actions": {"a": {"actionId": ACTION, "parameters": {"duration": "PT"}}}},
        {"actions": {"a": {"actionId": ACTION, "parameters": {"duration": "20 minutes"}}}},
        {"targets": {}},
        {"targets": {"a": {**TARGET, "resourceArns": [f"{TABLE}-of-others"]}}},
        {"targets": {"a": {**TARGET, "resourceArns": [TABLE, f"{TABLE}-of-others"]}}},
        {"targets": {"a": {"resourceType": RESOURCE_TYPE, "resourceTags": {"env": "dev"}}}},
        {"targets": {"a": TARGET, "b": {"resourceType": "aws:s3:bucket", "resourceArns": ["arn:aws:s3:::documents"]}}},
        {"targets": {"a": {"resourceType": "aws:s3:bucket", "resourceArns": [TABLE]}}},
    ],
)
def test_a_template_that_does_anything_else_is_rejected(
    change: dict[str, Any], pause: ReplicationPause, fis: Stubber
) -> None:
    fis.add_response("get_experiment_template", template(**change), {"id": "EXT1"})
    with pytest.raises(OperationError, match=f"EXT1 is not {ACTION} of {TABLE} alone"):
        pause.seconds()


def test_an_experiment_is_started_awaited_stopped_and_awaited(pause: ReplicationPause, fis: Stubber) -> None:
    fis.add_response("start_experiment", experiment("pending"), STARTED)
    for status in ("initiating", "running"):
        fis.add_response("get_experiment", experiment(status), {"id": "EXP1"})
    pause.start()
    assert pause.hint.startswith("aws fis stop-experiment --region us-east-1 --id EXP1")
    fis.add_response("get_experiment", experiment("running"), {"id": "EXP1"})
    fis.add_response("stop_experiment", experiment("stopping"), {"id": "EXP1"})
    for status in ("stopping", "stopped"):
        fis.add_response("get_experiment", experiment(status), {"id": "EXP1"})
    pause.stop()


@pytest.mark.parametrize("status", ["completed", "stopped", "failed", "cancelled"])
def test_an_experiment_that_has_ended_is_not_stopped(status: str, pause: ReplicationPause, fis: Stubber) -> None:
    fis.add_response("start_experiment", experiment("pending"), STARTED)
    fis.add_response("get_experiment", experiment("running"), {"id": "EXP1"})
    pause.start()
    fis.add_response("get_experiment", experiment(status), {"id": "EXP1"})
    pause.stop()


def test_an_experiment_that_fails_to_start_says_why(pause: ReplicationPause, fis: Stubber) -> None:
    fis.add_response("start_experiment", experiment("pending"), STARTED)
    fis.add_response("get_experiment", experiment("failed", "no target"), {"id": "EXP1"})
    with pytest.raises(OperationError, match="the experiment EXP1 is failed: no target"):
        pause.start()
    fis.add_response("get_experiment", experiment("failed"), {"id": "EXP1"})
    pause.stop()


def test_an_experiment_that_does_not_end_is_named_with_what_to_do(pause: ReplicationPause, fis: Stubber) -> None:
    fis.add_response("start_experiment", experiment("pending"), STARTED)
    fis.add_response("get_experiment", experiment("running"), {"id": "EXP1"})
    pause.start()
    fis.add_response("get_experiment", experiment("running"), {"id": "EXP1"})
    fis.add_response("stop_experiment", experiment("stopping"), {"id": "EXP1"})
    for _ in range(62):  # two minutes, every two seconds
        fis.add_response("get_experiment", experiment("stopping"), {"id": "EXP1"})
    with pytest.raises(OperationError, match="the experiment EXP1 is stopping") as left:
        pause.stop()
    assert left.value.hint.startswith("aws fis stop-experiment --region us-east-1 --id EXP1")


def test_an_experiment_whose_start_was_rejected_is_not_stopped(pause: ReplicationPause, fis: Stubber) -> None:
    fis.add_client_error("start_experiment", "AccessDeniedException", http_status_code=403, expected_params=STARTED)
    with pytest.raises(OperationError, match="AWS FIS in us-east-1 rejects the call: AccessDeniedException"):
        pause.start()
    pause.stop()


def test_an_experiment_whose_start_was_not_answered_is_looked_up_by_its_token_and_stopped(
    pause: ReplicationPause, monkeypatch: pytest.MonkeyPatch, stack: Stack
) -> None:
    tokens: list[str] = []

    class Fis:
        """Loses its first answer."""

        def start_experiment(self, **arguments: Any) -> Any:
            tokens.append(arguments["clientToken"])
            if len(tokens) == 1:
                raise ReadTimeoutError(endpoint_url="https://...")
            return experiment("running")

        def get_experiment(self, **_: Any) -> Any:
            return experiment("stopped" if "stop" in tokens else "running")

        def stop_experiment(self, **_: Any) -> None:
            tokens.append("stop")

    fake: Callable[..., Any] = lambda *_, **__: Fis()  # noqa: E731
    monkeypatch.setattr(stack, "client", fake)
    with pytest.raises(OperationError, match="does not answer"):
        pause.start()
    pause.stop()
    assert tokens == [tokens[0], tokens[0], "stop"]


def test_a_pause_that_never_began_is_not_stopped(pause: ReplicationPause) -> None:
    pause.stop()
