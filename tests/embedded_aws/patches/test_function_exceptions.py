import json
from typing import Any

from tests.embedded_aws.tenant import Tenant, allow

COUNTS = """
    import os

    runs = 0

    def handler(event, context):
        global runs
        runs += 1
        if event == "crash":
            os._exit(1)
        if event == "answer":
            return runs
        raise RuntimeError(f"run {runs}")
"""


def errors_of(account: Tenant, *events: str) -> list[Any]:
    """What a function answers to these events, or its error."""
    functions = account.client("lambda")
    account.function(COUNTS, allow("logs:*", "*"))

    def run(event: str) -> Any:
        answer = functions.invoke(FunctionName="function", Payload=json.dumps(event).encode())
        payload = json.load(answer["Payload"])
        return payload["errorMessage"] if "FunctionError" in answer else payload

    return [run(event) for event in events]


def test_a_function_that_has_raised_keeps_its_memory(account: Tenant) -> None:
    assert errors_of(account, "raise", "raise", "answer") == ["run 1", "run 2", 3]


def test_upstream_still_starts_it_anew(unpatched_account: Tenant) -> None:
    assert errors_of(unpatched_account, "raise", "raise", "answer") == ["run 1", "run 1", 1], (
        "upstream fixed this: the patch may go"
    )


def test_a_function_that_has_crashed_is_started_anew(account: Tenant) -> None:
    answer, crash, after = errors_of(account, "answer", "crash", "answer")

    assert (answer, after) == (1, 1)
    assert "died" in crash


def test_what_it_has_raised_is_in_its_log(account: Tenant) -> None:
    logs = account.client("logs")

    assert errors_of(account, "raise") == ["run 1"]

    group = {"logGroupName": "/aws/lambda/function"}
    messages = [event["message"] for event in logs.filter_log_events(**group)["events"]]
    assert [message for message in messages if "RuntimeError: run 1" in message]
