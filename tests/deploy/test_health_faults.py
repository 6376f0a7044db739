"""The most telling rows of docs/health-faults.md, through the deployed API and with IAM enforced."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from embedded_aws.deployment import Deployment
from embedded_aws.server import FUNCTION_SECONDS
from tests.handlers.health_faults import EXPECTATIONS, ROUTE_53_BUDGET_SECONDS, SCHEDULE
from tests.handlers.loopback import Server, has_table, is_silent, publishes, refuses_with, replies, resets

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


class Monitor:
    """The primary region's deployed health monitor, whose surroundings can be made to fail.

    Attributes:
        mails: Takes its mails.
        seconds: How long its latest answer took, by its own clock.
    """

    def __init__(self, deployment: Deployment, servers: contextlib.ExitStack) -> None:
        self.mails = servers.enter_context(Server(publishes))
        self.seconds = 0.0
        self._servers = servers
        self._lambda = deployment.client("lambda", "primary")
        self._iam = deployment.client("iam", "primary")
        self._name = deployment.value("primary_health_monitor_function_name")
        self._url = deployment.aws.execute_api_url(deployment.value("primary_api_id"), "/health")
        configuration = self._lambda.get_function_configuration(FunctionName=self._name)
        self._role = configuration["Role"].rpartition("/")[2]
        self._variables = configuration["Environment"]["Variables"] | {"AWS_ENDPOINT_URL_SNS": self.mails.url}
        self.table_arn = deployment.value("dynamodb_table_arn")
        # The emulator runs the schedule too, which would mail in between.
        deployment.client("events", "primary").disable_rule(Name="event-rule-health-monitor-east-dev")
        self.configure()

    def configure(self, **variables: str) -> None:
        """Give the function these variables too; it starts afresh, and mails to us."""
        self._lambda.update_function_configuration(
            FunctionName=self._name, Environment={"Variables": self._variables | variables}
        )

    def serve(self, service: str, *manners: Any) -> Server:
        """Put a server in the place of a service."""
        server = self._servers.enter_context(Server(*manners))
        self.configure(**{f"AWS_ENDPOINT_URL_{service}": server.url})
        return server

    def add_right(self, effect: str, resource: str) -> None:
        statement = {"Effect": effect, "Action": "dynamodb:DescribeTable", "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
        self._iam.put_role_policy(RoleName=self._role, PolicyName="fault", PolicyDocument=policy)

    def probe(self) -> tuple[int, str, str]:
        """HTTP status, verdict and reason."""
        answer = urllib3.request("GET", self._url, retries=False, timeout=60)
        self.seconds = float(answer.headers[FUNCTION_SECONDS])
        body = answer.json()
        return answer.status, body["status"], body["reason"] or "-"

    def scheduled_run_fails(self) -> bool:
        return "FunctionError" in self._lambda.invoke(FunctionName=self._name, Payload=json.dumps(SCHEDULE).encode())


@pytest.fixture
def monitor(branched: Deployment) -> Iterator[Monitor]:
    with contextlib.ExitStack() as servers:
        yield Monitor(branched, servers)


def table_is_missing(monitor: Monitor) -> None:
    monitor.add_right("Allow", monitor.table_arn.replace("/transactions", "/elsewhere"))
    monitor.configure(DYNAMODB_TABLE_NAME="elsewhere")


FAULTS: dict[str, Callable[[Monitor], object]] = {
    "DynamoDB accepts connections and does not answer": lambda monitor: monitor.serve("DYNAMODB", is_silent),
    "DynamoDB refuses connections": lambda monitor: monitor.serve("DYNAMODB", is_silent).close(),
    "DynamoDB resets connections": lambda monitor: monitor.serve("DYNAMODB", resets),
    "503 with an empty body": lambda monitor: monitor.serve("DYNAMODB", replies("503 Service Unavailable", "")),
    "400 `ThrottlingException`": lambda monitor: monitor.serve("DYNAMODB", refuses_with("ThrottlingException")),
    "400 `AccessDeniedException`": lambda monitor: monitor.add_right("Deny", monitor.table_arn),
    "400 `ResourceNotFoundException`": table_is_missing,
    "table `ARCHIVED`": lambda monitor: monitor.serve("DYNAMODB", has_table("ARCHIVED")),
    "`DYNAMODB_TABLE_NAME` missing": lambda monitor: monitor.configure(DYNAMODB_TABLE_NAME=""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_deployed_monitor_answers_in_time_mails_and_fails_as_the_table_says(monitor: Monitor, fault: str) -> None:
    """On a busy machine a function that is started for a probe may not get to DynamoDB in time: the next one counts."""
    (expected,) = (row for row in EXPECTATIONS if row.fault == fault)
    monitor.probe()
    assert monitor.probe() == (200, "healthy", "-")

    FAULTS[fault](monitor)
    monitor.probe()
    assert monitor.probe() == expected.answer()
    assert float(expected.seconds) <= monitor.seconds <= ROUTE_53_BUDGET_SECONDS
    assert not monitor.mails.connections

    assert monitor.scheduled_run_fails() == (expected.errors == "yes")
    assert expected.mailed(monitor.mails.requests)


def test_a_failing_sns_changes_no_answer_of_the_deployed_monitor_and_fires_errors(monitor: Monitor) -> None:
    monitor.serve("DYNAMODB", has_table("DELETING"))
    monitor.mails.close()
    assert monitor.probe() == (503, "unhealthy", "table_not_serving")
    assert monitor.scheduled_run_fails()
    assert monitor.probe() == (503, "unhealthy", "table_not_serving")
