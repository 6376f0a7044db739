"""Config sync, case by case. What holds for any order of events is in test_lambda_config_sync_convergence.py."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import ANY, Stubber

from handlers import lambda_config_sync as config_sync
from handlers.lambda_config_sync import (
    Connection,
    Outcome,
    ParameterSync,
    SettingError,
    Settings,
    Stamp,
    SyncFailed,
    Version,
    Write,
    handler,
    names_to_sync,
    ranked,
    read_history,
    run,
)
from no_loss.parameter_store import Clock, ParameterStore, api_error

EAST, WEST = "us-east-1", "us-west-2"
NAME, OTHER_NAME = "/payment-app/dev/database-url", "/payment-app/dev/api-key"
KEY_ARN = "arn:aws:kms:us-west-2:111122223333:key/0a1b"
KEYS = {EAST: "arn:aws:kms:us-east-1:111122223333:key/2c3d", WEST: KEY_ARN}
ROLE_ARN = "arn:aws:iam::111122223333:role/role-config-sync-east-to-west-dev"
SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
SETTINGS = Settings((NAME, OTHER_NAME), EAST, WEST, KEY_ARN, ROLE_ARN, ("PaymentApp/ConfigSync", "sync-east"))
ENVIRONMENT = {
    "AWS_REGION": EAST,
    "AWS_LAMBDA_FUNCTION_NAME": "lambda-config-sync-east-dev",
    "PARAMETER_NAMES": json.dumps([NAME, OTHER_NAME]),
    "TARGET_REGION": WEST,
    "TARGET_KMS_KEY_ARN": KEY_ARN,
    "CROSS_REGION_ROLE_ARN": ROLE_ARN,
}


def change(name: object = NAME, operation: object = "Update") -> dict[str, Any]:
    return {
        "source": "aws.ssm",
        "detail-type": "Parameter Store Change",
        "detail": {"name": name, "operation": operation, "type": "SecureString"},
    }


class Client:
    """A client of a store, in whose calls a test can intervene."""

    def __init__(self, store: ParameterStore) -> None:
        self.store = store
        self.calls: list[tuple[str, str]] = []
        self.before: dict[str, Callable[[str], object]] = {}
        self.after: dict[str, Callable[[Any], object]] = {}

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self.calls.append((operation, request["Name"]))
            if before := self.before.get(operation):
                before(request["Name"])
            answer = getattr(self.store, operation)(**request)
            if after := self.after.get(operation):
                after(answer)
            return answer

        return call


class Regions:
    """us-east-1 at home, us-west-2 as the target, and people who write there."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.east, self.west = (Client(ParameterStore(region, self.clock)) for region in (EAST, WEST))
        self.pauses: list[float] = []
        self.sync = ParameterSync(
            EAST,
            WEST,
            KEY_ARN,
            home=self.east,
            target=self.west,
            target_writer=self.west,
            now=self.clock.now,
            sleep=self.pauses.append,
        )

    def write(self, client: Client, value: str, name: str = NAME, **more: Any) -> None:
        self.clock.advance(1000)
        how: dict[str, Any] = {"Type": "SecureString", "KeyId": KEYS[client.store.region], "Overwrite": True} | more
        client.store.put_parameter(Name=name, Value=value, **how)

    def run(self, event: Any = SCHEDULE, *, names: tuple[str, ...] = (NAME,), **more: Any) -> Any:
        settings = Settings(names, EAST, WEST, KEY_ARN, ROLE_ARN, SETTINGS.metrics)
        return run(event, settings, lambda: self.sync, **{"choose_first": lambda _: 0} | more)

    def reverse(self) -> ParameterSync:
        return ParameterSync(
            WEST, EAST, KEYS[EAST], home=self.west, target=self.east, target_writer=self.east, now=self.clock.now
        )

    def puts(self) -> list[str]:
        return [name for operation, name in self.west.calls if operation == "put_parameter"]


@pytest.fixture
def regions() -> Regions:
    return Regions()


@pytest.fixture
def records(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def choose(versions: list[Version]) -> Version:
    return ranked(versions)[0]


# --- what an event asks for


@pytest.mark.parametrize("event", [SCHEDULE, {"detail-type": "Scheduled Event"}, {}, None])
def test_a_schedule_or_an_empty_event_reconciles_everything(event: Any) -> None:
    assert names_to_sync(event, [NAME, OTHER_NAME]) == ([NAME, OTHER_NAME], True)


@pytest.mark.parametrize("operation", ["Create", "Update"])
def test_a_change_of_a_listed_parameter_syncs_that_one_alone(operation: str) -> None:
    assert names_to_sync(change(OTHER_NAME, operation), [NAME, OTHER_NAME]) == ([OTHER_NAME], False)


@pytest.mark.parametrize(
    "event",
    [
        change("/payment-app/prod/database-url"),
        change(NAME.upper()),
        change(None),
        change([NAME]),
        change({"name": NAME}),
        change(operation="Delete"),
        change(operation="LabelParameterVersion"),
        change(operation=None),
        change(operation=["Update"]),
        {"detail-type": "Parameter Store Change"},
        {"detail-type": "Parameter Store Change", "detail": NAME},
        {"detail-type": "Parameter Store Change", "detail": None},
        {"detail-type": ["Scheduled Event"], "detail": {"name": NAME, "operation": "Update"}},
        {"detail": {"name": NAME, "operation": "Update"}},
        {"names": [NAME]},
        [NAME],
        "reconcile",
        7,
    ],
)
def test_anything_else_is_ignored_and_said(event: Any, records: Callable[[], list[dict[str, Any]]]) -> None:
    def connect() -> ParameterSync:
        raise AssertionError("nothing may be asked of AWS")

    assert run(event, SETTINGS, connect) == {"copied": [], "unchanged": 0, "drifted": []}
    (record,) = records()
    assert (record["level"], record["message"]) == ("INFO", "event ignored")


def test_an_ignored_event_is_not_copied_into_the_log_at_length(records: Callable[[], list[dict[str, Any]]]) -> None:
    names_to_sync(change("x" * 100_000), [NAME])
    assert records()[0]["parameter"] == "x" * 99


# --- copying


def test_a_value_written_at_home_is_copied_under_the_targets_own_key(regions: Regions) -> None:
    regions.write(regions.east, "old", Description="Payments database")
    regions.write(regions.east, "new")

    assert regions.run(change()) == {"copied": [NAME], "unchanged": 0, "drifted": []}

    (copy,) = regions.west.store.parameters[NAME]
    assert (copy.value, copy.type, copy.key_id, copy.tier) == ("new", "SecureString", KEY_ARN, "Standard")
    assert re.fullmatch(
        r"Payments database \[copied to us-west-2 from us-east-1 version 2 of 2026-11-22T12:00:02\+00:00"
        r" at 2026-11-22T12:00:02\+00:00 by [0-9a-f]{16}\]",
        copy.description,
    )


def test_a_copy_is_not_copied_back(regions: Regions) -> None:
    regions.write(regions.east, "value")
    regions.run()
    assert not regions.reverse().sync(NAME).copied
    assert not regions.sync.sync(NAME).copied


def test_equal_values_are_left_alone_whoever_wrote_them(regions: Regions) -> None:
    regions.write(regions.west, "seeded by Terraform")
    regions.write(regions.east, "seeded by Terraform")
    assert regions.run() == {"copied": [], "unchanged": 1, "drifted": []}
    assert not regions.puts()


def test_a_newer_value_of_the_target_is_kept_and_counts_as_drift_until_its_own_function_has_copied_it(
    regions: Regions,
) -> None:
    regions.write(regions.east, "older")
    regions.write(regions.west, "newer")
    assert regions.run() == {"copied": [], "unchanged": 1, "drifted": [NAME]}
    assert regions.reverse().sync(NAME).copied
    assert regions.run() == {"copied": [], "unchanged": 1, "drifted": []}
    assert regions.east.store.value(NAME) == "newer"


def test_a_write_is_not_reverted_by_a_copy_of_its_predecessor_that_arrives_later(regions: Regions) -> None:
    regions.write(regions.east, "second")
    regions.west.before["put_parameter"] = lambda _name: regions.write(regions.east, "third")
    regions.sync.sync(NAME)
    assert regions.west.store.value(NAME) == "second"

    assert not regions.reverse().sync(NAME).copied
    del regions.west.before["put_parameter"]
    regions.sync.sync(NAME)
    assert {regions.east.store.value(NAME), regions.west.store.value(NAME)} == {"third"}


def test_a_parameter_missing_at_home_is_not_deleted_in_the_target(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.west, "value")
    assert regions.run() == {"copied": [], "unchanged": 1, "drifted": [NAME]}
    assert regions.west.store.value(NAME) == "value"
    assert records()[0] == {
        "level": "WARNING",
        "message": "missing in the home region",
        "parameter": NAME,
        "missing_in_target": False,
    }


def test_a_parameter_missing_in_both_regions_is_drift(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    assert regions.run() == {"copied": [], "unchanged": 1, "drifted": [NAME]}
    assert records()[0]["missing_in_target"] is True


def test_a_deleted_parameter_is_made_again_with_the_time_of_its_write(regions: Regions) -> None:
    regions.write(regions.west, "value")
    regions.reverse().sync(NAME)
    regions.write(regions.west, "newer")
    regions.reverse().sync(NAME)
    regions.west.store.delete_parameter(Name=NAME)
    regions.clock.advance(60_000)

    assert regions.sync.sync(NAME).copied

    (version,) = read_history(WEST, regions.west.store.get_parameter_history(Name=NAME)["Parameters"])
    assert version.write == Write(datetime(2026, 11, 22, 12, 0, 2, tzinfo=UTC), WEST, 2)
    assert regions.west.store.value(NAME) == "newer"


def test_a_history_of_several_pages_is_read_to_its_end(regions: Regions) -> None:
    for number in range(100):
        regions.write(regions.east, f"value {number}")
        regions.write(regions.west, f"other {number}")
    regions.write(regions.east, "last")
    regions.run()
    assert regions.west.store.value(NAME) == "last"
    assert regions.east.calls.count(("get_parameter_history", NAME)) == 2


# --- races and failures between two calls


def test_a_write_hidden_by_our_copy_is_brought_back_in_the_same_run(regions: Regions) -> None:
    regions.write(regions.west, "first")
    regions.write(regions.east, "second")

    def write_meanwhile(_name: str) -> None:
        del regions.west.before["put_parameter"]
        regions.write(regions.west, "third")

    regions.west.before["put_parameter"] = write_meanwhile
    assert regions.run() == {"copied": [NAME], "unchanged": 0, "drifted": [NAME]}
    assert [version.value for version in regions.west.store.parameters[NAME]] == ["first", "third", "second", "third"]
    assert regions.reverse().sync(NAME).copied
    assert regions.east.store.value(NAME) == "third"


def test_a_copy_that_hid_an_equal_value_counts_as_copied(regions: Regions) -> None:
    regions.write(regions.west, "first")
    regions.write(regions.east, "second")

    def write_meanwhile(_name: str) -> None:
        regions.write(regions.west, "second")

    regions.west.before["put_parameter"] = write_meanwhile
    assert regions.run() == {"copied": [NAME], "unchanged": 0, "drifted": []}
    assert regions.puts() == [NAME]


def test_a_write_hidden_by_a_copy_of_a_function_that_died_is_found_in_the_history(regions: Regions) -> None:
    regions.write(regions.east, "older")
    regions.run()
    regions.write(regions.east, "second")
    regions.west.before["put_parameter"] = lambda _name: regions.write(regions.west, "third")
    regions.west.after["put_parameter"] = lambda _answer: (_ for _ in ()).throw(SystemExit)
    with pytest.raises(SystemExit):
        regions.run()
    assert regions.west.store.value(NAME) == "second"
    regions.west.before.clear()
    regions.west.after.clear()

    regions.run()
    regions.reverse().sync(NAME)
    assert {regions.east.store.value(NAME), regions.west.store.value(NAME)} == {"third"}


def test_a_parameter_that_others_keep_writing_is_given_up_after_four_attempts(regions: Regions) -> None:
    regions.write(regions.west, "first")
    regions.write(regions.east, "second")
    regions.west.before["put_parameter"] = lambda _name: regions.write(regions.west, "again", Description="busy")
    regions.west.after["put_parameter"] = lambda _answer: regions.write(regions.east, f"{regions.clock.now_ms}")
    with pytest.raises(SyncFailed, match=f"^{NAME}: TryAgainError$"):
        regions.run()
    assert regions.puts() == [NAME] * 4
    assert regions.pauses == [0.5, 1, 2]


def test_a_read_that_lags_behind_our_own_copy_is_not_decided_on(regions: Regions) -> None:
    regions.write(regions.west, "first")
    regions.write(regions.east, "second")

    def history_lags(answer: dict[str, Any]) -> None:
        answer["Parameters"].pop()
        regions.west.after["get_parameter_history"] = lambda _answer: regions.west.after.clear()

    def value_lags(answer: dict[str, Any]) -> None:
        answer["Parameter"] |= {"Version": 2, "Value": "third"}

    def write_meanwhile(_name: str) -> None:
        del regions.west.before["put_parameter"]
        regions.write(regions.west, "third")
        regions.west.after |= {"get_parameter_history": history_lags, "get_parameter": value_lags}

    regions.west.before["put_parameter"] = write_meanwhile
    regions.run()
    assert [version.value for version in regions.west.store.parameters[NAME]] == ["first", "third", "second", "third"]


@pytest.mark.parametrize("side", ["east", "west"])
def test_a_value_that_changes_after_its_history_was_read_is_compared_again(regions: Regions, side: str) -> None:
    regions.write(regions.west, "first")
    regions.write(regions.east, "second")
    client: Client = getattr(regions, side)

    def write_meanwhile(_name: str) -> None:
        del client.before["get_parameter"]
        regions.write(client, "third")

    client.before["get_parameter"] = write_meanwhile
    regions.run()
    regions.reverse().sync(NAME)
    assert {regions.east.store.value(NAME), regions.west.store.value(NAME)} == {"third"}
    assert "second" not in [version.value for version in regions.west.store.parameters[NAME]]


@pytest.mark.parametrize("side", ["east", "west"])
def test_a_parameter_deleted_after_its_history_was_read_is_compared_again(regions: Regions, side: str) -> None:
    regions.write(regions.west, "first")
    regions.write(regions.east, "second")
    client: Client = getattr(regions, side)

    def delete_meanwhile(name: str) -> None:
        del client.before["get_parameter"]
        client.store.delete_parameter(Name=name)

    client.before["get_parameter"] = delete_meanwhile
    regions.run()
    assert regions.west.store.value(NAME) == ("first" if side == "east" else "second")


def test_a_write_hidden_by_our_copy_is_brought_back_even_if_the_home_parameter_was_deleted(regions: Regions) -> None:
    regions.write(regions.east, "first")

    def delete_and_write_meanwhile(_name: str) -> None:
        del regions.west.before["put_parameter"]
        regions.east.store.delete_parameter(Name=NAME)
        regions.write(regions.west, "second")

    regions.west.before["put_parameter"] = delete_and_write_meanwhile
    regions.run()
    assert [version.value for version in regions.west.store.parameters[NAME]] == ["second", "first", "second"]


@pytest.mark.parametrize(
    "error",
    [
        api_error("PutParameter", "ThrottlingException"),
        api_error("PutParameter", "TooManyUpdates"),
        api_error("PutParameter", "InternalServerError"),
        api_error("PutParameter", "RequestLimitExceeded"),
        api_error("PutParameter", "ServiceUnavailable"),
        api_error("PutParameter", "500", status=500),
        api_error("PutParameter", "503", status=503),
        ConnectTimeoutError(endpoint_url="https://ssm"),
        ReadTimeoutError(endpoint_url="https://ssm"),
        EndpointConnectionError(endpoint_url="https://ssm"),
    ],
)
@pytest.mark.parametrize("written_all_the_same", [False, True])
def test_a_copy_whose_fate_is_not_known_is_tried_again_only_if_it_is_not_there(
    regions: Regions, error: Exception, written_all_the_same: bool
) -> None:
    regions.write(regions.east, "value")

    def fail(_argument: object) -> None:
        regions.west.before.clear()
        regions.west.after.clear()
        raise error

    (regions.west.after if written_all_the_same else regions.west.before)["put_parameter"] = fail
    regions.run()
    assert [version.value for version in regions.west.store.parameters[NAME]] == ["value"]


def test_every_attempt_to_copy_has_a_nonce_of_its_own(regions: Regions) -> None:
    regions.write(regions.east, "value")
    seen: list[Any] = []
    regions.west.store.put_parameter = _failing_put(seen)  # type: ignore[method-assign]
    with pytest.raises(SyncFailed, match="ThrottlingException"):
        regions.run()
    assert len({stamp.nonce for stamp in seen}) == len(seen) == 4


def _failing_put(seen: list[Any]) -> Callable[..., Any]:
    def put_parameter(**request: Any) -> Any:
        seen.append(Stamp.split(request["Description"])[1])
        raise api_error("PutParameter", "ThrottlingException")

    return put_parameter


@pytest.mark.parametrize("operation", ["get_parameter_history", "get_parameter", "put_parameter"])
def test_a_refusal_is_not_retried_and_does_not_stop_the_other_names(
    regions: Regions, operation: str, records: Callable[[], list[dict[str, Any]]]
) -> None:
    for name in (NAME, OTHER_NAME):
        regions.write(regions.west, f"older of {name}", name)
        regions.write(regions.east, f"value of {name}", name)

    def refuse(name: str) -> None:
        if name == NAME:
            raise api_error(operation, "AccessDeniedException", f"not allowed to see value of {name}")

    # What cannot be read in the target is replaced, see below; what cannot be read at home cannot be copied.
    client = regions.east if operation == "get_parameter" else regions.west
    client.before[operation] = refuse
    with pytest.raises(SyncFailed) as caught:
        regions.run(names=(NAME, OTHER_NAME))

    assert str(caught.value) == f"{NAME}: AccessDeniedException"
    assert client.calls.count((operation, NAME)) == 1
    assert regions.west.store.value(OTHER_NAME) == f"value of {OTHER_NAME}"
    by_message = {record["message"]: record for record in records()}
    failed, metrics = by_message["sync failed"], by_message["metrics"]
    assert (failed["parameter"], failed["error"]) == (NAME, "AccessDeniedException")
    assert isinstance(failed["line"], int)
    assert (metrics["ParameterDrift"], metrics["ParametersCopied"], metrics["SyncFailures"]) == (1, 1, 1)


def test_no_error_carries_a_value_out_of_the_function(regions: Regions, capsys: pytest.CaptureFixture[str]) -> None:
    regions.write(regions.east, "secret" * 600)
    regions.west.before["put_parameter"] = lambda _name: (_ for _ in ()).throw(
        api_error("PutParameter", "ValidationException", f"Value '{regions.east.store.value(NAME)}' is too long")
    )
    with pytest.raises(SyncFailed) as caught:
        regions.run()
    assert str(caught.value) == f"{NAME}: ValidationException"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "secret" not in capsys.readouterr().out


def test_a_defect_of_our_own_fails_its_name_alone(regions: Regions) -> None:
    regions.write(regions.east, "value", OTHER_NAME)
    regions.east.before["get_parameter_history"] = lambda name: {OTHER_NAME: 1}[name]
    with pytest.raises(SyncFailed, match=f"^{NAME}: KeyError$"):
        regions.run(names=(NAME, OTHER_NAME))
    assert regions.west.store.value(OTHER_NAME) == "value"


def test_names_for_which_no_time_is_left_fail_before_lambda_ends_the_function(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    for name in (NAME, OTHER_NAME):
        regions.write(regions.east, "value", name)
    remaining = iter([300_000, 59_000])
    with pytest.raises(SyncFailed, match=f"^{OTHER_NAME}: OutOfTime$"):
        regions.run(names=(NAME, OTHER_NAME), remaining_ms=lambda: next(remaining))
    assert regions.west.store.value(NAME) == "value"
    assert records()[-1]["ParameterDrift"] == 1


def test_when_the_role_cannot_be_assumed_every_name_fails(records: Callable[[], list[dict[str, Any]]]) -> None:
    def connect() -> ParameterSync:
        raise api_error("AssumeRole", "AccessDenied", status=403)

    with pytest.raises(SyncFailed, match=f"^{NAME}: AccessDenied; {OTHER_NAME}: AccessDenied$"):
        run(SCHEDULE, SETTINGS, connect)
    connected, differ, metrics = records()
    assert (connected["message"], connected["error"]) == ("not connected", "AccessDenied")
    assert differ["parameters"] == [NAME, OTHER_NAME]
    assert (metrics["ParameterDrift"], metrics["ParametersCopied"], metrics["SyncFailures"]) == (2, 0, 2)


# --- seeds


SEEDED = "api-key; change the value in Parameter Store, not in Terraform [seed]"


def seed(regions: Regions, client: Client, value: str = "seed") -> None:
    """Terraform creates the parameter; with `-replace` it deletes the old one first."""
    client.store.parameters.pop(NAME, None)
    regions.write(client, value, Description=SEEDED, Overwrite=False)


def values(regions: Regions) -> set[str | None]:
    return {regions.east.store.value(NAME), regions.west.store.value(NAME)}


def settle(regions: Regions) -> None:
    """Both functions reconcile, and then nothing is left to do."""
    for _ in range(2):
        regions.sync.sync(NAME)
        regions.reverse().sync(NAME)
    for sync in (regions.sync, regions.reverse()):
        assert sync.sync(NAME) == Outcome(copied=False, in_sync=True)


@pytest.mark.parametrize("side", ["east", "west"])
@pytest.mark.parametrize("rotated_in", ["east", "west"])
@pytest.mark.parametrize("copied_before", [True, False])
def test_a_seed_that_is_created_again_loses_against_a_rotated_value(
    regions: Regions, side: str, rotated_in: str, copied_before: bool
) -> None:
    """`apply -replace` of one side, a deleted parameter that apply creates again, a new secondary region."""
    for client in (regions.east, regions.west):
        seed(regions, client)
    regions.write(getattr(regions, rotated_in), "rotated")  # and keeps the description, as put-parameter does
    if copied_before or side == rotated_in:  # otherwise it is not copied yet
        settle(regions)
    seed(regions, getattr(regions, side), "seed made anew")
    settle(regions)
    assert values(regions) == {"rotated"}


def test_a_first_apply_that_is_finished_later_does_not_undo_a_rotation(regions: Regions) -> None:
    seed(regions, regions.east)
    regions.write(regions.east, "rotated")
    seed(regions, regions.west)
    settle(regions)
    assert values(regions) == {"rotated"}


@pytest.mark.parametrize("copies", [1, 7])
def test_a_copy_of_a_seed_stays_a_seed(regions: Regions, copies: int) -> None:
    for number in range(copies):
        seed(regions, regions.east, f"seed {number}")
        regions.sync.sync(NAME)
    (*_, copy) = read_history(WEST, regions.west.store.get_parameter_history(Name=NAME)["Parameters"])
    assert (copy.number, copy.is_copy, copy.write.is_seed) == (copies, True, True)

    regions.east.store.delete_parameter(Name=NAME)
    regions.clock.now_ms -= 3_600_000
    regions.write(regions.east, "written an hour earlier")
    settle(regions)
    assert values(regions) == {"written an hour earlier"}


def test_two_seeds_converge(regions: Regions) -> None:
    seed(regions, regions.east, "one")
    seed(regions, regions.west, "other")
    settle(regions)
    assert values(regions) == {"other"}


def test_a_rotation_that_kept_the_mark_of_a_seed_is_no_seed_and_its_copy_neither(regions: Regions) -> None:
    seed(regions, regions.east)
    regions.write(regions.east, "rotated")
    regions.sync.sync(NAME)
    (copy,) = read_history(WEST, regions.west.store.get_parameter_history(Name=NAME)["Parameters"])
    assert (copy.number, copy.is_copy, copy.write.is_seed) == (1, True, False)
    assert "[seed]" not in regions.west.store.parameters[NAME][0].description


# --- tiers


@pytest.mark.parametrize(("source", "target"), [("Advanced", None), ("Standard", "Advanced"), ("Advanced", "Advanced")])
def test_a_copy_has_the_higher_tier_of_both(regions: Regions, source: str, target: str | None) -> None:
    if target:
        regions.write(regions.west, "older", Tier=target)
    regions.write(regions.east, "x" * (5_000 if source == "Advanced" else 10), Tier=source)
    settle(regions)
    assert {region.store.parameters[NAME][-1].tier for region in (regions.east, regions.west)} >= {"Advanced"}
    assert regions.west.store.parameters[NAME][-1].tier == "Advanced"
    assert len(values(regions)) == 1


def test_tiers_that_differ_are_the_operators_and_no_drift(regions: Regions) -> None:
    regions.write(regions.east, "value")
    settle(regions)
    regions.write(regions.east, "value", Tier="Advanced")
    settle(regions)
    assert regions.west.store.parameters[NAME][-1].tier == "Standard"


# --- type and key


@pytest.mark.parametrize("side", ["east", "west"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"Type": "String"},
        {"KeyId": "alias/aws/ssm"},
        {"KeyId": "alias/dr-encryption-west-dev"},
        {"KeyId": "arn:aws:kms:us-west-2:111122223333:key/another"},
    ],
    ids=str,
)
@pytest.mark.parametrize("value", ["value", "rotated"])
def test_another_type_or_key_is_drift_that_the_other_regions_function_repairs(
    regions: Regions, side: str, wrong: dict[str, str], value: str
) -> None:
    regions.write(regions.east, "value")
    settle(regions)
    client: Client = getattr(regions, side)
    regions.write(client, value, **wrong)
    settle(regions)
    assert values(regions) == {value}
    for region in (regions.east, regions.west):
        version = region.store.parameters[NAME][-1]
        assert (version.type, version.key_id) == ("SecureString", KEYS[region.store.region])


@pytest.mark.parametrize("given", [KEY_ARN, KEY_ARN.rpartition("/")[2]], ids=["ARN", "id"])
def test_the_regions_key_is_recognised_by_its_arn_and_its_id(regions: Regions, given: str) -> None:
    regions.write(regions.east, "value")
    regions.write(regions.west, "value", KeyId=given)
    assert not regions.sync.sync(NAME).copied


def test_a_copy_that_aws_shows_under_an_alias_is_not_written_again_and_again(regions: Regions) -> None:
    regions.write(regions.east, "value")
    regions.sync.sync(NAME)
    regions.west.store.parameters[NAME][-1].key_id = "alias/dr-encryption-west-dev"
    assert not regions.sync.sync(NAME).copied


def test_a_type_that_aws_does_not_let_change_fails_by_name(regions: Regions) -> None:
    regions.write(regions.east, "value")
    regions.write(regions.west, "value", Type="String")
    regions.west.store.type_may_change = False
    with pytest.raises(SyncFailed, match=f"^{NAME}: HierarchyTypeMismatchException$"):
        regions.run()


def test_after_a_new_key_every_parameter_is_encrypted_with_it_though_the_old_one_is_gone(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.east, "value")
    settle(regions)
    new = "arn:aws:kms:us-east-1:111122223333:key/new"
    regions.east.store.lost_keys.add(KEYS[EAST])
    reverse = ParameterSync(WEST, EAST, new, home=regions.west, target=regions.east, target_writer=regions.east)
    assert reverse.sync(NAME).copied
    assert (regions.east.store.value(NAME), regions.east.store.parameters[NAME][-1].key_id) == ("value", new)
    assert "cannot be decrypted" in [record["message"] for record in records()]
    assert regions.sync.sync(NAME) == Outcome(copied=False, in_sync=True)
    assert records() == [], "what is repaired is not reported again"


# --- what cannot be decrypted


LOST_KEY = "arn:aws:kms:us-west-2:111122223333:key/lost"


def test_an_older_version_that_cannot_be_decrypted_does_not_block_the_copy_that_replaces_it(regions: Regions) -> None:
    regions.write(regions.west, "older", KeyId=LOST_KEY)
    regions.west.store.lost_keys.add(LOST_KEY)
    regions.write(regions.east, "newer")
    settle(regions)
    assert values(regions) == {"newer"}


def test_an_unreadable_last_write_fails_by_name_and_is_not_replaced(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.east, "older")
    regions.write(regions.west, "newer", KeyId=LOST_KEY)
    regions.west.store.lost_keys.add(LOST_KEY)
    with pytest.raises(SyncFailed, match=f"^{NAME}: AccessDeniedException$"):
        regions.run()
    assert regions.puts() == []
    (unreadable, *_) = records()
    assert (unreadable["message"], unreadable["error"]) == ("cannot be decrypted", "AccessDeniedException")
    assert unreadable["of"].startswith("us-west-2 version 1 of ")


def test_a_copy_that_cannot_be_read_is_not_written_again_and_again(regions: Regions) -> None:
    regions.write(regions.west, "older")
    regions.write(regions.east, "newer")
    regions.west.store.lost_keys.add(KEY_ARN)
    for copies in (1, 1):
        with pytest.raises(SyncFailed, match=f"^{NAME}: AccessDeniedException$") if regions.puts() else nullcontext():
            regions.run()
        assert len(regions.puts()) == copies


# --- parameters that are deleted and created again


@pytest.mark.parametrize("side", ["east", "west"])
def test_a_parameter_that_is_created_again_with_the_description_of_a_copy_keeps_its_new_value(
    regions: Regions, side: str
) -> None:
    client, other = (regions.east, regions.west) if side == "east" else (regions.west, regions.east)
    regions.write(other, "first")
    settle(regions)
    description = client.store.parameters[NAME][-1].description
    assert "copied" in description
    client.store.delete_parameter(Name=NAME)
    regions.write(client, "second", Description=description)
    settle(regions)
    assert values(regions) == {"second"}


def test_parameters_that_are_created_again_with_such_descriptions_in_both_regions_keep_the_last_value(
    regions: Regions,
) -> None:
    regions.write(regions.west, "first")
    for client, value in ((regions.east, "second"), (regions.west, "third")):
        settle(regions)
        description = client.store.parameters[NAME][-1].description
        client.store.delete_parameter(Name=NAME)
        regions.write(client, value, Description=description)
    settle(regions)
    assert values(regions) == {"third"}
    assert "from us-west-2 version 1 of 2026-11-22T12:00:03" in regions.east.store.parameters[NAME][-1].description


@pytest.mark.parametrize("side", ["east", "west"])
def test_a_parameter_that_is_created_again_with_the_same_number_is_compared_again(regions: Regions, side: str) -> None:
    """Between a look at its history and at its value."""
    regions.write(regions.west, "first")
    regions.write(regions.east, "second")
    client: Client = getattr(regions, side)

    def create_again(_name: str) -> None:
        del client.before["get_parameter"]
        client.store.delete_parameter(Name=NAME)
        regions.write(client, "third")

    client.before["get_parameter"] = create_again
    regions.sync.sync(NAME)
    for region in (regions.east, regions.west):
        for version in region.store.parameters[NAME]:
            if version.description:
                assert ("of 2026-11-22T12:00:03" in version.description) == (version.value == "third")
    settle(regions)
    assert values(regions) == {"third"}


def test_a_run_in_flight_undoes_a_delete_in_both_regions_and_says_so(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    """No right of PutParameter is only to update. docs/runbook.md has the order that works."""
    regions.write(regions.west, "older")
    regions.write(regions.east, "value")

    def delete_both(_name: str) -> None:
        del regions.west.before["put_parameter"]
        for client in (regions.east, regions.west):
            client.store.delete_parameter(Name=NAME)

    regions.west.before["put_parameter"] = delete_both
    regions.run()
    assert regions.west.store.value(NAME) == "value"
    (warning,) = [record for record in records() if record["message"] == "deleted meanwhile, and created again"]
    assert (warning["level"], warning["parameter"], warning["target_region"]) == ("WARNING", NAME, WEST)


# --- conflicts


def lost_writes(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the warnings name: the write that loses and the one that stays, as region and version."""
    found = [record for record in records if "WritesLost" in record]
    for record in found:
        assert (record["level"], record["parameter"], record["WritesLost"]) == ("WARNING", NAME, 1)
        (directive,) = record["_aws"]["CloudWatchMetrics"]
        assert directive["Metrics"] == [{"Name": "WritesLost", "Unit": "Count"}]
    return [tuple(record[which].partition(" of ")[0] for which in ("lost", "kept")) for record in found]


@pytest.mark.parametrize("later", ["east", "west"])
def test_a_write_that_loses_a_conflict_is_named_once(
    regions: Regions, later: str, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.east, "before")
    settle(regions)
    sides = [regions.west, regions.east] if later == "east" else [regions.east, regions.west]
    for client in sides:
        regions.write(client, f"written in {client.store.region}")
    settle(regions)
    regions.write(regions.east, "after")
    settle(regions)
    earlier, last = (client.store.region for client in sides)
    assert lost_writes(records()) == [(f"{earlier} version 2", f"{last} version 2")]


def test_rotations_one_after_the_other_are_no_conflict(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    for client in (regions.east, regions.west):
        seed(regions, client)
    for number in range(5):
        for client in (regions.east, regions.east, regions.west, regions.west):  # the same values in both
            regions.write(client, f"value {number}")
            regions.write(client, f"corrected value {number}")
            settle(regions)
        regions.write(regions.west, f"value of the evening {number}")
        settle(regions)
    assert lost_writes(records()) == []


def test_a_script_that_rotates_both_regions_is_no_conflict(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    for number in range(5):
        regions.write(regions.east, f"value {number}")
        regions.sync.sync(NAME)
        regions.write(regions.west, f"value {number}")
        settle(regions)
    assert lost_writes(records()) == []


def test_a_loss_is_reported_even_if_the_run_dies_at_its_copy(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.west, "lost")
    regions.write(regions.east, "kept")
    regions.west.after["put_parameter"] = lambda _answer: (_ for _ in ()).throw(SystemExit)
    with pytest.raises(SystemExit):
        regions.run()
    assert lost_writes(records()) == [("us-west-2 version 1", "us-east-1 version 1")]


def test_a_copy_that_fails_for_ever_reports_its_loss_once(
    deployed: Aws, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions = deployed.regions
    regions.write(regions.west, "lost")
    regions.write(regions.east, "kept")
    regions.west.before["put_parameter"] = lambda _name: (_ for _ in ()).throw(
        api_error("PutParameter", "AccessDeniedException")
    )
    for _ in range(3):
        with pytest.raises(SyncFailed):
            handler(change(), None)
    assert lost_writes(records()) == [("us-west-2 version 1", "us-east-1 version 1")]


def test_a_write_that_a_copy_hides_and_that_is_older_by_the_clocks_is_reported(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.west, "first")
    regions.write(regions.east, "kept")

    def write_meanwhile(_name: str) -> None:
        del regions.west.before["put_parameter"]
        regions.clock.offsets_ms[WEST] = -60_000
        regions.write(regions.west, "lost")

    regions.west.before["put_parameter"] = write_meanwhile
    regions.run()
    assert ("us-west-2 version 2", "us-east-1 version 1") in lost_writes(records())
    assert regions.west.store.value(NAME) == "kept"


# --- time


def test_with_a_silent_region_not_always_the_same_names_are_out_of_time(regions: Regions) -> None:
    names = tuple(f"/payment-app/dev/{number}" for number in range(28))
    tried: set[str] = set()

    def hang(name: str) -> None:
        tried.add(name)
        regions.clock.advance(24_000)
        raise ReadTimeoutError(endpoint_url="https://ssm")

    regions.west.before["get_parameter_history"] = hang
    for _ in range(30):  # two and a half hours; a name is left out of all of them in one of 10^10 cases
        begin = regions.clock.now_ms
        with pytest.raises(SyncFailed, match="OutOfTime"):
            regions.run(
                names=names,
                remaining_ms=lambda begin=begin: 300_000 - (regions.clock.now_ms - begin),
                choose_first=secrets.randbelow,
            )
    assert tried == set(names)


def test_a_run_begins_with_the_name_that_is_chosen_and_reports_in_their_order(regions: Regions) -> None:
    for name in (NAME, OTHER_NAME):
        regions.write(regions.east, "value", name)
    summary = regions.run(names=(NAME, OTHER_NAME), choose_first=lambda count: count - 1)
    assert regions.puts() == [OTHER_NAME, NAME]
    assert summary["copied"] == [NAME, OTHER_NAME]


# --- metrics and log


def test_a_reconciliation_emits_its_metrics_in_the_embedded_format(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.east, "value")
    regions.run()
    copied, metrics = records()
    assert copied == {
        "level": "INFO",
        "message": "copied",
        "parameter": NAME,
        "origin": "us-east-1 version 1 of 2026-11-22T12:00:01+00:00",
        "target_region": WEST,
        "target_version": 1,
    }
    timestamp = metrics.pop("_aws").pop("Timestamp") if isinstance(metrics["_aws"], dict) else None
    assert isinstance(timestamp, int)
    assert metrics == {
        "level": "INFO",
        "message": "metrics",
        "FunctionName": "sync-east",
        "ParametersCopied": 1,
        "SyncFailures": 0,
        "ParameterDrift": 0,
    }


def test_every_emitted_metric_is_declared_with_the_dimension_that_the_alarms_use(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.run()
    (directive,) = records()[-1]["_aws"]["CloudWatchMetrics"]
    assert directive == {
        "Namespace": "PaymentApp/ConfigSync",
        "Dimensions": [["FunctionName"]],
        "Metrics": [
            {"Name": "ParametersCopied", "Unit": "Count"},
            {"Name": "SyncFailures", "Unit": "Count"},
            {"Name": "ParameterDrift", "Unit": "Count"},
        ],
    }


def test_a_change_event_says_nothing_of_the_drift_of_names_that_it_did_not_look_at(
    regions: Regions, records: Callable[[], list[dict[str, Any]]]
) -> None:
    regions.write(regions.east, "value")
    regions.run(change())
    metrics = records()[-1]
    assert "ParameterDrift" not in json.dumps(metrics)
    assert metrics["ParametersCopied"] == 1


# --- descriptions


ORIGIN = Write(datetime(2026, 11, 22, 12, tzinfo=UTC), EAST, 7)
COPIED_AT = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
STAMP = Stamp(WEST, ORIGIN, COPIED_AT, "5f3a91c2")


def entry(number: int, description: str | None, modified: datetime = COPIED_AT) -> dict[str, Any]:
    return {
        "Version": number,
        "LastModifiedDate": modified,
        **({} if description is None else {"Description": description}),
    }


def test_a_stamp_is_read_as_it_was_written() -> None:
    assert Stamp.split(STAMP.attach_to("Payments database")) == ("Payments database", STAMP)
    assert Stamp.split(STAMP.attach_to("")) == ("", STAMP)
    assert Stamp.split("Payments [database]") == ("Payments [database]", None)


def test_a_long_description_makes_room_for_the_stamp() -> None:
    text = STAMP.attach_to("ä" * 1024)
    assert len(text) == 1024
    assert Stamp.split(text)[1] == STAMP


def test_copies_of_copies_do_not_pile_up_stamps() -> None:
    description, _ = Stamp.split(STAMP.attach_to(STAMP.attach_to("Payments database")))
    assert description == "Payments database"


@pytest.mark.parametrize(
    "description",
    [
        None,
        "Payments database",
        STAMP.attach_to("Payments database") + " rotated by hand",
        STAMP.attach_to("").replace("2026-11-22T12:00", "2026-13-22T12:00"),
        STAMP.attach_to("").replace("2026-11-22T12:00", "--"),
        STAMP.attach_to("").replace("2026-11-22T12:00:00+00:00", "0001-01-01T00:00:00+20:00"),
        STAMP.attach_to("").replace("to us-west-2", "to us-east-1"),
        STAMP.attach_to("").replace("2026-11-22T12:00", "2099-11-22T12:00"),
        STAMP.attach_to("").replace("2026-11-22T12:00", "9999-12-31T23:59"),
    ],
    ids=[
        "none",
        "plain",
        "text behind",
        "no date",
        "no date at all",
        "overflow",
        "other region",
        "future",
        "far future",
    ],
)
def test_a_version_without_a_sound_stamp_is_somebodys_write(description: str | None) -> None:
    (version,) = read_history(WEST, [entry(1, description)])
    assert (version.is_copy, version.write) == (False, Write(COPIED_AT, WEST, 1))


def test_a_description_that_a_later_write_kept_does_not_make_it_a_copy() -> None:
    stamped = STAMP.attach_to("")
    history = read_history(WEST, [entry(2, stamped), entry(3, "plain"), entry(4, stamped), entry(1, None)])
    assert [version.is_copy for version in history] == [False, True, False, False]


def test_a_parameter_restored_from_a_backup_with_its_old_description_is_a_new_write() -> None:
    restored = COPIED_AT + timedelta(hours=1)
    (version,) = read_history(WEST, [entry(1, STAMP.attach_to(""), restored)])
    assert version.write == Write(restored, WEST, 1)


def test_a_write_is_later_than_what_it_replaced_even_if_the_regions_clock_is_behind() -> None:
    origin = Write(COPIED_AT + timedelta(milliseconds=800), EAST, 7)
    copy = entry(1, Stamp(WEST, origin, COPIED_AT, "5f").attach_to(""))
    copy_that_hides_it = entry(2, STAMP.attach_to(""))
    assert choose(read_history(WEST, [copy, entry(2, None)])).number == 2
    assert choose(read_history(WEST, [copy, copy_that_hides_it, entry(3, None)])).number == 3


def test_two_writes_of_the_same_instant_are_decided_by_region() -> None:
    east, west = (read_history(region, [entry(1, None)]) for region in (EAST, WEST))
    assert choose(east + west) == choose(west + east) == east[0]


def test_both_functions_choose_the_same_of_two_copies_of_a_write_that_is_gone() -> None:
    east, west = (Version(region, 1, Write(COPIED_AT, region, 1), copy_of=ORIGIN) for region in (EAST, WEST))
    assert choose([east, west]) == choose([west, east])


def test_the_write_itself_is_preferred_to_its_copies() -> None:
    original = Version(EAST, 7, ORIGIN)
    copies = [Version(region, 9, Write(COPIED_AT, region, 9), copy_of=ORIGIN) for region in (EAST, WEST)]
    assert choose([*copies, original]) == original


# --- settings, clients, the handler itself


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_environment(ENVIRONMENT | {"METRIC_NAMESPACE": "Other"}) == Settings(
        (NAME, OTHER_NAME), EAST, WEST, KEY_ARN, ROLE_ARN, ("Other", "lambda-config-sync-east-dev")
    )


def test_a_name_listed_twice_is_synced_once() -> None:
    names = json.dumps([NAME, OTHER_NAME, NAME])
    assert Settings.from_environment(ENVIRONMENT | {"PARAMETER_NAMES": names}).parameter_names == (NAME, OTHER_NAME)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"TARGET_REGION": ""}, "TARGET_REGION"),
        ({"TARGET_KMS_KEY_ARN": ""}, "TARGET_KMS_KEY_ARN"),
        ({"CROSS_REGION_ROLE_ARN": "", "AWS_REGION": ""}, "AWS_REGION, CROSS_REGION_ROLE_ARN"),
        ({"TARGET_REGION": EAST}, "TARGET_REGION (must not be the function's own)"),
        ({"PARAMETER_NAMES": ""}, "PARAMETER_NAMES (a JSON list of names)"),
        ({"PARAMETER_NAMES": NAME}, "PARAMETER_NAMES (a JSON list of names)"),
        ({"PARAMETER_NAMES": "[]"}, "PARAMETER_NAMES (a JSON list of names)"),
        ({"PARAMETER_NAMES": '{"a": 1}'}, "PARAMETER_NAMES (a JSON list of names)"),
        ({"PARAMETER_NAMES": '["/a", 7]'}, "PARAMETER_NAMES (a JSON list of names)"),
        ({"PARAMETER_NAMES": '["/a", ""]'}, "PARAMETER_NAMES (a JSON list of names)"),
    ],
)
def test_a_missing_or_malformed_setting_is_named(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_environment(ENVIRONMENT | environment)
    assert str(caught.value) == f"missing or malformed environment variables: {complaint}"


class Aws:
    """Stands in for `boto3.client`, and remembers what was made."""

    def __init__(self) -> None:
        self.regions = Regions()
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.assumed: list[dict[str, Any]] = []
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)
        self.refuse = False

    def client(self, service: str, **arguments: Any) -> Any:
        self.made.append((service, arguments))
        if service == "sts":
            return self
        return self.regions.east if arguments["region_name"] == EAST else self.regions.west

    def assume_role(self, **request: Any) -> Any:
        self.assumed.append(request)
        if self.refuse:
            raise api_error("AssumeRole", "AccessDenied", status=403)
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA{len(self.assumed)}",
                "SecretAccessKey": "secret",
                "SessionToken": "token",
                "Expiration": self.now + timedelta(hours=1),
            }
        }

    def connection(self, settings: Settings = SETTINGS) -> Connection:
        return Connection(settings, make_client=self.client, now=lambda: self.now)


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def deployed(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The handler as Lambda would run it, with stand-ins for AWS."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(config_sync, "_connection", None)
    monkeypatch.setattr(config_sync, "Connection", aws.connection)
    return aws


def test_the_role_is_assumed_once_through_the_home_regions_endpoint(aws: Aws) -> None:
    connection = aws.connection()
    assert connection.open() is connection.open()
    assert aws.assumed == [{"RoleArn": ROLE_ARN, "RoleSessionName": "sync-east", "DurationSeconds": 3600}]
    (sts, home, target, writer) = aws.made
    assert (sts[0], sts[1]["region_name"]) == ("sts", EAST)
    assert (home[0], home[1]["region_name"], "aws_access_key_id" in home[1]) == ("ssm", EAST, False)
    for service, arguments in (target, writer):
        assert (service, arguments["region_name"]) == ("ssm", WEST)
        assert [arguments[f"aws_{key}"] for key in ("access_key_id", "secret_access_key", "session_token")] == [
            "ASIA1",
            "secret",
            "token",
        ]
    for _, arguments in aws.made:
        assert arguments["config"].connect_timeout <= 5
        assert arguments["config"].read_timeout <= 5
    assert writer[1]["config"].retries["total_max_attempts"] == 1


def test_old_botocore_is_told_not_to_ask_the_global_sts_endpoint(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "x")
    monkeypatch.delenv("AWS_STS_REGIONAL_ENDPOINTS")
    aws.connection()
    assert boto3.client("sts", region_name=EAST).meta.endpoint_url == "https://sts.us-east-1.amazonaws.com"
    assert os.environ["AWS_STS_REGIONAL_ENDPOINTS"] == "regional"


def test_the_session_is_renewed_before_it_could_end_during_a_run(aws: Aws) -> None:
    connection = aws.connection()
    connection.open()
    aws.now += timedelta(minutes=49)
    connection.open()
    assert len(aws.assumed) == 1
    aws.now += timedelta(minutes=1)
    connection.open()
    assert len(aws.assumed) == 2


def test_a_session_name_is_cut_to_what_sts_allows(aws: Aws) -> None:
    aws.connection(Settings((NAME,), EAST, WEST, KEY_ARN, ROLE_ARN, ("N", "f" * 80))).open()
    assert aws.assumed[0]["RoleSessionName"] == "f" * 64


def test_the_handler_keeps_its_clients_between_invocations(deployed: Aws) -> None:
    deployed.regions.write(deployed.regions.east, "value")
    assert handler(change(), None) == {"copied": [NAME], "unchanged": 0, "drifted": []}
    assert handler(change(), None) == {"copied": [], "unchanged": 1, "drifted": []}
    assert len(deployed.assumed) == 1
    assert len(deployed.made) == 4


def test_the_handler_takes_up_changed_settings(deployed: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    handler(change(), None)
    monkeypatch.setenv("CROSS_REGION_ROLE_ARN", "arn:aws:iam::111122223333:role/other")
    handler(change(), None)
    assert [request["RoleArn"] for request in deployed.assumed][1:] == ["arn:aws:iam::111122223333:role/other"]


def test_the_handler_assumes_the_role_afresh_after_a_failure(deployed: Aws) -> None:
    deployed.regions.west.before["get_parameter_history"] = lambda _name: (_ for _ in ()).throw(
        api_error("GetParameterHistory", "ExpiredTokenException")
    )
    with pytest.raises(SyncFailed, match="ExpiredTokenException"):
        handler(change(), None)
    deployed.regions.west.before.clear()
    handler(change(), None)
    assert len(deployed.assumed) == 2


def test_the_handler_fails_when_the_role_cannot_be_assumed_at_all(deployed: Aws) -> None:
    deployed.refuse = True
    with pytest.raises(SyncFailed, match=f"{NAME}: AccessDenied"):
        handler({}, None)


def test_the_handler_fails_when_no_client_can_be_made(deployed: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_connection(_settings: Settings) -> Connection:
        raise ValueError("invalid endpoint")

    monkeypatch.setattr(config_sync, "Connection", no_connection)
    with pytest.raises(SyncFailed, match=f"{NAME}: ValueError"):
        handler({}, None)


def test_the_handler_stops_in_time(deployed: Aws) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 10_000

    with pytest.raises(SyncFailed, match=f"^{NAME}: OutOfTime; {OTHER_NAME}: OutOfTime$"):
        handler(SCHEDULE, Context())


def test_a_handler_without_settings_fails_and_counts_as_drift(
    deployed: Aws, monkeypatch: pytest.MonkeyPatch, records: Callable[[], list[dict[str, Any]]]
) -> None:
    monkeypatch.delenv("TARGET_KMS_KEY_ARN")
    with pytest.raises(SettingError, match="TARGET_KMS_KEY_ARN"):
        handler(SCHEDULE, None)
    setting, metrics = records()
    assert setting["level"] == "ERROR"
    assert (metrics["ParameterDrift"], metrics["FunctionName"]) == (1, "lambda-config-sync-east-dev")
    assert (metrics["SyncFailures"], metrics["ParametersCopied"]) == (1, 0)


def test_the_requests_are_valid_for_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-ins of the other tests take any argument; botocore's stubs check names, types and lengths."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    stubs: list[Stubber] = []

    def make_client(service: str, **arguments: Any) -> Any:
        client = boto3.client(service, **arguments)  # type: ignore[call-overload]
        stubs.append(Stubber(client))
        stubs[-1].activate()
        if service == "sts":
            expiration = datetime.now(UTC) + timedelta(hours=1)
            keys = {"AccessKeyId": "A" * 16, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": expiration}
            request = {"RoleArn": ROLE_ARN, "RoleSessionName": "sync-east", "DurationSeconds": 3600}
            stubs[-1].add_response("assume_role", {"Credentials": keys}, request)
        return client

    parameters = Connection(SETTINGS, make_client=make_client).open()
    _, home, target, writer = stubs
    history = {"Name": NAME, "WithDecryption": False, "MaxResults": 50}
    first = {"Version": 1, "LastModifiedDate": COPIED_AT}
    home.add_response("get_parameter_history", {"Parameters": [first], "NextToken": "next"}, history)
    second = {"Version": 2, "LastModifiedDate": COPIED_AT, "Description": "Payments database"}
    home.add_response("get_parameter_history", {"Parameters": [second]}, history | {"NextToken": "next"})
    target.add_client_error("get_parameter_history", "ParameterNotFound", expected_params=history)
    home.add_response(
        "get_parameter",
        {"Parameter": {"Version": 2, "Value": "v", "LastModifiedDate": COPIED_AT}},
        {"Name": NAME, "WithDecryption": True},
    )
    writer.add_response(
        "put_parameter",
        {"Version": 1},
        {
            "Name": NAME,
            "Description": ANY,
            "Value": "v",
            "Type": "SecureString",
            "KeyId": KEY_ARN,
            "Tier": "Standard",
            "Overwrite": True,
        },
    )
    assert parameters.sync(NAME).copied
    for stub in stubs:
        stub.assert_no_pending_responses()


def test_an_error_that_lasts_at_reading_is_raised_as_it_came(regions: Regions) -> None:
    regions.east.before["get_parameter_history"] = lambda _name: (_ for _ in ()).throw(
        api_error("GetParameterHistory", "InternalServerError", status=500)
    )
    with pytest.raises(ClientError, match="InternalServerError"):
        regions.sync.sync(NAME)
    assert not regions.pauses
