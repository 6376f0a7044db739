"""The real Terraform deploys the stack; every output and behaviour is compared with what is there."""

import base64
import hashlib
import io
import json
import shutil
import urllib.request
import zipfile
from pathlib import Path

import pytest

from embedded_aws import checks
from embedded_aws.checks import CheckFailed, deployed_values, eventually
from embedded_aws.deployment import PROJECT, Deployment
from embedded_aws.inventory import inventory
from payment_dr.operations.terraform.runner import Output
from payment_dr.side import SIDES, Side
from tests.deploy.conftest import Deployed
from tests.deploy.mailbox import mailbox

pytestmark = pytest.mark.xdist_group("deployment")


def test_every_output_says_what_is_deployed(deployment: Deployed) -> None:
    wrong = []
    for name in deployment.outputs:
        try:
            checks.check_output(deployment, name)
        except CheckFailed as failure:
            wrong.append(f"{name}: {failure}")
    assert wrong == []


def test_every_output_is_compared(deployment: Deployed) -> None:
    assert set(deployed_values(deployment)) == set(deployment.outputs)


def test_a_wrong_output_is_found_and_a_secret_one_is_not_shown(
    deployment: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dict(deployment.outputs) | {
        "primary_vpc_id": Output("vpc-1", sensitive=False, type="string"),
        "ssm_parameter_values": Output({"/payment-app/dev/api-key": "hunter2"}, sensitive=True, type="string"),
    }
    monkeypatch.setattr(deployment, "_outputs", wrong)
    with pytest.raises(CheckFailed, match="the output says 'vpc-1', deployed is 'vpc-"):
        checks.check_output(deployment, "primary_vpc_id")
    with pytest.raises(CheckFailed) as failed:
        checks.check_output(deployment, "ssm_parameter_values")
    assert "hunter2" not in str(failed.value)


def test_the_second_plan_is_empty_and_a_change_by_hand_is_seen(deployment: Deployed) -> None:
    assert checks.check_second_plan_is_empty(deployment) == "no changes"
    logs = deployment.client("logs", "secondary")
    group = f"/aws/lambda/{deployment.value('secondary_health_monitor_function_name')}"
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    try:
        with pytest.raises(CheckFailed, match="health_monitor_west_function_log_group"):
            checks.check_second_plan_is_empty(deployment)
    finally:
        logs.put_retention_policy(logGroupName=group, retentionInDays=1)


@pytest.mark.parametrize("side", SIDES)
def test_the_health_url_answers_for_its_own_region_and_fails_with_it(deployment: Deployed, side: Side) -> None:
    assert "answers 200, status healthy, table ACTIVE" in checks.check_health(deployment, side)
    other = SIDES[1 - SIDES.index(side)]
    with deployment.aws.region_outage(deployment.region(side)):
        with pytest.raises(CheckFailed, match="GET /health answers 503"):
            checks.check_health(deployment, side)
        assert "answers 200" in checks.check_health(deployment, other)
    assert "answers 200" in checks.check_health(deployment, side)


@pytest.mark.parametrize("side", SIDES)
def test_the_health_answer_is_public_and_not_cached(deployment: Deployed, side: Side) -> None:
    url = deployment.aws.execute_api_url(deployment.value(f"{side}_api_id"), "/health")
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
        headers, text = answer.headers, answer.read().decode()
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/json"
    assert set(json.loads(text)) == {"status", "timestamp", "region", "table_status", "reason"}
    assert deployment.aws.account_id not in text
    assert "arn:" not in text


@pytest.mark.parametrize(("source", "target"), [("primary", "secondary"), ("secondary", "primary")])
def test_a_parameter_changed_in_one_region_appears_in_the_other(
    deployment: Deployed, source: Side, target: Side
) -> None:
    assert checks.check_parameter_follows(deployment, source, target).startswith("2 parameters copied")
    assert checks.check_plan_keeps_rotated_secrets(deployment) == "no resource changes"


def test_a_parameter_that_does_not_arrive_is_found(deployment: Deployed) -> None:
    rule = "event-rule-config-sync-change-east-dev"
    events = deployment.client("events", "primary")
    events.disable_rule(Name=rule)
    try:
        with pytest.raises(CheckFailed, match=r"changed in us-east-1, appears in us-west-2: not within 1 s"):
            checks.check_parameter_follows(deployment, "primary", "secondary", seconds=1)
    finally:
        events.enable_rule(Name=rule)


def test_transactions_and_documents_are_replicated(deployment: Deployed) -> None:
    assert "by key and content" in checks.check_transaction_replicates(deployment)
    assert "AES256" in checks.check_object_replicates(deployment)


@pytest.mark.parametrize("purpose", ["health_monitor", "config_sync"], ids=["the health monitor", "the config sync"])
@pytest.mark.parametrize("side", SIDES)
def test_the_deployed_package_is_the_handler_alone_and_small(deployment: Deployed, side: Side, purpose: str) -> None:
    function = deployment.client("lambda", side).get_function(
        FunctionName=deployment.value(f"{side}_{purpose}_function_name")
    )
    with urllib.request.urlopen(function["Code"]["Location"], timeout=10) as answer:  # noqa: S310 - loopback
        package = answer.read()
    assert base64.b64encode(hashlib.sha256(package).digest()).decode() == function["Configuration"]["CodeSha256"]
    assert len(package) < 8 * 1024
    handler = f"lambda_{purpose}.py"
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        assert archive.namelist() == [handler]
        assert archive.read(handler) == (PROJECT / "handlers" / handler).read_bytes()


@pytest.mark.parametrize("side", SIDES)
def test_a_scheduled_run_with_a_failing_table_mails_through_the_encrypted_topic(
    deployment: Deployed, side: Side
) -> None:
    """With IAM enforced: the function may publish, and use the topic's key to do so."""
    lambda_ = deployment.client("lambda", side)
    name = deployment.value(f"{side}_health_monitor_function_name")
    variables = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]

    def run(table: str) -> None:
        lambda_.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**variables, "DYNAMODB_TABLE_NAME": table}}
        )
        event = {"source": "aws.events", "detail-type": "Scheduled Event"}
        lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())

    with mailbox(deployment, side) as box:
        try:
            # describing another table is denied: the monitor is at fault, so nobody is mailed "unhealthy"
            run("not-our-table")
            eventually(box.received, "the mail arrives")
            assert "unknown" in box.mails[0]["Subject"].lower()
        finally:
            run(variables["DYNAMODB_TABLE_NAME"])


def test_a_deployment_planned_in_another_folder_is_the_same(
    stack_dir: Path, deployment: Deployed, tmp_path: Path
) -> None:
    """`cdktf.out` can be handed to another machine: nothing in it depends on where it lies."""
    elsewhere = tmp_path / "somewhere" / "else" / stack_dir.name
    shutil.copytree(stack_dir, elsewhere)
    with Deployment(stack_dir=elsewhere) as other:
        planned = other.plan().json
    assert planned["planned_values"] == deployment.planned["planned_values"]


def test_destroy_leaves_nothing_and_leftovers_are_found(stack_dir: Path) -> None:
    with Deployment(stack_dir=stack_dir, variables={"environment": "prod"}) as other:
        before = inventory(other.aws, ["us-east-1", "us-west-2"])
        other.apply()
        regions = [other.region(side) for side in SIDES]
        assert any("lambda-health-monitor-west-prod" in item for item in inventory(other.aws, regions) - before)
        other.client("logs", "secondary").create_log_group(logGroupName="/left/behind")
        other.destroy()
        assert other.terraform.state_resources() == []
        left = inventory(other.aws, regions) - before
        assert [item.split()[:3] for item in left] == [["us-west-2", "logs", "describe_log_groups"]]
        assert "/left/behind" in next(iter(left))


def test_no_secret_is_in_the_emulators_log_or_the_plan(deployment: Deployed) -> None:
    secrets = set(deployed_values(deployment)["ssm_parameter_values"]().values())
    assert secrets
    shown = deployment.aws.log_text() + deployment.terraform.text_of(deployment.first_plan)
    assert [secret for secret in secrets if secret in shown] == []
