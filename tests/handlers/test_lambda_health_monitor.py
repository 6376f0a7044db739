"""Health monitor, case by case. What each fault leads to is in test_health_monitor_faults.py."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore import exceptions as aws
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber

from handlers import lambda_health_monitor as monitor
from handlers.lambda_health_monitor import Announcer, MonitorFault, NoAnswerError, Verdict, handler, judge, judge_peer
from tests.handlers.health_faults import PROBE, ROUTE_53_BUDGET_SECONDS, SCHEDULE, TOPIC_ARN

pytestmark = pytest.mark.usefixtures("new_environment")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://dynamodb.us-east-1.amazonaws.com"


def api_error(code: str, status: int) -> ClientError:
    message = "User: arn:aws:sts::111122223333:assumed-role/x is not authorized"
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "DescribeTable",
    )


def table(status: object) -> dict[str, Any]:
    return {"Table": {"TableName": "transactions", "TableStatus": status}}


class Client:
    """A client of a service that has an address, which needs no resolver."""

    meta = SimpleNamespace(endpoint_url="http://127.0.0.1")


class DynamoDb(Client):
    """Answers DescribeTable with what it was given, an answer or an exception, the last one for ever."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[dict[str, Any]] = []

    def describe_table(self, **request: Any) -> Any:
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Sns:
    """Keeps what was published, or fails."""

    def __init__(self) -> None:
        self.published: list[dict[str, str]] = []
        self.error: Exception | None = None

    def publish(self, **request: Any) -> Any:
        if self.error:
            raise self.error
        self.published.append(request)
        return {"MessageId": "1"}


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> Sns:
    fake = Sns()
    monkeypatch.setattr(monitor, "_sns", lambda: fake)
    return fake


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DynamoDb]:
    def use(*outcomes: Any) -> DynamoDb:
        fake = DynamoDb(*outcomes)
        monkeypatch.setattr(monitor, "_dynamodb", lambda: fake)
        return fake

    return use


@pytest.fixture
def records(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# --- verdicts

THROTTLES = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (table(None), "unknown", "unexpected_answer"),
        ({"Table": {}}, "unknown", "unexpected_answer"),
        ({"Table": []}, "unknown", "unexpected_answer"),
        (None, "unknown", "unexpected_answer"),
        (ClientError({}, "DescribeTable"), "unknown", "monitor_refused"),
        (api_error("ResourceNotFoundException", 400), "unhealthy", "table_not_found"),
        (table("NEW_IN_2030"), "unknown", "unexpected_table_status"),
        *((api_error(code, 503), "unknown", "monitor_throttled") for code in sorted(THROTTLES)),
        (aws.ConnectionError(error=OSError("?")), "unhealthy", "dynamodb_unreachable"),
        (aws.HTTPClientError(error="?"), "unhealthy", "dynamodb_unreachable"),
        (aws.ResponseStreamingError(error="?"), "unhealthy", "dynamodb_unreachable"),
        (aws.IncompleteReadError(actual_bytes=1, expected_bytes=2), "unhealthy", "dynamodb_unreachable"),
        (aws.SSLError(endpoint_url=URL, error=OSError("CERTIFICATE_VERIFY_FAILED")), "unknown", "monitor_connection"),
        (aws.ProxyConnectionError(proxy_url="http://proxy"), "unknown", "monitor_connection"),
        (aws.PartialCredentialsError(provider="env", cred_var="x"), "unknown", "monitor_error"),
        (aws.CredentialRetrievalError(provider="env", error_msg="x"), "unknown", "monitor_error"),
        (aws.NoRegionError(), "unknown", "monitor_error"),
        (aws.ParamValidationError(report="x"), "unknown", "monitor_error"),
        (aws.EndpointProviderError(msg="x"), "unknown", "monitor_error"),
        (
            aws.ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
            "unknown",
            "monitor_error",
        ),
        (ResponseParserError("not JSON"), "unknown", "monitor_error"),
        (KeyError("a defect of ours"), "unknown", "monitor_error"),
        (MemoryError(), "unknown", "monitor_error"),
        (SystemExit(), "unknown", "monitor_error"),
    ],
    ids=repr,
)
def test_an_outcome_that_no_server_brings_about_has_its_verdict(outcome: Any, status: str, reason: str | None) -> None:
    verdict = judge(outcome)
    assert (verdict.status, verdict.reason) == (status, reason)
    assert verdict.cause is (outcome if isinstance(outcome, BaseException) else None)


@pytest.mark.parametrize(
    ("error", "own", "reason"),
    [
        *(
            (NoAnswerError(), own, "monitor_connection")
            for own in ("dynamodb_unreachable", "dynamodb_timeout", "monitor_connection")
        ),
        *((NoAnswerError(), own, "peer_unreachable") for own in (None, "dynamodb_error", "table_not_serving")),
        *((OSError(number, "?"), None, "monitor_error") for number in (EMFILE, ENFILE, ENOBUFS, ENOMEM)),
        (RuntimeError("can't start new thread"), None, "monitor_error"),
    ],
    ids=repr,
)
def test_who_is_at_fault_when_the_other_region_does_not_answer(
    error: BaseException, own: str | None, reason: str
) -> None:
    verdict = judge_peer(error, Verdict("unhealthy" if own else "healthy", own))
    status = "unhealthy" if reason == "peer_unreachable" else "unknown"
    assert (verdict.status, verdict.reason, verdict.cause) == (status, reason, error)


def test_a_probe_is_answered_in_json_that_nobody_may_keep(answers: Callable[..., DynamoDb]) -> None:
    answers(table("UPDATING"))
    answer = handler(PROBE, None)
    assert answer["headers"] == {"content-type": "application/json", "cache-control": "no-store"}
    body = json.loads(answer["body"])
    timestamp = datetime.fromisoformat(body.pop("timestamp"))
    assert timestamp.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - timestamp) < timedelta(minutes=1)
    assert body == {"status": "healthy", "region": "us-east-1", "table_status": "UPDATING", "reason": None}


def test_the_public_body_says_nothing_of_an_errors_inside_but_the_log_does(
    answers: Callable[..., DynamoDb], records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(api_error("AccessDeniedException", 400))
    body = handler(PROBE, None)["body"]
    assert "111122223333" not in body
    assert "arn:" not in body
    assert "AccessDenied" not in body
    (record,) = records()
    assert (record["level"], record["trigger"], record["reason"]) == ("ERROR", "probe", "monitor_refused")
    assert "111122223333" in record["error"]


@pytest.mark.parametrize("value", ["", " "])
def test_a_blank_setting_is_a_missing_one(
    answers: Callable[..., DynamoDb], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    dynamodb = answers(table("ACTIVE"))
    monkeypatch.setenv("DYNAMODB_TABLE_NAME", value)
    answer = handler(PROBE, None)
    assert (answer["statusCode"], json.loads(answer["body"])["reason"]) == (200, "monitor_setting")
    assert not dynamodb.requests


@pytest.mark.parametrize(
    "event", [{}, None, "health", [], {"requestContext": None}, {"detail-type": ["Scheduled Event"]}]
)
def test_any_other_event_gets_the_result_and_mails_nobody(
    answers: Callable[..., DynamoDb], sns: Sns, event: Any, records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(table("DELETING"))
    result = handler(event, None)
    assert (result["status"], result["table_status"]) == ("unhealthy", "DELETING")
    assert not sns.published
    assert records()[0]["trigger"] == "manual"


def test_the_request_is_valid_for_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("dynamodb", endpoint_url=Client.meta.endpoint_url)
    with Stubber(client) as stub:
        stub.add_response("describe_table", {"Table": {"TableStatus": "ACTIVE"}}, {"TableName": "transactions"})
        monkeypatch.setattr(monitor, "_dynamodb", lambda: client)
        assert handler({}, None)["status"] == "healthy"
        stub.assert_no_pending_responses()


# --- one more attempt


@pytest.mark.parametrize(
    "error",
    [
        aws.ConnectionClosedError(endpoint_url=URL),
        aws.ReadTimeoutError(endpoint_url=URL),
        api_error("InternalServerError", 500),
    ],
    ids=["closed", "timeout", "500"],
)
def test_one_failure_to_reach_dynamodb_is_not_an_outage(answers: Callable[..., DynamoDb], error: Exception) -> None:
    answers(error, table("ACTIVE"))
    assert handler({}, None)["status"] == "healthy"


@pytest.mark.parametrize("error", [api_error("ThrottlingException", 400), api_error("ResourceNotFoundException", 400)])
def test_an_answer_is_not_asked_for_twice(answers: Callable[..., DynamoDb], error: Exception) -> None:
    dynamodb = answers(error, table("ACTIVE"))
    assert handler({}, None)["status"] != "healthy"
    assert len(dynamodb.requests) == 1


# --- threads and deadlines


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never came about"
        time.sleep(0.01)


def test_calls_that_never_end_do_not_use_up_all_threads_and_are_forgotten_when_they_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    waiting: list[int] = []

    class Hanging(Client):
        def describe_table(self, **_request: Any) -> Any:
            waiting.append(1)
            released.wait(30)
            return table("ACTIVE")

    for _ in range(monitor.HUNG_CALLS_MAX):
        assert isinstance(monitor.describe(Hanging(), "transactions", deadline=0), NoAnswerError)
    assert isinstance(monitor.describe(DynamoDb(table("ACTIVE")), "transactions"), NoAnswerError)
    wait_until(lambda: len(waiting) == monitor.HUNG_CALLS_MAX)
    released.set()
    wait_until(lambda: monitor.describe(DynamoDb(table("ACTIVE")), "transactions") == table("ACTIVE"))


def test_probes_that_are_answered_need_one_thread_among_them() -> None:
    asked_in = set()

    class Asked(Client):
        def describe_table(self, **_request: Any) -> Any:
            asked_in.add(threading.current_thread())
            return table("ACTIVE")

    for _ in range(5):
        assert monitor.describe(Asked(), "transactions") == table("ACTIVE")
    assert len(asked_in) == 1


def test_no_thread_to_be_had_is_the_monitors_own_fault(
    answers: Callable[..., DynamoDb], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    answers(table("ACTIVE"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        patch.setattr(monitor, "_idle", [])
        patch.setattr(monitor, "_threads", threading.BoundedSemaphore(monitor.HUNG_CALLS_MAX))
        for _ in range(monitor.HUNG_CALLS_MAX + 1):
            assert handler({}, None)["reason"] == "monitor_error"
    assert handler({}, None)["status"] == "healthy"


def test_two_attempts_fit_into_the_deadline_and_the_deadline_into_route_53s_budget() -> None:
    configuration: Any = monitor.DYNAMODB_CONFIG
    assert configuration.retries["total_max_attempts"] == 1
    assert 2 * (configuration.connect_timeout + configuration.read_timeout) < ROUTE_53_BUDGET_SECONDS
    assert monitor.DEADLINE_SECONDS < ROUTE_53_BUDGET_SECONDS


# --- who is told


class Minutes:
    """Scheduled runs, minute by minute."""

    def __init__(self) -> None:
        self.announcer, self.sns, self.now = Announcer(), Sns(), NOON

    def pass_by(self, *statuses: str) -> list[str]:
        """Which subjects were mailed while these verdicts came in."""
        before = len(self.sns.published)
        for status in statuses:
            verdict = Verdict(status, None if status == "healthy" else "reason", "ACTIVE")
            with contextlib.suppress(RuntimeError):
                self.announcer.announce(verdict, self.sns, TOPIC_ARN, "transactions", "us-east-1", self.now)
            self.now += timedelta(minutes=1)
        return [message["Subject"].rpartition(" ")[2] for message in self.sns.published[before:]]


def test_a_new_environment_mails_at_once_when_things_are_bad_and_not_at_all_when_they_are_good() -> None:
    assert Minutes().pass_by("healthy", "healthy") == []
    assert Minutes().pass_by("unhealthy") == ["unhealthy"]
    assert Minutes().pass_by("unknown") == ["unknown"]


def test_every_change_of_verdict_is_mailed_once() -> None:
    minutes = Minutes()
    told = minutes.pass_by("healthy", "unhealthy", "unhealthy", "unknown", "unknown", "healthy", "healthy", "unhealthy")
    assert told == ["unhealthy", "unknown", "healthy", "unhealthy"]


@pytest.mark.parametrize("status", ["unhealthy", "unknown"])
def test_a_bad_verdict_is_mailed_again_every_15_minutes(status: str) -> None:
    minutes = Minutes()
    assert minutes.pass_by(*[status] * 15) == [status]
    assert minutes.pass_by(*[status] * 15) == [status]
    assert minutes.pass_by(*[status] * 15) == [status]


@pytest.mark.parametrize("status", ["healthy", "unhealthy", "unknown"])
@pytest.mark.parametrize("jump", [-1_000_000, -60, -15, -14, -1, 1, 14, 15, 60, 1_000_000])
def test_a_clock_that_jumps_delays_a_reminder_by_15_minutes_at_most_and_sends_one_more_at_most(
    status: str, jump: int
) -> None:
    minutes = Minutes()
    minutes.pass_by(*[status] * 5)
    minutes.now += timedelta(minutes=jump)
    mailed = [bool(minutes.pass_by(status)) for _ in range(60)]
    if status == "healthy":
        assert not any(mailed)
    else:
        assert True in mailed[:26]
        assert 3 <= mailed.count(True) <= 5


def test_good_news_is_not_repeated() -> None:
    minutes = Minutes()
    minutes.pass_by("unhealthy", "healthy")
    assert minutes.pass_by(*["healthy"] * 40) == []


def test_what_could_not_be_mailed_is_tried_again_in_the_next_minute_with_its_first_time() -> None:
    minutes = Minutes()
    minutes.sns.error = RuntimeError("no topic")
    assert minutes.pass_by("healthy", "unhealthy", "unhealthy") == []
    minutes.sns.error = None
    assert minutes.pass_by("unhealthy", "unhealthy") == ["unhealthy"]
    assert "Since:        2026-11-22T12:01:00+00:00" in minutes.sns.published[0]["Message"]


def test_nobody_is_told_of_a_recovery_from_what_nobody_was_told_of() -> None:
    minutes = Minutes()
    minutes.sns.error = RuntimeError("no topic")
    minutes.pass_by("unhealthy")
    minutes.sns.error = None
    assert minutes.pass_by("healthy") == []


def test_a_message_says_what_is_wrong_since_when_and_what_to_do() -> None:
    announcer, sns = Announcer(), Sns()
    verdict = Verdict("unhealthy", "table_not_serving", "DELETING")
    announcer.announce(verdict, sns, TOPIC_ARN, "transactions", "us-east-1", NOON)
    (message,) = sns.published
    assert message["TopicArn"] == TOPIC_ARN
    assert message["Subject"] == "Payment health in us-east-1 is unhealthy"
    assert message["Message"].splitlines() == [
        "Region:       us-east-1",
        "Verdict:      unhealthy (table_not_serving)",
        "Table:        transactions",
        "Table status: DELETING",
        "Since:        2026-11-22T12:00:00+00:00",
        "",
        "Route 53 moves traffic to the other region after three failed checks in a row, if that one is healthy. See "
        "the AWS Health Dashboard for DynamoDB in this region, and the table with: "
        "aws dynamodb describe-table --table-name transactions --region us-east-1",
    ]


@pytest.mark.parametrize("status", ["healthy", "unhealthy", "unknown"])
def test_a_subject_is_what_sns_accepts(status: str) -> None:
    announcer, sns = Announcer(), Sns()
    announcer.announce(Verdict("unhealthy"), sns, TOPIC_ARN, "t", "r" * 99, NOON)
    announcer.announce(Verdict(status), sns, TOPIC_ARN, "t", "r" * 99, NOON + timedelta(hours=1))
    for message in sns.published:
        assert len(message["Subject"]) < 100
        assert message["Subject"].isascii()
        assert "not known" in message["Message"]


def test_the_other_region_is_granted_what_route_53_grants_it() -> None:
    assert (monitor.PEER_CONNECT_SECONDS, monitor.PEER_ANSWER_SECONDS) == (4, 2)


def test_a_mail_is_logged(
    answers: Callable[..., DynamoDb], sns: Sns, records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(table("DELETING"))
    handler(SCHEDULE, None)
    assert records()[-1] == {"level": "INFO", "message": "published", "status": "unhealthy"}


def test_a_scheduled_run_mails_a_change(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(table("DELETING"))
    assert handler(SCHEDULE, None)["status"] == "unhealthy"
    handler(SCHEDULE, None)
    assert [message["Subject"] for message in sns.published] == ["Payment health in us-east-1 is unhealthy"]


def test_a_probe_mails_nobody_and_leaves_the_memory_alone(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(table("DELETING"))
    for _ in range(3):
        assert handler(PROBE, None)["statusCode"] == 503
    assert not sns.published
    handler(SCHEDULE, None)
    assert len(sns.published) == 1


def test_an_event_that_looks_like_both_is_a_probe(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(table("DELETING"))
    assert handler(PROBE | SCHEDULE, None)["statusCode"] == 503
    assert not sns.published


def test_a_scheduled_run_that_cannot_tell_mails_and_raises(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(api_error("AccessDeniedException", 400))
    with pytest.raises(MonitorFault, match=r"^the table's health is unknown: monitor_refused$") as caught:
        handler(SCHEDULE, None)
    assert isinstance(caught.value.__cause__, ClientError)
    assert [message["Subject"] for message in sns.published] == ["Payment health in us-east-1 is unknown"]


@pytest.mark.parametrize("outcome", [table("DELETING"), api_error("AccessDeniedException", 400)])
def test_a_scheduled_run_that_cannot_mail_logs_it_raises_and_tries_again(
    answers: Callable[..., DynamoDb], sns: Sns, outcome: Any, records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(outcome)
    sns.error = aws.ConnectTimeoutError(endpoint_url="https://sns")
    for _ in range(2):
        with pytest.raises(MonitorFault, match=r"could not be published: ConnectTimeoutError$"):
            handler(SCHEDULE, None)
    status = judge(outcome).status
    failed = {"level": "ERROR", "message": "publish failed", "status": status}
    health, logged, *again = records()
    assert (health["message"], health["status"]) == ("health", status)
    assert logged == {**failed, "error": f"ConnectTimeoutError: {sns.error}"}
    assert [each["message"] for each in again] == ["health", "publish failed"]
    sns.error = None
    with contextlib.suppress(MonitorFault):
        handler(SCHEDULE, None)
    assert len(sns.published) == 1


def test_the_message_is_valid_for_botocore(answers: Callable[..., DynamoDb], monkeypatch: pytest.MonkeyPatch) -> None:
    answers(table("DELETING"))
    client: Any = boto3.client("sns", config=Config())
    sent: list[Any] = []
    client.meta.events.register("before-parameter-build.sns.Publish", lambda params, **_: sent.append(params))
    with Stubber(client) as stub:
        stub.add_response("publish", {"MessageId": "1"})
        monkeypatch.setattr(monitor, "_sns", lambda: client)
        handler(SCHEDULE, None)
        stub.assert_no_pending_responses()
    assert sent[0]["TopicArn"] == TOPIC_ARN


# --- log and start


def test_a_log_record_is_one_line_of_json(answers: Callable[..., DynamoDb], capsys: pytest.CaptureFixture[str]) -> None:
    answers(api_error("AccessDenied\nException", 400))
    handler(PROBE, None)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["status"] == "unknown"


def test_a_healthy_probe_logs_its_duration_and_no_error(
    answers: Callable[..., DynamoDb],
    records: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(table("ACTIVE"))
    monkeypatch.setattr(monitor, "time", SimpleNamespace(monotonic=iter((10.0, 10.25)).__next__))
    handler(PROBE, None)
    (record,) = records()
    assert (record["level"], record["message"], record["error"]) == ("INFO", "health", None)
    assert record["duration_ms"] == 250


def load_as_lambda_does() -> Any:
    specification = spec_from_file_location("loaded_by_lambda", monitor.__file__)
    assert specification is not None
    assert specification.loader is not None
    module = module_from_spec(specification)
    sys.modules["loaded_by_lambda"] = module
    try:
        specification.loader.exec_module(module)
    finally:
        del sys.modules["loaded_by_lambda"]
    return module


def test_lambda_makes_the_client_while_it_loads_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lambda-health-monitor-east-dev")
    module = load_as_lambda_does()
    assert module._dynamodb.cache_info().currsize == 1
    assert module._sns.cache_info().currsize == 0
    assert module._dynamodb() is module._dynamodb()
    for client, timeouts in ((module._dynamodb(), module.DYNAMODB_CONFIG), (module._sns(), module.SNS_CONFIG)):
        assert client.meta.config.read_timeout == timeouts.read_timeout
        client.close()


def test_a_client_that_cannot_be_made_while_loading_does_not_fail_the_region_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lambda-health-monitor-east-dev")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    assert load_as_lambda_does().handler(PROBE, None)["statusCode"] == 200
