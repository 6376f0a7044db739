"""Every row of docs/config-sync-faults.md happens to the real handler, and reports what the row says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from handlers import lambda_config_sync as config_sync
from handlers.lambda_config_sync import handler
from no_loss.parameter_store import api_error
from tests.handlers.config_sync_faults import ROWS, Row
from tests.handlers.test_lambda_config_sync import ENVIRONMENT, NAME, OTHER_NAME, SCHEDULE, Aws, Client


class Ended(BaseException):
    """Lambda ends the process: no code of the function runs any more."""


class World:
    """Two regions that are equal, and the function in one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.aws = Aws()
        self.east, self.west = self.aws.regions.east, self.aws.regions.west
        self.starts = True
        self.remaining_ms = 300_000
        for name in (NAME, OTHER_NAME):
            self.aws.regions.write(self.east, "seed", name)
            self.aws.regions.write(self.west, "seed", name)

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms

    def write(self) -> None:
        """A change that is still to be copied."""
        self.aws.regions.write(self.east, "new")


def fails(error: BaseException) -> Callable[[object], NoReturn]:
    def fail(_: object) -> NoReturn:
        raise error

    return fail


def refused(operation: str) -> Callable[[object], NoReturn]:
    return fails(api_error(operation, "AccessDeniedException"))


def does_not_start(world: World) -> None:
    """No run comes about: there is nothing that the handler could do."""
    world.starts = False


def crashes(world: World) -> None:
    def defect(*_: object) -> NoReturn:
        raise RuntimeError("defect")

    world.patch.setattr(config_sync, "names_to_sync", defect)


def sts_is_silent(world: World) -> None:
    world.patch.setattr(world.aws, "assume_role", lambda **_: fails(ConnectTimeoutError(endpoint_url="https://sts"))(0))


def at(side: str, operation: str, fail: Callable[[str], object]) -> Callable[[World], None]:
    """The fault of one operation in one region, when there is a change to copy."""

    def apply(world: World) -> None:
        world.write()
        client: Client = getattr(world, side)
        client.before[operation] = fail

    return apply


def one_fails(name: str) -> None:
    if name == NAME:
        raise api_error("GetParameterHistory", "AccessDeniedException")


def missing_everywhere(world: World) -> None:
    for client in (world.east, world.west):
        client.store.delete_parameter(Name=OTHER_NAME)


def type_stays(world: World) -> None:
    world.write()
    world.west.store.parameters[NAME][-1].type = "String"
    world.west.store.type_may_change = False


def unusable_key(world: World) -> None:
    world.aws.regions.write(world.east, "new", KeyId="another")
    world.east.store.lost_keys.add("another")


UNAVAILABLE = api_error("GetParameterHistory", "ServiceUnavailable", status=503)
HANGS = ReadTimeoutError(endpoint_url="https://ssm")
FAULTS: Mapping[str, Callable[[World], object]] = {
    "none": lambda _: None,
    "an event is lost; the next reconciliation copies the change": World.write,
    "the rule is disabled": does_not_start,
    "EventBridge may not invoke the function": does_not_start,
    "the function is throttled: its reserved concurrency is 0": does_not_start,
    "the code crashes before it reports": crashes,
    "Lambda stops the function: timeout, out of memory": at("west", "get_parameter_history", fails(Ended())),
    "a setting is missing": lambda world: world.patch.delenv("TARGET_KMS_KEY_ARN"),
    "assuming the cross-region role is denied: `AccessDenied`": lambda world: setattr(world.aws, "refuse", True),
    "STS in this region does not answer": sts_is_silent,
    "reading in this region is denied": at("east", "get_parameter_history", refused("GetParameterHistory")),
    "reading in the other region is denied": at("west", "get_parameter_history", refused("GetParameterHistory")),
    "writing in the other region is denied": at("west", "put_parameter", refused("PutParameter")),
    "KMS denies decryption": at("east", "get_parameter", refused("GetParameter")),
    "KMS denies encryption": at("west", "put_parameter", refused("PutParameter")),
    "the other region hangs": at("west", "get_parameter_history", fails(HANGS)),
    "the other region answers 503": at("west", "get_parameter_history", fails(UNAVAILABLE)),
    "one parameter of several fails": at("east", "get_parameter_history", one_fails),
    "a parameter is missing in both regions": missing_everywhere,
    "the target parameter is a plain `String`, and AWS does not let its type change": type_stays,
    "the function may not use the key of the last write": unusable_key,
    "the run has no time left for some parameters": lambda world: setattr(world, "remaining_ms", 10_000),
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The handler as Lambda would run it, with stand-ins for AWS."""
    world = World(monkeypatch)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(config_sync, "_connection", None)
    monkeypatch.setattr(config_sync, "Connection", world.aws.connection)
    return world


def reported(lines: str) -> list[Any]:
    """The values of ParameterDrift that CloudWatch takes from the log, which is where it is declared as a metric."""
    metrics = [record for record in map(json.loads, lines.splitlines()) if "_aws" in record]
    for record in metrics:
        (directive,) = record["_aws"]["CloudWatchMetrics"]
        assert {"Name": "ParameterDrift", "Unit": "Count"} in directive["Metrics"]
        assert record[directive["Dimensions"][0][0]] == ENVIRONMENT["AWS_LAMBDA_FUNCTION_NAME"]
    return [record["ParameterDrift"] for record in metrics]


def test_every_row_has_a_fault_and_every_fault_a_row() -> None:
    assert [row.fault for row in ROWS] == list(FAULTS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_a_reconciliation_reports_what_the_table_says(
    row: Row, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    FAULTS[row.fault](world)
    if world.starts:
        with suppress(Exception, Ended):  # what the run ends with is not in the table
            handler(SCHEDULE, world)
    values = reported(capsys.readouterr().out)
    found = "nothing" if not values else "above 0" if values[0] > 0 else "0"
    assert (len(values) <= 1, found) == (True, row.reports)


def test_a_change_whose_event_is_lost_is_copied_by_the_next_reconciliation(world: World) -> None:
    world.write()
    handler(SCHEDULE, world)
    assert world.west.store.value(NAME) == "new"
