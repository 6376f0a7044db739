"""The switch of the standby region: what `GET /switch` answers, by DynamoDB's own rules for requests and answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions as aws
import pytest
from botocore.stub import Stubber

from handlers import lambda_switch
from handlers.lambda_switch import CONFIG, SwitchFault, handler, is_switched

NOW_MS = 1_790_000_000_000
TABLE = "table-switch-west-dev"
QUERY = {
    "TableName": TABLE,
    "KeyConditionExpression": "#region = :region",
    "ExpressionAttributeNames": {"#region": "region"},
    "ExpressionAttributeValues": {":region": {"S": "us-east-1"}},
    "ScanIndexForward": False,
    "Limit": 1,
    "ConsistentRead": True,
}


def item(*, switched: bool = True, until: int | None = None) -> dict[str, Any]:
    end = {} if until is None else {"until": {"N": str(until)}}
    return {
        "region": {"S": "us-east-1"},
        "version": {"N": "7"},
        "switched": {"BOOL": switched},
        "at": {"N": str(NOW_MS - 60_000)},
        "by": {"S": "arn:aws:iam::123456789012:user/oncall"},
        "reason": {"S": "payments fail"},
        **end,
    }


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client, which answers what a test says, at a known time."""
    client = boto3.client(
        "dynamodb", region_name="us-west-2", aws_access_key_id="test", aws_secret_access_key="test", config=CONFIG
    )
    monkeypatch.setattr(lambda_switch, "_dynamodb", lambda: client)
    monkeypatch.setattr(time, "time", lambda: NOW_MS / 1000)
    monkeypatch.setenv("SWITCH_TABLE_NAME", TABLE)
    monkeypatch.setenv("PRIMARY_REGION", "us-east-1")
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("items", "status", "says"),
    [
        ([item()], 200, "switched"),
        ([item(until=NOW_MS + 1)], 200, "switched"),
        ([item(until=NOW_MS)], 503, "not switched"),
        ([item(until=NOW_MS - 1)], 503, "not switched"),
        ([item(switched=False)], 503, "not switched"),
        ([item(switched=False, until=NOW_MS + 1)], 503, "not switched"),
        ([], 503, "not switched"),
    ],
    ids=["no end", "before its end", "at its end", "after its end", "released", "released before its end", "never set"],
)
def test_only_a_switch_that_is_set_answers_200(
    dynamodb: Stubber, items: list[dict[str, Any]], status: int, says: str
) -> None:
    dynamodb.add_response("query", {"Items": items}, QUERY)
    answer = handler({}, None)
    assert answer["statusCode"] == status
    assert json.loads(answer["body"]) == {"status": says}  # the address is public: no reason, no name
    assert answer["headers"]["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "InternalServerError", "ThrottlingException"]
)
def test_a_table_that_refuses_is_a_fault_and_no_answer(
    dynamodb: Stubber, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamodb.add_client_error("query", code, http_status_code=400)
    with pytest.raises(SwitchFault, match="cannot be read"):
        handler({}, None)
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"]) == ("ERROR", "cannot read the switch")
    assert code in line["error"]


def test_a_table_that_does_not_answer_is_a_fault(dynamodb: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def query(self, **_: Any) -> Any:
            raise aws.ReadTimeoutError(endpoint_url="https://dynamodb.us-west-2.amazonaws.com")

    monkeypatch.setattr(lambda_switch, "_dynamodb", Gone)
    with pytest.raises(SwitchFault, match="ReadTimeoutError"):
        handler({}, None)


@pytest.mark.parametrize("missing", ["switched", "BOOL"])
def test_an_item_of_another_form_is_a_fault(dynamodb: Stubber, missing: str) -> None:
    strange = item()
    if missing == "BOOL":
        strange["switched"] = {"S": "true"}
    else:
        del strange["switched"]
    dynamodb.add_response("query", {"Items": [strange]}, QUERY)
    with pytest.raises(SwitchFault, match="KeyError"):
        handler({}, None)


@pytest.mark.parametrize("name", ["SWITCH_TABLE_NAME", "PRIMARY_REGION"])
def test_a_missing_setting_is_a_fault(
    dynamodb: Stubber, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, " ")
    with pytest.raises(SwitchFault):
        handler({}, None)
    assert f"environment variable {name} is not set" in capsys.readouterr().out


def test_a_table_that_hangs_leaves_time_to_answer_within_the_two_seconds_of_a_checker() -> None:
    config: Any = CONFIG
    assert config.retries["total_max_attempts"] * max(config.connect_timeout, config.read_timeout) <= 1.0
    assert not is_switched(None, NOW_MS)
