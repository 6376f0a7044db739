"""The most telling rows of docs/health-faults.md, through the deployed API and with IAM enforced."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.deploy.conftest import Deployed
from tests.embedded_aws.tenant import get
from tests.handlers.health_faults import EXPECTATIONS, ROUTE_53_BUDGET_SECONDS, SCHEDULE
from tests.handlers.loopback import Server, has_table, is_silent, publishes, refuses_with, replies, resets

pytestmark = pytest.mark.xdist_group("deployment")


class Monitor:
    """The primary region's deployed health monitor, whose surroundings can be made to fail."""

    def __init__(self, deployment: Deployed, restore: contextlib.ExitStack) -> None:
        self.mails = restore.enter_context(Server(publishes))
        self._restore = restore
        self._lambda = deployment.client("lambda", "primary")
        self._iam = deployment.client("iam", "primary")
        self._name = deployment.value("primary_health_monitor_function_name")
        self._url = deployment.aws.execute_api_url(deployment.value("primary_api_id"), "/health")
        configuration = self._lambda.get_function_configuration(FunctionName=self._name)
        self._role = configuration["Role"].rpartition("/")[2]
        self._variables = configuration["Environment"]["Variables"]
        self.table_arn = deployment.value("dynamodb_table_arn")
        # The emulator runs the schedule too, which would mail in between.
        events, rule = deployment.client("events", "primary"), "event-rule-health-monitor-east-dev"
        events.disable_rule(Name=rule)
        restore.callback(events.enable_rule, Name=rule)
        restore.callback(self._configure, self._variables)
        self.configure()

    def _configure(self, variables: dict[str, str]) -> None:
        self._lambda.update_function_configuration(FunctionName=self._name, Environment={"Variables": variables})

    def configure(self, **variables: str) -> None:
        """Give the function these variables too; it starts afresh, and mails to us."""
        self._configure({**self._variables, "AWS_ENDPOINT_URL_SNS": self.mails.url, **variables})

    def serve(self, service: str, *manners: Any) -> Server:
        """Put a server in the place of a service."""
        server = self._restore.enter_context(Server(*manners))
        self.configure(**{f"AWS_ENDPOINT_URL_{service}": server.url})
        return server

    def add_right(self, effect: str, resource: str) -> None:
        statement = {"Effect": effect, "Action": "dynamodb:DescribeTable", "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
        self._iam.put_role_policy(RoleName=self._role, PolicyName="fault", PolicyDocument=policy)
        self._restore.callback(self._iam.delete_role_policy, RoleName=self._role, PolicyName="fault")

    def probe(self) -> tuple[int, str, str]:
        """HTTP status, verdict and reason."""
        answer = get(self._url)
        body = json.loads(answer.body)
        return answer.status, body["status"], body["reason"] or "-"

    def seconds(self) -> float:
        """How long one probe takes."""
        started = time.monotonic()
        self.probe()
        return time.monotonic() - started

    def scheduled_run_fails(self) -> bool:
        return "FunctionError" in self._lambda.invoke(FunctionName=self._name, Payload=json.dumps(SCHEDULE).encode())


@pytest.fixture
def monitor(deployment: Deployed) -> Iterator[Monitor]:
    with contextlib.ExitStack() as restore:
        yield Monitor(deployment, restore)


def table_is_missing(monitor: Monitor) -> None:
    monitor.add_right("Allow", monitor.table_arn.replace("/transactions", "/elsewhere"))
    monitor.configure(DYNAMODB_TABLE_NAME="elsewhere")


FAULTS: dict[str, Callable[[Monitor], object]] = {
    "DynamoDB accepts connections and says nothing": lambda monitor: monitor.serve("DYNAMODB", is_silent),
    "DynamoDB refuses connections": lambda monitor: monitor.serve("DYNAMODB", is_silent).close(),
    "DynamoDB resets connections": lambda monitor: monitor.serve("DYNAMODB", resets),
    "503 with nothing": lambda monitor: monitor.serve("DYNAMODB", replies("503 Service Unavailable", "")),
    "400 `ThrottlingException`": lambda monitor: monitor.serve("DYNAMODB", refuses_with("ThrottlingException")),
    "400 `AccessDeniedException`": lambda monitor: monitor.add_right("Deny", monitor.table_arn),
    "400 `ResourceNotFoundException`": table_is_missing,
    "table `ARCHIVED`": lambda monitor: monitor.serve("DYNAMODB", has_table("ARCHIVED")),
    "`DYNAMODB_TABLE_NAME` missing": lambda monitor: monitor.configure(DYNAMODB_TABLE_NAME=""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_deployed_monitor_answers_in_time_mails_and_fails_as_the_table_says(monitor: Monitor, fault: str) -> None:
    """What the emulator itself takes is in the time of a healthy probe; both are taken of a warm function."""
    (expected,) = (row for row in EXPECTATIONS if row.fault == fault)
    monitor.probe()
    assert monitor.probe() == (200, "healthy", "-")
    overhead = monitor.seconds()

    FAULTS[fault](monitor)
    monitor.probe()
    assert monitor.probe() == expected.answer()
    assert float(expected.seconds) <= monitor.seconds() <= ROUTE_53_BUDGET_SECONDS + overhead
    assert not monitor.mails.connections

    assert monitor.scheduled_run_fails() == (expected.errors == "yes")
    assert expected.mailed(monitor.mails.requests)


def test_a_failing_sns_changes_no_answer_of_the_deployed_monitor_and_fires_errors(monitor: Monitor) -> None:
    monitor.serve("DYNAMODB", has_table("DELETING"))
    monitor.mails.close()
    assert monitor.probe() == (503, "unhealthy", "table_not_serving")
    assert monitor.scheduled_run_fails()
    assert monitor.probe() == (503, "unhealthy", "table_not_serving")
