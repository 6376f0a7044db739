"""The payments service of the examples, deployed by the stack in both regions and called by its name over TLS."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from embedded_aws.checks import eventually
from embedded_aws.custom_domains import CustomDomains
from embedded_aws.deployment import PROJECT, Deployment, synthesized
from embedded_aws.drill import SERVICE_IS_REAL, WRITES_ARE_REAL, place_of
from payment_dr.operations.drill import clients
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.report.write import write_report
from payment_dr.side import SIDES, Side
from permission_proof.claims import SERVICE_CLAIMS
from permission_proof.proof import prove
from permission_proof.report import as_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("service")]

HOST = "app.payment-app.test"
EUROS = {"amount": 1250, "currency": "EUR"}


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployment]:
    """The example, applied once; its tests use payments of their own."""
    with (
        synthesized(PROJECT / "examples" / "payments_service" / "main.py") as out,
        Deployment(stack_dir=out / "stacks" / "payments-service") as deployment,
    ):
        deployment.apply()
        yield deployment


def test_every_right_of_the_service_is_needed_and_nothing_beside_it_is_granted(deployed: Deployment) -> None:
    """As make prove-permissions shows of the stack's own rights."""
    with deployed.branch() as branch:
        data = as_data(branch, prove(branch, claims=SERVICE_CLAIMS, owners=("service role", "service function")))
    assert data["gaps"] == []
    lines = [*data["rights"], *data["refused"], *data["neighbours"]]
    assert [line for line in lines if not line["proven"]] == []
    rights = {(line["role"], line["action"]) for line in data["rights"] if not line["condition"]}
    assert rights == {
        (f"service {what}, {side}: {sid}", action)
        for side in SIDES
        for what, sid, action in (
            ("role", "AssumedByItsFunction", "sts:AssumeRole"),
            ("role", "UseTable", "dynamodb:PutItem"),
            ("role", "UseTable", "dynamodb:GetItem"),
            ("role", "WriteOwnLog", "logs:CreateLogStream"),
            ("role", "WriteOwnLog", "logs:PutLogEvents"),
            ("function", "AllowPostPayments", "lambda:InvokeFunction"),
            ("function", "AllowGetPaymentsId", "lambda:InvokeFunction"),
        )
    }


class Client:
    """Calls a region by the name that clients use, and verifies its certificate."""

    def __init__(self, deployment: Deployment, domains: CustomDomains) -> None:
        self._regions = {side: deployment.region(side) for side in SIDES}
        self._domains, self._tls = domains, ssl.create_default_context(cadata=domains.authority)

    def call(self, side: Side, method: str, path: str, **request: Any) -> tuple[int, Any]:
        with urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            self._domains.ports[self._regions[side]],
            ssl_context=self._tls,
            server_hostname=HOST,
            assert_hostname=HOST,
            retries=False,
            timeout=120,
        ) as pool:
            headers = {"Host": HOST, **request.pop("headers", {})}
            answer = pool.request(method, path, headers=headers, **request)
        return answer.status, json.loads(answer.data)

    def pay(self, side: Side, key: str, payment: Any) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return self.call(side, "POST", "/payments", headers=headers, body=json.dumps(payment).encode())


@pytest.fixture(scope="module")
def client(deployed: Deployment) -> Iterator[Client]:
    with CustomDomains(deployed.aws, deployed.regions) as domains:
        yield Client(deployed, domains)


@pytest.mark.parametrize("side", SIDES)
def test_a_payment_is_taken_once_in_each_region_and_shown(client: Client, deployed: Deployment, side: Side) -> None:
    key = f"order-{side}"
    payment = {"id": key, **EUROS}
    assert client.pay(side, key, EUROS) == (201, payment)
    assert client.pay(side, key, EUROS) == (201, payment)
    status, said = client.pay(side, key, {**EUROS, "amount": 99})
    assert (status, said["existing"]) == (422, payment)
    assert client.call(side, "GET", f"/payments/{key}") == (200, payment)
    assert client.call(side, "GET", "/payments/nobody")[0] == 404
    item = {"transaction_id": {"S": key}, "timestamp": {"N": "0"}, "amount": {"N": "1250"}, "currency": {"S": "EUR"}}
    found = deployed.client("dynamodb", side).query(
        TableName=deployed.value("dynamodb_table_name"),
        KeyConditionExpression="transaction_id = :id",
        ExpressionAttributeValues={":id": {"S": key}},
    )
    assert found["Items"] == [item]


def test_what_one_region_has_taken_is_known_in_the_other_by_the_same_name(client: Client) -> None:
    assert client.pay("primary", "order-both", EUROS)[0] == 201
    eventually(
        lambda: client.call("secondary", "GET", "/payments/order-both")[0] == 200,
        "the payment is in the other region",
    )
    assert client.pay("secondary", "order-both", EUROS) == (201, {"id": "order-both", **EUROS})
    assert client.pay("secondary", "order-both", {**EUROS, "amount": 99})[0] == 422


def test_the_name_serves_health_and_the_routes_of_the_service_alone(client: Client) -> None:
    assert client.call("primary", "GET", "/health")[0] == 200
    for method, path in (("GET", "/payments"), ("DELETE", "/payments/order-primary"), ("POST", "/")):
        assert client.call("primary", method, path)[0] == 404


@pytest.mark.parametrize("side", SIDES)
def test_the_function_may_write_and_read_items_of_its_own_table_alone(deployed: Deployment, side: Side) -> None:
    iam = deployed.client("iam", "primary")
    name = deployed.value(f"{side}_service_function_name")
    role = deployed.client("lambda", side).get_function(FunctionName=name)["Configuration"]["Role"].rpartition("/")[2]
    (attached,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == []
    version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
    statements = {each["Sid"]: each for each in document["Statement"]}
    assert statements.keys() == {"WriteOwnLog", "UseTable"}
    table = "dynamodb_table_arn" if side == "primary" else "dynamodb_replica_arn"
    assert sorted(statements["UseTable"]["Action"]) == ["dynamodb:GetItem", "dynamodb:PutItem"]
    assert statements["UseTable"]["Resource"] == deployed.value(table)


def test_without_the_permission_of_a_route_api_gateway_does_not_invoke_the_function(deployed: Deployment) -> None:
    with deployed.branch() as branch, CustomDomains(branch.aws, branch.regions) as domains:
        calls = Client(branch, domains)
        branch.client("lambda", "primary").remove_permission(
            FunctionName=branch.value("primary_service_function_name"), StatementId="AllowPostPayments"
        )
        assert calls.pay("primary", "order-1", EUROS)[0] == 500
        assert calls.call("primary", "GET", "/payments/order-1")[0] == 404  # its own permission is there
        assert calls.pay("secondary", "order-1", EUROS)[0] == 201


def test_payments_through_the_service_fail_over_and_back_with_the_name(deployed: Deployment, tmp_path: Path) -> None:
    with deployed.branch() as branch, place_of(branch, 7, service=True) as place:
        journal = Drill(place, "region", seed=7, directory=tmp_path).run()
    found = journal.content
    assert (found["verdict"], found["causes"]) == ("passed", [])
    assert found["load"] == {"way": "service", "to": HOST, "confirms": False}
    assert SERVICE_IS_REAL in found["made_of"]["real"]
    assert WRITES_ARE_REAL not in found["made_of"]["real"]
    answers = [event["region"] for event in found["events"] if event["kind"] == "answer"]
    assert answers == ["us-east-1", "us-west-2", "us-east-1"]
    # The service acknowledges what one region has: what had not left it in time is back after the recovery.
    local, confirmed = found["rpo"]["local"], found["rpo"]["confirmed"]
    assert local["missing_at_switch"] != []
    assert (local["missing_after_recovery"], confirmed["missing_after_recovery"]) == ([], [])
    assert confirmed["missing_at_switch"] == []
    assert confirmed["acknowledged"] >= clients.RUSH_ACKNOWLEDGED
    assert (found["after"]["items"]["different"], found["after"]["written_twice"]) == ([], [])
    # On a busy machine the answer to a payment may come too late for its client: its item is there, unacknowledged.
    unanswered = found["after"]["items"]["primary"] - local["acknowledged_in_all"] - confirmed["acknowledged_in_all"]
    assert 0 <= unanswered <= sum(event["failed"] for event in found["events"] if event["kind"] == "transactions")
    page = write_report(journal.path)[0].read_text(encoding="utf-8")
    assert "Load: POST /payments to app.payment-app.test over TLS" in page
    assert "acknowledged by the service, after its write in one region" in page


def test_the_second_plan_is_empty(deployed: Deployment) -> None:
    assert deployed.plan().actions == {}
