"""`dr` on the deployed stack, which it knows by its outputs and AWS_ENDPOINT_URL alone, as it would on AWS."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from embedded_aws.deployment import Deployment
from embedded_aws.emulated_stack import EmulatedStack
from payment_dr.operations import cli, standby_writes, switch
from payment_dr.side import SIDES
from tests.deploy.conftest import Deployed
from tests.operations.stack import Clock

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

Dr = Callable[..., Result]


@pytest.fixture(scope="module")
def stack(deployment: Deployed) -> Iterator[Deployment]:
    """A branch for all of these tests, each of which leaves it well, and its functions warm."""
    with deployment.branch() as branch:
        yield branch


@pytest.fixture
def dr(
    stack: Deployment, outputs_for_dr: Callable[[Deployment], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Dr]:
    """Runs `dr`, for which no call takes long because the machine is slow; at the end no fence and no fault is left."""
    monkeypatch.setattr(cli, "Deployed", EmulatedStack)
    monkeypatch.setattr(standby_writes, "EMPTY_SECONDS", 0.0)  # what is written is in the stream at once
    outputs = outputs_for_dr(stack)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, [*arguments, "--outputs", str(outputs)])

    yield run
    for side in SIDES:
        stack.aws.restore_region(stack.region(side))
    function = stack.value("primary_health_monitor_function_name")
    stack.client("lambda", "primary").delete_function_concurrency(FunctionName=function)


def test_status_of_a_stack_that_is_well(stack: Deployment, dr: Dr) -> None:
    found = dr("status", "--json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["serves"]["found"]) == (0, "us-east-1 (primary)")
    for region in ("us-east-1", "us-west-2"):
        cells = {name: cell["found"] for name, cell in told["regions"][region].items() if name != "side"}
        assert cells["health"] == "passes: HTTP status 200, healthy"
        assert (cells["table"], cells["fenced"]) == ("ACTIVE", "no")
        assert cells["replication lag"] == "no data in 5 minutes"  # nothing publishes that metric here
    # what is left to do before real payments: asked as far as there is somebody to ask, and no fault here
    assert told["alert subscriptions"] == {"state": "ok", "found": "not checked: an embedded AWS sends no mail"}
    assert told["name servers"] == {"state": "ok", "found": "not checked: an embedded AWS has no parent zone"}
    secrets = stack.value("ssm_parameter_values").values()
    assert [secret for secret in secrets if secret in found.output] == []


def test_status_names_documents_that_s3_could_not_copy(
    branched: Deployment, outputs_for_dr: Callable[[Deployment], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "Deployed", EmulatedStack)
    outputs, role = outputs_for_dr(branched), branched.value("s3_replication_role_arn").rpartition("/")[2]
    deny = {"Effect": "Deny", "Action": "s3:ReplicateObject", "Resource": "*"}
    branched.client("iam", "primary").put_role_policy(
        RoleName=role, PolicyName="deny", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    branched.client("s3", "primary").put_object(Bucket=branched.value("primary_bucket_name"), Key="receipt", Body=b"1")

    found = CliRunner().invoke(cli.app, ["status", "--json", "--outputs", str(outputs)])

    told = json.loads(found.stdout)["regions"]["us-east-1"]["documents"]
    assert (found.exit_code, told["found"]) == (1, "1 failed in 60 minutes, 0 wait for us-west-2")


def test_status_of_a_region_that_is_gone(stack: Deployment, dr: Dr) -> None:
    stack.aws.fail_region("us-east-1")
    found = dr("status", "--json")
    told = json.loads(found.stdout)
    assert found.exit_code == 2
    assert told["regions"]["us-east-1"]["health"] == {"state": "bad", "found": "fails: HTTP status 503"}
    assert told["regions"]["us-east-1"]["table"]["state"] == "cannot tell"
    assert told["regions"]["us-west-2"]["table"] == {"state": "ok", "found": "ACTIVE"}


def test_over_and_back_by_hand_with_terraform_in_between(
    stack: Deployment, dr: Dr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "time", Clock())  # three intervals of the health check
    over = dr("failover", "--yes", "--wait")
    assert (over.exit_code, over.stdout) == (
        0,
        "us-east-1 is fenced. Its probe fails: HTTP status 503. Route 53 answers with us-west-2, according to the "
        "model.\n",
    )
    fenced = json.loads(dr("status", "--json").stdout)
    assert fenced["regions"]["us-east-1"]["fenced"] == {"state": "bad", "found": "FENCED until 'dr failback'"}
    assert fenced["serves"]["found"] == "us-west-2 (secondary)"

    stack.apply()  # which leaves the fence where it is
    assert not stack.plan().changed
    assert "already fenced" in dr("failover", "--yes").stdout

    back = dr("failback", "--yes", "--wait")
    assert (back.exit_code, back.stdout) == (
        0,
        "The fence is removed from us-east-1. Its probe passes: HTTP status 200, healthy. "
        "Route 53 answers with us-east-1, according to the model.\n",
    )


@pytest.mark.parametrize("kind", ["error", "hang"])
def test_failover_of_a_region_that_is_gone_has_nothing_to_do(
    stack: Deployment, dr: Dr, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(EmulatedStack):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.hanging.add("us-east-1")

    monkeypatch.setattr(cli, "Deployed", Gone)
    stack.aws.fail_region("us-east-1", kind=kind)
    found = dr("failover", "--yes")
    assert found.exit_code == 0, found.output
    assert "No fence is needed: Route 53 fails over by itself." in found.stdout


def test_failover_into_a_region_that_is_gone_is_refused(stack: Deployment, dr: Dr) -> None:
    stack.aws.fail_region("us-west-2")
    found = dr("failover", "--yes")
    assert found.exit_code == 1
    assert "us-west-2 could not serve: the probe of us-west-2 fails: HTTP status 503" in found.stderr


def test_failback_is_refused_while_the_table_does_not_serve_config_differs_or_documents_lack(
    stack: Deployment, dr: Dr
) -> None:
    stack.client("lambda", "primary").put_function_concurrency(
        FunctionName=stack.value("primary_health_monitor_function_name"), ReservedConcurrentExecutions=0
    )
    stack.aws.fail_region("us-east-1", service="dynamodb")
    gone = dr("failback", "--yes")
    stack.aws.restore_region("us-east-1")
    assert (gone.exit_code, "DynamoDB in us-east-1 answers 503" in gone.stderr) == (1, True)

    name, ssm = stack.value("ssm_parameter_names")[0], stack.client("ssm", "primary")
    value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    stack.client("events", "secondary").disable_rule(Name="event-rule-config-sync-change-west-dev")
    west = stack.client("ssm", "secondary")
    key = stack.value("secondary_kms_key_arn")
    try:
        west.put_parameter(Name=name, Value="rotated", Type="SecureString", Overwrite=True, KeyId=key)
        differs = dr("failback", "--yes", "--timeout=1")
    finally:
        west.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True, KeyId=key)
        stack.client("events", "secondary").enable_rule(Name="event-rule-config-sync-change-west-dev")
    assert (differs.exit_code, f"config differs between the regions: {name}" in differs.stderr) == (1, True)

    s3, documents = stack.client("s3", "secondary"), stack.value("secondary_bucket_name")
    s3.put_object(Bucket=documents, Key="receipt", Body=b"paid")
    lacks = dr("failback", "--yes")
    s3.delete_object(Bucket=documents, Key="receipt")
    lost = "us-east-1 lacks documents that were written in us-west-2 (1): receipt"
    assert (lacks.exit_code, lost in lacks.stderr) == (1, True), lacks.stderr

    assert dr("failback", "--yes").exit_code == 0


@pytest.mark.parametrize("since", [(), ("--since=2d",)])
def test_failback_waits_for_the_one_item_that_has_not_arrived(
    stack: Deployment, dr: Dr, since: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws, table = stack.aws, stack.value("dynamodb_table_name")
    west, east = (stack.client("dynamodb", side) for side in ("secondary", "primary"))
    stack.client("lambda", "primary").put_function_concurrency(
        FunctionName=stack.value("primary_health_monitor_function_name"), ReservedConcurrentExecutions=0
    )
    there, held_back = ({"transaction_id": {"S": f"{name}{since}"}, "timestamp": {"N": "1"}} for name in ("a", "b"))
    west.put_item(TableName=table, Item=there)
    aws.set_replication_lag(0.001)
    aws.fail_region("us-east-1", service="dynamodb-replication")
    west.put_item(TableName=table, Item=held_back | {"amount": {"N": "1.5"}})
    lacks = f"us-east-1 lacks items that were written in us-west-2 (1): timestamp=1 transaction_id=b{since}"
    try:
        refused = dr("failback", "--yes", "--timeout=1", *since)
        assert (refused.exit_code, f"us-east-1 is not ready: {lacks}\n" in refused.stderr) == (1, True), refused.output
        assert "Item" not in east.get_item(TableName=table, Key=held_back)

        class Waiting:  # which ends once the item is on its way
            monotonic, time = staticmethod(time.monotonic), staticmethod(time.time)

            @staticmethod
            def sleep(_seconds: float) -> None:
                aws.restore_region("us-east-1")

        monkeypatch.setattr(switch, "time", Waiting)
        back = dr("failback", "--yes", *since)
    finally:
        aws.restore_region("us-east-1")
        aws.set_replication_lag(0)
    assert (back.exit_code, f"waiting: {lacks}\n" in back.stderr) == (0, True), back.output
    assert east.get_item(TableName=table, Key=held_back)["Item"]["amount"] == {"N": "1.5"}
    assert "The fence is removed from us-east-1." in back.stdout
