"""The real Terraform deploys the stack; every output and behaviour is compared with what is there."""

import base64
import hashlib
import io
import json
import urllib.request
import zipfile
from pathlib import Path

import pytest

from embedded_aws import checks
from embedded_aws.checks import CheckFailed, deployed_values, eventually
from embedded_aws.deployment import PROJECT, STACK, Deployment
from embedded_aws.inventory import inventory
from payment_dr import App, DisasterRecoveryStack
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.operations.errors import OperationError
from payment_dr.operations.terraform.runner import Output
from payment_dr.side import SIDES, Side
from tests.deploy.conftest import Deployed
from tests.deploy.mailbox import mailbox

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]


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
    with pytest.raises(CheckFailed, match="the output is 'vpc-1', but the deployed value is 'vpc-"):
        checks.check_output(deployment, "primary_vpc_id")
    with pytest.raises(CheckFailed) as failed:
        checks.check_output(deployment, "ssm_parameter_values")
    assert "hunter2" not in str(failed.value)


def test_the_second_plan_is_empty_and_a_change_by_hand_is_seen(branched: Deployment) -> None:
    group = f"/aws/lambda/{branched.value('secondary_health_monitor_function_name')}"
    branched.client("logs", "secondary").put_retention_policy(logGroupName=group, retentionInDays=7)
    with pytest.raises(CheckFailed) as failed:
        checks.check_second_plan_is_empty(branched)
    address = "aws_cloudwatch_log_group.health_monitor_west_function_log_group"
    assert str(failed.value) == f"would change {{{address!r}: 'update'}}"  # and nothing else


def test_a_destroy_of_a_protected_table_is_refused_before_anything_is_deleted(branched: Deployment) -> None:
    stack = DisasterRecoveryStack(
        App(outdir=str(branched.terraform.directory / "unused")), STACK, deletion_protection=True
    )
    protected = json.loads(CdktfTesting.synth(stack))["resource"]["aws_dynamodb_table"]["data_table"]
    written = branched.terraform.directory / "cdk.tf.json"
    template = json.loads(written.read_text(encoding="utf-8"))
    template["resource"]["aws_dynamodb_table"]["data_table"]["lifecycle"] = protected["lifecycle"]
    written.write_text(json.dumps(template), encoding="utf-8")
    table = branched.value("dynamodb_table_name")
    # What an apply with the option does, in the one region that it can reach.
    branched.client("dynamodb", "primary").update_table(TableName=table, DeletionProtectionEnabled=True)
    before = inventory(branched.aws, branched.regions)

    with pytest.raises(OperationError, match="Instance cannot be destroyed"):
        branched.destroy()

    assert inventory(branched.aws, branched.regions) == before
    assert checks.Deployed(branched).table("secondary")["TableStatus"] == "ACTIVE"


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
    with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - loopback
        headers, text = answer.headers, answer.read().decode()
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/json"
    assert set(json.loads(text)) == {"status", "timestamp", "region", "table_status", "reason"}
    assert deployment.aws.account_id not in text
    assert "arn:" not in text


def test_a_parameter_changed_in_one_region_appears_in_the_other(branched: Deployment) -> None:
    for source, target in (SIDES, SIDES[::-1]):
        assert checks.check_parameter_follows(branched, source, target).startswith("2 parameters copied")
    assert checks.check_second_plan_is_empty(branched) == "no changes"


def test_a_parameter_that_does_not_arrive_is_found(branched: Deployment) -> None:
    branched.client("events", "primary").disable_rule(Name="event-rule-config-sync-change-east-dev")
    with pytest.raises(CheckFailed, match=r"changed in us-east-1, appears in us-west-2: not within 1 s"):
        checks.check_parameter_follows(branched, "primary", "secondary", seconds=1)


def test_transactions_and_documents_are_replicated(deployment: Deployed) -> None:
    assert "by key and content" in checks.check_transaction_replicates(deployment)
    assert "AES256" in checks.check_object_replicates(deployment)


@pytest.mark.parametrize("purpose", ["health_monitor", "config_sync"], ids=["the health monitor", "the config sync"])
@pytest.mark.parametrize("side", SIDES)
def test_the_deployed_package_is_the_handler_alone_and_small(deployment: Deployed, side: Side, purpose: str) -> None:
    function = deployment.client("lambda", side).get_function(
        FunctionName=deployment.value(f"{side}_{purpose}_function_name")
    )
    with urllib.request.urlopen(function["Code"]["Location"], timeout=120) as answer:  # noqa: S310 - loopback
        package = answer.read()
    assert base64.b64encode(hashlib.sha256(package).digest()).decode() == function["Configuration"]["CodeSha256"]
    assert len(package) < 11 * 1024
    handler = f"lambda_{purpose}.py"
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        assert archive.namelist() == [handler]
        assert archive.read(handler) == (PROJECT / "handlers" / handler).read_bytes()


@pytest.mark.parametrize("side", SIDES)
def test_a_scheduled_run_with_a_failing_table_mails_through_the_encrypted_topic(
    branched: Deployment, side: Side
) -> None:
    """With IAM enforced: the function may publish, and use the topic's key to do so."""
    lambda_ = branched.client("lambda", side)
    name = branched.value(f"{side}_health_monitor_function_name")
    variables = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    # describing another table is denied: the monitor is at fault, so nobody is mailed "unhealthy"
    variables["DYNAMODB_TABLE_NAME"] = "not-our-table"
    lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    with mailbox(branched, side) as box:
        event = {"source": "aws.events", "detail-type": "Scheduled Event"}
        lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        eventually(box.received, "the mail arrives")
    assert "unknown" in box.mails[0]["Subject"].lower()


def test_the_stack_can_be_handed_to_another_machine(stack_dir: Path) -> None:
    """No file of `cdktf.out` says where it was made; that every deployment is made from a copy of it does the rest."""
    files = {path: path.read_bytes() for path in stack_dir.rglob("*") if path.is_file()}
    assert len(files) > 2  # the configuration and the handlers
    here = [str(folder).encode() for folder in (stack_dir, stack_dir.resolve(), PROJECT, Path.home())]
    assert [path.name for path, content in files.items() if any(folder in content for folder in here)] == []
