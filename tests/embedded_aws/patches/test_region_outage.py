import contextlib
import http.client
import json
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws import EmbeddedAws, EmbeddedAwsError
from embedded_aws.patches import region_outage
from embedded_aws.server import Fault
from tests.embedded_aws.tenant import Tenant, allow, get, signed, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 200, "body": "here"}
"""


LISTS_TABLES = """
    import boto3
    from botocore.config import Config

    def handler(event, context):
        once = Config(read_timeout=event["seconds"], retries={"total_max_attempts": 1})
        try:
            boto3.client("dynamodb", region_name=event["region"], config=once).list_tables()
        except Exception as error:
            return type(error).__name__
        return "served"
"""


ASKS_OTHERS = """
    import urllib.request
    import boto3
    from botocore.config import Config

    def said(call):
        try:
            call()
        except Exception as error:
            return type(error).__name__
        return "served"

    def answers(region, url, seconds):
        once = Config(read_timeout=seconds, retries={"total_max_attempts": 1})
        database = boto3.client("dynamodb", region_name=region, config=once)
        return [said(database.list_tables), said(lambda: urllib.request.urlopen(url, timeout=seconds))]

    def handler(event, context):
        return {region: answers(region, *asked) for region, asked in event.items()}
"""

SERVED, SILENCE = ["served", "served"], ["ReadTimeoutError", "TimeoutError"]
SILENT, SLOW = 1, 15  # seconds that a function waits for what must not answer, and for what must, on a busy machine too


@pytest.fixture(scope="module")
def failing_aws() -> Iterator[EmbeddedAws]:
    """One of its own: other tests need their regions."""
    with EmbeddedAws() as running:
        yield running


@contextlib.contextmanager
def half_a_call(account: Tenant) -> Iterator[http.client.HTTPConnection]:
    """A call of DynamoDB in us-east-1 whose body of two bytes is still to be sent."""
    target = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
    headers = {**signed(account, "dynamodb", "{}", target), "Content-Length": "2"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", account.aws.port, timeout=120)) as connection:
        connection.request("POST", "/", headers=headers)
        account.aws.failed_regions()  # answered by the same loop after this much was taken
        yield connection


@contextlib.contextmanager
def hanging_call(account: Tenant) -> Iterator[http.client.HTTPConnection]:
    """A call of DynamoDB in us-east-1 that the emulator has taken; its answer can be waited for."""
    with half_a_call(account) as connection:
        connection.send(b"{}")
        account.aws.failed_regions()
        yield connection


def status_of(call: Any) -> int:
    try:
        status: int = call()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def api_of(account: Tenant, function: str, region: str = "us-east-1") -> str:
    """URL of an HTTP API in front of this function."""
    api_id = account.http_api(function, unique(region), region)
    source = f"arn:aws:execute-api:{region}:{account.account_id}:{api_id}/*/*"
    account.let_in(function, "apigateway.amazonaws.com", source, region)
    return account.aws.execute_api_url(api_id, "/health")


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


def test_calls_are_counted_for_the_region_that_they_are_signed_for(failing_aws: EmbeddedAws) -> None:
    before = {region: failing_aws.signed_calls(region) for region in ("us-east-1", "us-west-2")}
    failing_aws.client("ssm", "us-west-2").describe_parameters()
    with failing_aws.region_outage("us-west-2"), pytest.raises(ClientError):
        failing_aws.client("ssm", "us-west-2").describe_parameters()
    Tenant(failing_aws).client("ssm", "us-west-2").describe_parameters()  # of somebody else
    after = {region: failing_aws.signed_calls(region) for region in before}
    assert after == {"us-east-1": before["us-east-1"], "us-west-2": before["us-west-2"] + 2}


def test_an_api_answers_from_its_own_region(failing_aws: EmbeddedAws) -> None:
    account = Tenant(failing_aws, failing_aws.account_id)
    urls = {
        region: api_of(account, account.function(ANSWERS, name=unique(region), region=region), region)
        for region in ("us-east-1", "us-west-2")
    }

    with failing_aws.region_outage("us-east-1"):
        assert {region: get(url).status for region, url in urls.items()} == {"us-east-1": 503, "us-west-2": 200}
    assert get(urls["us-east-1"]).status == 200


def test_a_refused_call_leaves_its_connection_usable(account: Tenant) -> None:
    with account.aws.region_outage("us-east-1"), half_a_call(account) as connection:
        connection.send(b"{}")
        answer = connection.getresponse()
        answer.read()
        secret = f"Bearer {account.aws.secret_access_key}"
        connection.request("GET", "/_fault", headers={"Authorization": secret})

        assert (answer.status, connection.getresponse().status) == (503, 200)


def test_a_hanging_region_answers_nothing_until_the_client_gives_up(account: Tenant) -> None:
    with account.aws.region_outage("us-east-1", kind="hang"):
        with hanging_call(account) as call:
            call.sock.settimeout(1)
            with pytest.raises(TimeoutError):
                call.getresponse()

        assert account.client("dynamodb", "us-west-2").list_tables()["TableNames"] == []

    assert account.client("dynamodb", "us-east-1").list_tables()["TableNames"] == []
    assert "Traceback" not in account.aws.log_text()


def test_a_hanging_region_can_be_restored_and_then_refuses_who_still_waits(account: Tenant) -> None:
    account.aws.fail_region("us-east-1", kind="hang")
    with hanging_call(account) as call:
        account.aws.restore_region("us-east-1")

        assert call.getresponse().status == 503
    assert account.client("dynamodb", "us-east-1").list_tables()["TableNames"] == []


def test_a_fault_takes_the_place_of_one_like_it(account: Tenant) -> None:
    account.aws.fail_region("us-east-1", kind="hang")
    with hanging_call(account) as call, account.aws.region_outage("us-east-1", kind="error"):
        assert call.getresponse().status == 503
        assert status_of(account.client("dynamodb", "us-east-1").list_tables) == 503


def test_an_emulator_stops_while_calls_hang() -> None:
    with EmbeddedAws() as aws:
        aws.fail_region("us-east-1", kind="hang")
        with hanging_call(Tenant(aws)) as call:
            aws.stop()
            with pytest.raises(ConnectionError):
                call.getresponse()


@pytest.mark.parametrize("service", [None, "ssm"])
def test_a_share_of_the_calls_fails_the_same_ones_for_a_seed(account: Tenant, service: str | None) -> None:
    fault: Fault = {"share": 0.3, "seed": 7, "service": service}
    ssm, drawn = account.client("ssm", "us-east-1"), Random(7)  # noqa: S311 - the emulator's
    expected = [503 if drawn.random() < 0.3 else 200 for _ in range(30)]

    for _ in range(2):
        with account.aws.region_outage("us-east-1", **fault):
            assert [status_of(ssm.describe_parameters) for _ in range(30)] == expected
    assert {200, 503} == set(expected)


def test_a_service_can_fail_alone(account: Tenant) -> None:
    with account.aws.region_outage("us-east-1", service="dynamodb"):
        assert status_of(account.client("dynamodb", "us-east-1").list_tables) == 503
        assert status_of(account.client("ssm", "us-east-1").describe_parameters) == 200
        assert status_of(account.client("dynamodb", "us-west-2").list_tables) == 200


def test_operations_of_a_service_can_fail_alone(account: Tenant) -> None:
    dynamodb = account.client("dynamodb", "us-east-1")
    with account.aws.region_outage("us-east-1", service="dynamodb", operations=["GetItem", "Query"]):
        item = {"TableName": "orders", "Key": {"id": {"S": "1"}}}
        query = {"TableName": "orders", "KeyConditionExpression": "id = :id"}
        assert [status_of(lambda: dynamodb.get_item(**item)), status_of(lambda: dynamodb.query(**query))] == [503, 503]
        assert status_of(dynamodb.list_tables) == 200
        assert status_of(lambda: dynamodb.describe_table(TableName="orders")) == 400  # there is none: it was asked
        assert status_of(lambda: account.client("dynamodb", "us-west-2").get_item(**item)) == 400
    assert status_of(lambda: dynamodb.get_item(**item)) == 400


def test_all_but_spared_operations_of_several_services_can_fail(account: Tenant) -> None:
    account.function(ANSWERS)
    clients = {name: account.client(name, "us-east-1") for name in ("dynamodb", "lambda", "ssm", "sns")}
    item = {"TableName": "orders", "Key": {"id": {"S": "1"}}}
    calls = {
        "a read of an item": lambda: clients["dynamodb"].get_item(**item),
        "a look at a table": lambda: clients["dynamodb"].describe_table(TableName="orders"),
        "a run of a function": lambda: clients["lambda"].invoke(FunctionName="function"),
        "a look at functions": clients["lambda"].list_functions,
        "a value": lambda: clients["ssm"].get_parameter(Name="/none"),
        "a new value": lambda: clients["ssm"].put_parameter(Name="/new", Value="1", Type="String"),
        "another service": clients["sns"].list_topics,
    }
    spared = ["GetItem", "Invoke", "GetParameter"]
    with account.aws.region_outage("us-east-1", service=["dynamodb", "lambda", "ssm"], spared=spared):
        found = {name: status_of(call) for name, call in calls.items()}
    served = {"a read of an item": 400, "a run of a function": 200, "a value": 400, "another service": 200}
    assert found == {name: served.get(name, 503) for name in calls}
    assert status_of(calls["a look at functions"]) == 200


def test_a_service_of_which_operations_fail_is_not_down() -> None:
    """What replicates on its own goes on."""
    query = urllib.parse.urlencode({"service": "dynamodb", "operations": "GetItem"})
    [service], some = region_outage._read_fault(query)
    _, most = region_outage._read_fault("service=dynamodb&spared=GetItem")
    _, unresolved = region_outage._read_fault("service=dynamodb&kind=unresolved")
    _, whole = region_outage._read_fault("service=dynamodb")
    found = []
    for fault in (some, most, unresolved, whole):
        region_outage._faults["us-east-1"] = {service: fault}
        try:
            found.append(region_outage.is_down("us-east-1", "dynamodb"))
        finally:
            del region_outage._faults["us-east-1"]
    assert found == [False, False, False, True]


@pytest.mark.parametrize(("kind", "seen"), [("error", "ClientError"), ("hang", "ReadTimeoutError")])
def test_a_function_sees_that_the_database_of_its_region_is_down(account: Tenant, kind: Any, seen: str) -> None:
    account.function(LISTS_TABLES, allow("dynamodb:ListTables", "*"))

    def lists_tables(region: str, seconds: int = SLOW) -> str:
        payload = json.dumps({"region": region, "seconds": seconds})
        answer = account.client("lambda", "us-east-1").invoke(FunctionName="function", Payload=payload)
        found: str = json.load(answer["Payload"])
        return found

    with account.aws.region_outage("us-east-1", service="dynamodb", kind=kind):
        assert lists_tables("us-east-1", SILENT if kind == "hang" else SLOW) == seen
        assert lists_tables("us-west-2") == "served"
    assert lists_tables("us-east-1") == "served"


def test_a_cut_link_stops_what_functions_ask_of_another_region_and_nobody_else(failing_aws: EmbeddedAws) -> None:
    account, cut_off = Tenant(failing_aws, failing_aws.account_id), "us-east-1"
    regions = (cut_off, "us-west-2", "eu-west-1")
    urls = {r: api_of(account, account.function(ANSWERS, name=unique(r), region=r), r) for r in regions}
    asking = unique("asking")
    for region in regions:
        account.function(ASKS_OTHERS, allow("dynamodb:ListTables", "*"), name=f"{asking}-{region}", region=region)

    def asked_from(region: str, silent: Sequence[str] = ()) -> dict[str, list[str]]:
        payload = json.dumps({r: (urls[r], SILENT if r in silent else SLOW) for r in regions})
        answer = account.client("lambda", region).invoke(FunctionName=f"{asking}-{region}", Payload=payload)
        answers: dict[str, list[str]] = json.load(answer["Payload"])
        return answers

    with failing_aws.region_outage(cut_off, kind="cut"):
        for region in regions:
            silent = [each for each in regions if region != each and cut_off in (region, each)]
            reached = {each: SILENCE if each in silent else SERVED for each in regions}
            assert asked_from(region, silent) == reached
        assert [get(url).status for url in urls.values()] == [200] * 3
        assert [status_of(account.client("dynamodb", each).list_tables) for each in regions] == [200] * 3
    assert asked_from("us-east-1") == dict.fromkeys(regions, SERVED)


def test_apis_can_fail_alone(failing_aws: EmbeddedAws) -> None:
    account = Tenant(failing_aws, failing_aws.account_id)
    name = unique("api")
    url = api_of(account, account.function(ANSWERS, name=name))

    with failing_aws.region_outage("us-east-1", service="execute-api"):
        assert get(url).status == 503
        answer = account.client("lambda", "us-east-1").invoke(FunctionName=name)
        assert json.load(answer["Payload"])["body"] == "here"
    assert get(url).status == 200


def test_faults_of_a_region_add_up_and_are_lifted_together(account: Tenant) -> None:
    calls = [account.client("ssm", "us-east-1").describe_parameters, account.client("sns", "us-east-1").list_topics]
    for service in ("ssm", "sns"):
        account.aws.fail_region("us-east-1", service=service)

    assert [status_of(call) for call in calls] == [503, 503]
    account.aws.restore_region("us-east-1")
    assert [status_of(call) for call in calls] == [200, 200]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "explode"},
        {"share": 0},
        {"share": 1.1},
        {"seed": "a"},
        {"sort": "hang"},
        {"operations": ["GetItem"]},  # of no service
        {"spared": ["GetItem"]},
        {"kind": "unresolved"},
        {"kind": "cut", "service": "ssm"},
        {"kind": "cut", "share": 0.5},
    ],
)
def test_what_is_no_fault_is_refused(failing_aws: EmbeddedAws, fault: Any) -> None:
    with pytest.raises(EmbeddedAwsError, match="rejected PUT /_fault/us-east-1"):
        failing_aws.fail_region("us-east-1", **fault)

    assert failing_aws.failed_regions() == []


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
    region_outage._faults = {region: {None: region_outage._read_fault("")[1]}}
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
        secret = {"Authorization": f"Bearer {failing_aws.secret_access_key}"}
        assert get(f"{failing_aws.endpoint_url}/_ministack/health", secret).status == 200


def test_upstream_still_knows_no_outage(unpatched_aws: EmbeddedAws) -> None:
    with pytest.raises(EmbeddedAwsError, match="rejected PUT /_fault"):  # if it does: region_outage may go
        unpatched_aws.fail_region("us-east-1")
