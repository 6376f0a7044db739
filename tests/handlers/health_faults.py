"""What docs/health-faults.md expects of the health monitor, and what the monitor is told when it is invoked."""

from pathlib import Path
from typing import NamedTuple

ROUTE_53_BUDGET_SECONDS = 1.5
TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:sns-alerts-east-dev"
PROBE = {"version": "2.0", "routeKey": "GET /health", "requestContext": {"http": {"method": "GET"}}}
SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


class Expectation(NamedTuple):
    """A row of the table."""

    fault: str
    verdict: str
    reason: str
    http: str
    mails: str
    errors: str
    seconds: str

    def answer(self) -> tuple[int, str, str]:
        """HTTP status, verdict and reason."""
        return int(self.http), self.verdict, self.reason

    def mailed(self, mails: list[str]) -> bool:
        """Whether these are the requests that SNS should have got of one run."""
        return [f"is+{self.verdict}" in mail for mail in mails] == [True] * (self.mails == "yes")


EXPECTATIONS = [
    Expectation(*(cell.strip() for cell in line.strip("|").split("|")))
    for line in (Path(__file__).parents[2] / "docs/health-faults.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| Fault ")
]
