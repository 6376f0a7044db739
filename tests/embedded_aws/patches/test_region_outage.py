import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from embedded_aws import EmbeddedAws, EmbeddedAwsError
from tests.embedded_aws.tenant import Tenant, get, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 200, "body": "here"}
"""


@pytest.fixture(scope="module")
def failing_aws() -> Iterator[EmbeddedAws]:
    """One of its own: other tests need their regions."""
    with EmbeddedAws() as running:
        yield running


@pytest.fixture
def account(failing_aws: EmbeddedAws) -> Tenant:
    return Tenant(failing_aws)


@pytest.mark.parametrize("service", ["dynamodb", "ssm", "sns", "cloudwatch", "lambda", "s3", "apigatewayv2", "sqs"])
def test_every_call_of_a_failed_region_is_unavailable(account: Tenant, service: str) -> None:
    calls = {
        "dynamodb": "list_tables",
        "ssm": "describe_parameters",
        "sns": "list_topics",
        "cloudwatch": "describe_alarms",
        "lambda": "list_functions",
        "s3": "list_buckets",
        "apigatewayv2": "get_apis",
        "sqs": "list_queues",
    }
    call = getattr(account.client(service, "us-east-1"), calls[service])

    with account.aws.region_outage("us-east-1"), pytest.raises(ClientError) as unavailable:
        call()

    assert unavailable.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    call()


def test_other_regions_stay_up(account: Tenant) -> None:
    with account.aws.region_outage("us-east-1"):
        account.client("ssm", "us-west-2").put_parameter(Name="/a", Value="1", Type="String")

    assert account.client("ssm", "us-west-2").get_parameter(Name="/a")["Parameter"]["Value"] == "1"


def test_an_api_answers_from_its_own_region(failing_aws: EmbeddedAws) -> None:
    account, urls = Tenant(failing_aws, failing_aws.account_id), {}
    for region in ("us-east-1", "us-west-2"):
        function = account.function(ANSWERS, name=unique(region), region=region)
        api_id = account.http_api(function, unique(region), region)
        source = f"arn:aws:execute-api:{region}:{account.account_id}:{api_id}/*/*"
        account.let_in(function, "apigateway.amazonaws.com", source, region)
        urls[region] = failing_aws.execute_api_url(api_id, "/health")

    with failing_aws.region_outage("us-east-1"):
        assert {region: get(url).status for region, url in urls.items()} == {"us-east-1": 503, "us-west-2": 200}
    assert get(urls["us-east-1"]).status == 200


A_RULE_THAT_IS_DUE = """
from embedded_aws import patches
patches.apply_all()
from embedded_aws.patches import region_outage
from ministack.services import eventbridge

eventbridge._dispatch_to_sqs = lambda *arguments: print("delivered", end=" ")
rule = {"Name": "tick", "State": "ENABLED", "ScheduleExpression": "rate(1 minute)", "CreationTime": 0,
        "Arn": "arn:aws:events:us-east-1:000000000000:rule/tick"}
queue = {"Id": "queue", "Arn": "arn:aws:sqs:us-east-1:000000000000:ticks"}
eventbridge._rules.set_scoped("000000000000", "us-east-1", "default/tick", rule)
eventbridge._targets.set_scoped("000000000000", "us-east-1", "default/tick", [queue])
for region in ("us-east-1", "us-west-2"):
    region_outage._failed = {region}
    eventbridge._rule_last_fired.clear()
    print(region, "fails:", end=" ")
    eventbridge._tick_scheduled_rules()
"""


def test_a_failed_region_runs_no_scheduled_rules() -> None:
    """Inside a process of its own, as the shortest schedule is a minute."""
    repository = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", A_RULE_THAT_IS_DUE], cwd=repository, capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == "us-east-1 fails: us-west-2 fails: delivered"


def test_the_failed_regions_can_be_listed(failing_aws: EmbeddedAws) -> None:
    with failing_aws.region_outage("us-west-2"):
        failing_aws.fail_region("us-east-1")
        assert failing_aws.failed_regions() == ["us-east-1", "us-west-2"]
        failing_aws.restore_region("us-east-1")
        assert failing_aws.failed_regions() == ["us-west-2"]
    assert failing_aws.failed_regions() == []


def test_an_outage_ends_with_its_block_whatever_happens_in_it(failing_aws: EmbeddedAws) -> None:
    with pytest.raises(ValueError, match="drill"), failing_aws.region_outage("us-east-1"):
        raise ValueError("drill")

    assert failing_aws.failed_regions() == []


def test_the_emulator_itself_stays_reachable_in_an_outage(failing_aws: EmbeddedAws) -> None:
    with failing_aws.region_outage("us-east-1"):
        assert get(f"{failing_aws.endpoint_url}/_ministack/health").status == 200


def test_upstream_still_knows_no_outage(unpatched_aws: EmbeddedAws) -> None:
    with pytest.raises(EmbeddedAwsError, match="did not take the region fault"):  # if it does: region_outage may go
        unpatched_aws.fail_region("us-east-1")
