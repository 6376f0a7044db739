"""A branch has all that its origin has, and from then on neither knows of the other."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from embedded_aws import EmbeddedAws, EmbeddedAwsError
from embedded_aws.server import BRANCH_PATH, HEALTH_PATH, at_new_port
from tests.embedded_aws.processes import REPOSITORY, listens, runs, start_owner
from tests.embedded_aws.tenant import Tenant, allow, eventually, get
from tests.embedded_aws.test_server import hanging_function

EAST, WEST = "us-east-1", "us-west-2"
ACCOUNT = "111122223333"

ANSWERS = """
    import os

    def handler(event, context):
        body = os.environ["AWS_ENDPOINT_URL"]
        place = {"tmp": os.environ["TMPDIR"], "code": os.getcwd()}
        return {"statusCode": 200, "body": body, "pid": os.getpid(), **place}
"""
# Rules fire every second, though none may more often than once a minute, and functions become active in four.
OWN_TIMES = """
from embedded_aws import emulator
from ministack.services import eventbridge, lambda_svc
eventbridge._SCHEDULER_TICK_INTERVAL = 0.05
eventbridge._parse_rate_seconds = lambda expression: 1
lambda_svc._LAMBDA_STATE_TRANSITION_DELAY = 4
emulator.main()
"""
BRANCHES_AND_WAITS = """
import json, time
from embedded_aws import EmbeddedAws
from payment_dr.operations.command import ended_by_signals
from tests.embedded_aws.test_server import hanging_function

with ended_by_signals(), EmbeddedAws() as aws, aws.branch() as branch, branch.branch() as twig:
    started = [{"pid": one.pid, "port": one.port, "function": hanging_function(one)} for one in (aws, branch, twig)]
    print(json.dumps(started), flush=True)
    while True:
        time.sleep(0.05)
"""


class OwnTimesAws(EmbeddedAws):
    _command = (sys.executable, "-c", OWN_TIMES)


def state_of(pid: int) -> str:
    """``Z`` for a zombie, nothing for none."""
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()[:1]


@functools.cache
def client_at(aws: EmbeddedAws, port: int, service: str, region: str) -> Any:
    return aws.client(service, region)


def client(aws: EmbeddedAws, service: str, region: str = EAST) -> Any:
    """A client of the account's root; to make one takes longer than most calls."""
    return client_at(aws, aws.port, service, region)


def impatient(aws: EmbeddedAws, service: str, region: str = EAST) -> Any:
    """A client that gives up after a second."""
    session: Any = boto3.session.Session()  # the stubs know a client by its literal name only
    return session.client(
        service,
        region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key=aws.secret_access_key,
        config=Config(read_timeout=1, retries={"total_max_attempts": 1}),
    )


def invoke(aws: EmbeddedAws, function: str = "answers") -> Any:
    answer = client(aws, "lambda").invoke(FunctionName=function, Payload=b"{}")
    return json.loads(answer["Payload"].read())


class World:
    """An embedded AWS with something of many services in it, all in one account."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.account = Tenant(aws, ACCOUNT)
        self.aws = aws
        client = self.account.client
        self._make_tables()
        self._make_buckets()
        for value in ("one", "two"):
            client("ssm").put_parameter(Name="/app/setting", Value=value, Type="SecureString", Overwrite=True)
        self.key = client("kms").create_key()["KeyMetadata"]["Arn"]
        self.secret = client("kms").encrypt(KeyId=self.key, Plaintext=b"attack at dawn")["CiphertextBlob"]
        signing_key = client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        self.signed = {"KeyId": signing_key, "Message": b"attack", "SigningAlgorithm": "ECDSA_SHA_256"}
        self.signature = client("kms").sign(**self.signed)["Signature"]
        client("iam").create_user(UserName="auditor")
        document = {"Version": "2012-10-17", "Statement": [allow("s3:ListAllMyBuckets", "*")]}
        client("iam").put_user_policy(UserName="auditor", PolicyName="p", PolicyDocument=json.dumps(document))
        self.user = client("iam").create_access_key(UserName="auditor")["AccessKey"]
        self.role = self.account.role(allow("ssm:GetParameter", "*")).credentials
        function = self.account.function(ANSWERS, name="answers")
        client("lambda").update_function_configuration(
            FunctionName="answers", Environment={"Variables": {"CALLS": f"{aws.endpoint_url}/x"}}
        )
        assert eventually(lambda: is_ready(aws, "answers"))  # not while somebody looks at it
        self.api = self.account.http_api(function, "health")
        self.account.let_in(function, "apigateway.amazonaws.com", f"arn:aws:execute-api:{EAST}:{ACCOUNT}:{self.api}/*")
        self.queue, queue_arn = self.account.queue("mail", {**allow("sqs:SendMessage", "*"), "Principal": "*"})
        self.topic = client("sns").create_topic(Name="alerts")["TopicArn"]
        client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue_arn)
        self.zone = client("route53").create_hosted_zone(Name="app.test", CallerReference="1")["HostedZone"]["Id"]
        record = {"Name": "www.app.test", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        client("route53").change_resource_record_sets(
            HostedZoneId=self.zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
        )
        client("events").put_rule(Name="changes", EventPattern='{"source": ["shop"]}')
        client("cloudwatch").put_metric_alarm(
            AlarmName="errors",
            Namespace="App",
            MetricName="Errors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            AlarmActions=[self.topic],
        )
        client("cloudwatch").put_metric_data(Namespace="App", MetricData=[{"MetricName": "Errors", "Value": 1}])
        client("logs").create_log_group(logGroupName="/app")

    def _make_tables(self) -> None:
        east = self.account.client("dynamodb")
        east.create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        east.update_table(TableName="ledger", ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
        for name in ("a", "b"):
            put(self.aws, name)

    def _make_buckets(self) -> None:
        s3 = self.account.client("s3")
        s3.create_bucket(Bucket="documents")
        self.account.client("s3", WEST).create_bucket(
            Bucket="documents-copy", CreateBucketConfiguration={"LocationConstraint": WEST}
        )
        for bucket in ("documents", "documents-copy"):
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        rule = {
            "ID": "all",
            "Priority": 1,
            "Status": "Enabled",
            "Filter": {},
            "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": "arn:aws:s3:::documents-copy"},
        }
        role = self.account.role_for(
            {"Service": "s3.amazonaws.com"},
            allow(
                [
                    "s3:GetReplicationConfiguration",
                    "s3:ListBucket",
                    "s3:GetObjectVersionForReplication",
                    "s3:GetObjectVersionAcl",
                    "s3:GetObjectVersionTagging",
                    "s3:ReplicateObject",
                    "s3:ReplicateDelete",
                    "s3:ReplicateTags",
                ],
                "*",
            ),
            name="replication",
        )
        s3.put_bucket_replication(Bucket="documents", ReplicationConfiguration={"Role": role, "Rules": [rule]})
        for body in (b"first", b"second"):
            write(self.aws, body)


def put(aws: EmbeddedAws, name: str, region: str = EAST) -> None:
    client(aws, "dynamodb", region).put_item(TableName="ledger", Item={"id": {"S": name}})


def items(aws: EmbeddedAws, region: str = EAST) -> set[str]:
    found = client(aws, "dynamodb", region).scan(TableName="ledger", ConsistentRead=True)["Items"]
    return {item["id"]["S"] for item in found}


def stream_records(aws: EmbeddedAws) -> list[tuple[str, str]]:
    arn = client(aws, "dynamodb").describe_table(TableName="ledger")["Table"]["LatestStreamArn"]
    streams = client(aws, "dynamodbstreams")
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    start = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    records = streams.get_records(ShardIterator=start)["Records"]
    return [(record["eventID"], record["dynamodb"]["SequenceNumber"]) for record in records]


def bodies(aws: EmbeddedAws, bucket: str) -> list[tuple[str, bytes]]:
    s3 = client(aws, "s3")
    versions = s3.list_object_versions(Bucket=bucket).get("Versions", [])
    return [
        (each["VersionId"], s3.get_object(Bucket=bucket, Key="letter", VersionId=each["VersionId"])["Body"].read())
        for each in versions
    ]


def write(aws: EmbeddedAws, body: bytes) -> None:
    """A new version, once the other bucket has it."""
    client(aws, "s3").put_object(Bucket="documents", Key="letter", Body=body)
    assert eventually(lambda: body in [copied for _, copied in bodies(aws, "documents-copy")])


def is_ready(aws: EmbeddedAws, function: str) -> bool:
    found = client(aws, "lambda").get_function_configuration(FunctionName=function)
    return bool((found["State"], found["LastUpdateStatus"]) == ("Active", "Successful"))


def metric_sums(aws: EmbeddedAws) -> list[float]:
    day = timedelta(days=1)
    points = client(aws, "cloudwatch").get_metric_statistics(
        Namespace="App",
        MetricName="Errors",
        StartTime=datetime.now(UTC) - day,
        EndTime=datetime.now(UTC) + day,
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return [point["Sum"] for point in points]


def body_of(answer: Any) -> Any:
    """An answer of boto3 without what belongs to the call: its id and its time."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


Read = Callable[[World, EmbeddedAws], Any]


def read(service: str, operation: str, region: str = EAST, **arguments: Any) -> Read:
    return lambda _, aws: body_of(getattr(client(aws, service, region), operation)(**arguments))


READS: dict[str, Read] = {
    "items": lambda _, aws: (sorted(items(aws)), sorted(items(aws, WEST))),
    "global table": read("dynamodb", "describe_table", TableName="ledger"),
    "stream": lambda _, aws: stream_records(aws),
    "versions of an object": lambda _, aws: bodies(aws, "documents"),
    "versions of a replica": lambda _, aws: bodies(aws, "documents-copy"),
    "replication": read("s3", "get_bucket_replication", Bucket="documents"),
    "parameter history": read("ssm", "get_parameter_history", Name="/app/setting", WithDecryption=True),
    "keys": read("kms", "list_keys"),
    "key": lambda world, aws: read("kms", "describe_key", KeyId=world.key)(world, aws),
    "function": read("lambda", "get_function_configuration", FunctionName="answers"),
    "permission": read("lambda", "get_policy", FunctionName="answers"),
    "rule": read("events", "describe_rule", Name="changes"),
    "queue": read("sqs", "list_queues"),
    "subscriptions": read("sns", "list_subscriptions"),
    "roles": read("iam", "list_roles"),
    "user": read("iam", "get_user_policy", UserName="auditor", PolicyName="p"),
    "access keys": read("iam", "list_access_keys", UserName="auditor"),
    "zone": lambda world, aws: read("route53", "list_resource_record_sets", HostedZoneId=world.zone)(world, aws),
    "alarm": read("cloudwatch", "describe_alarms"),
    "metric": lambda _, aws: metric_sums(aws),
    "API": read("apigatewayv2", "get_apis"),
    "logs": read("logs", "describe_log_groups"),
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """What nobody may change: branches are for that."""
    with EmbeddedAws(account_id=ACCOUNT) as aws:
        yield World(aws)


@pytest.fixture
def branch(world: World) -> Iterator[EmbeddedAws]:
    with world.aws.branch() as branch:
        yield branch


@pytest.fixture
def temporary_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where everything temporary of a test goes, so that it can be seen to be empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_branch_has_what_its_origin_has_to_the_letter(world: World, branch: EmbeddedAws) -> None:
    there = {name: repr(look(world, world.aws)) for name, look in READS.items()}
    here = {name: repr(look(world, branch)) for name, look in READS.items()}
    assert here == {name: at_new_port(text, world.aws.port, branch.port) for name, text in there.items()}
    assert min(map(len, there.values())) > 2  # there is something in each


def test_no_address_of_the_origin_is_in_it(world: World, branch: EmbeddedAws) -> None:
    seen = {name: repr(look(world, branch)) for name, look in READS.items()}
    assert [name for name, text in seen.items() if f":{world.aws.port}" in text] == []
    for name in ("function", "queue", "API"):
        assert f":{branch.port}" in seen[name]
    endpoint = read("apigatewayv2", "get_api", ApiId=world.api)(world, branch)["ApiEndpoint"]
    assert endpoint == f"http://{world.api}.execute-api.localhost:{branch.port}"
    made = client(branch, "apigatewayv2").create_api(Name="new", ProtocolType="HTTP")
    assert made["ApiEndpoint"] == f"http://{made['ApiId']}.execute-api.localhost:{branch.port}"


MOVES_EVERYTHING = """
from collections import OrderedDict, deque, namedtuple
from embedded_aws import branch
from ministack import app

class State:
    __module__ = "ministack.state"
    __slots__ = ("slot", "unset", "__dict__")

class Foreign:
    url = "http://localhost:4012"

Pair = namedtuple("Pair", "name url")
url = "http://localhost:4012"
state = State()
state.slot, state.attribute, state.itself = url, (url, [url]), state
state.foreign = Foreign()
app.state = {
    "order": OrderedDict([(url, 1), ("b", url)]), ("a", url): Pair("a", url), "set": {url}, "frozen": frozenset([url]),
    "queue": deque([url]), "bytes": url.encode(), "path": "/old/s3", "state": state,
}
app.STATE_PORT, app.STATE_NUMBER = "4012", "4012"
branch._Move(branch._Place(4012, "/old"), branch._Place(5000, "/new")).everything()
print([*app.state.items()][:-1])
print(state.slot, state.attribute, state.itself is state, state.foreign.url, app.STATE_PORT, app.STATE_NUMBER)
"""


def test_an_address_is_moved_in_values_of_every_kind() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MOVES_EVERYTHING], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    url = "http://localhost:5000"
    items = [
        ("order", f"OrderedDict([('{url}', 1), ('b', '{url}')])"),
        (("a", url), f"Pair(name='a', url='{url}')"),
        ("set", f"{{'{url}'}}"),
        ("frozen", f"frozenset({{'{url}'}})"),
        ("queue", f"deque(['{url}'])"),
        ("bytes", "b'http://localhost:4012'"),
        ("path", "'/new/s3'"),
    ]
    expected = ", ".join(f"({key!r}, {text})" for key, text in items)
    assert ran.stdout.splitlines() == [
        f"[{expected}]",
        f"{url} ('{url}', ['{url}']) True http://localhost:4012 5000 4012",
    ]


def test_its_functions_run_in_it(world: World) -> None:
    there = invoke(world.aws)
    with world.aws.branch() as branch:
        here = invoke(branch)
        assert (there["body"], here["body"]) == (world.aws.endpoint_url, branch.endpoint_url)
        assert there["pid"] != here["pid"]
        assert there["tmp"] != here["tmp"]
        assert here["code"].startswith(here["tmp"])
        assert get(branch.execute_api_url(world.api, "/health")).body == branch.endpoint_url
    assert invoke(world.aws)["pid"] == there["pid"]  # the origin keeps its warm function


def test_its_keys_decrypt_and_verify_what_was_encrypted_and_signed_before(world: World, branch: EmbeddedAws) -> None:
    kms = client(branch, "kms")
    assert kms.decrypt(CiphertextBlob=world.secret)["Plaintext"] == b"attack at dawn"
    assert kms.verify(Signature=world.signature, **world.signed)["SignatureValid"]
    ssm = client(branch, "ssm")
    assert ssm.get_parameter(Name="/app/setting", WithDecryption=True)["Parameter"]["Value"] == "two"


def test_its_users_and_sessions_sign_as_before(world: World, branch: EmbeddedAws) -> None:
    user = {"AccessKeyId": world.user["AccessKeyId"], "SecretAccessKey": world.user["SecretAccessKey"]}
    assert len(branch.client("s3", EAST, user).list_buckets()["Buckets"]) == 2
    with pytest.raises(ClientError, match="AccessDenied"):
        branch.client("dynamodb", EAST, user).list_tables()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        branch.client("s3", EAST, {**user, "SecretAccessKey": "guessed"}).list_buckets()
    assert branch.client("ssm", EAST, world.role).get_parameter(Name="/app/setting")["Parameter"]["Version"] == 2
    with pytest.raises(ClientError, match="AccessDenied"):
        branch.client("s3", EAST, world.role).list_buckets()


def test_what_it_has_is_connected_in_it_as_it_was(world: World, branch: EmbeddedAws) -> None:
    """An alarm reaches a topic, the topic a queue; writes and objects reach the other region."""
    account = Tenant(branch, ACCOUNT)
    account.client("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="try")
    url = account.client("sqs").get_queue_url(QueueName="mail")["QueueUrl"]
    assert "errors" in account.receive(url)["Body"]
    put(branch, "c")
    assert items(branch, WEST) == {"a", "b", "c"}
    assert len(stream_records(branch)) == len(stream_records(world.aws)) + 1
    write(branch, b"third")


def change(aws: EmbeddedAws) -> None:
    """Something new in each service."""
    put(aws, "new")
    write(aws, b"new")
    client(aws, "s3").delete_bucket_replication(Bucket="documents")
    client(aws, "ssm").put_parameter(Name="/app/setting", Value="new", Type="SecureString", Overwrite=True)
    client(aws, "kms").create_key()
    client(aws, "lambda").update_function_configuration(FunctionName="answers", Description="new")
    assert eventually(lambda: is_ready(aws, "answers"))
    client(aws, "events").disable_rule(Name="changes")
    client(aws, "sqs").create_queue(QueueName="new")
    client(aws, "sns").subscribe(
        TopicArn=f"arn:aws:sns:{EAST}:{ACCOUNT}:alerts", Protocol="email", Endpoint="new@app.test"
    )
    client(aws, "iam").create_role(RoleName="new", AssumeRolePolicyDocument='{"Statement": []}')
    client(aws, "iam").create_access_key(UserName="auditor")
    client(aws, "cloudwatch").delete_alarms(AlarmNames=["errors"])
    client(aws, "cloudwatch").put_metric_data(Namespace="App", MetricData=[{"MetricName": "Errors", "Value": 1}])
    client(aws, "apigatewayv2").create_api(Name="new", ProtocolType="HTTP")
    client(aws, "logs").create_log_group(logGroupName="/new")


CHANGED = {
    *("items", "stream", "versions of an object", "versions of a replica", "replication", "parameter history"),
    *("keys", "function", "rule", "queue", "subscriptions", "roles", "access keys", "alarm", "metric", "API", "logs"),
}


def everything(world: World, aws: EmbeddedAws) -> dict[str, str]:
    def look(name: str) -> str:
        try:
            return repr(READS[name](world, aws))
        except ClientError as error:
            return str(error)

    return {name: look(name) for name in READS}


def test_a_write_in_one_is_never_seen_in_another(world: World) -> None:
    with world.aws.branch() as origin, origin.branch() as one, origin.branch() as other, one.branch() as twig:
        for writing in (origin, one, other, twig):
            silent = [each for each in (world.aws, origin, one, other, twig) if each is not writing]
            before, had = [everything(world, each) for each in silent], everything(world, writing)
            change(writing)
            has = everything(world, writing)
            assert {name for name in READS if has[name] != had[name]} >= CHANGED
            assert [everything(world, each) for each in silent] == before


def test_a_branch_has_what_came_before_it_and_nothing_after(world: World) -> None:
    with world.aws.branch() as origin:
        put(origin, "before")
        with origin.branch() as branch:
            put(origin, "after")
            assert items(branch) == {"a", "b", "before"}
            assert items(origin) == {"a", "b", "before", "after"}


def test_it_outlives_its_origin_and_can_be_branched_itself(world: World) -> None:
    origin = world.aws.branch()
    branch = origin.branch()
    origin.stop()
    assert not listens(origin.port)
    with branch:
        put(branch, "c")
        with branch.branch() as twig:
            branch.stop()
            put(twig, "d")
            assert items(twig) == {"a", "b", "c", "d"}
            assert invoke(twig)["body"] == twig.endpoint_url
            twig.alive()


def test_nothing_is_left_of_it_and_its_origin_goes_on(world: World, temporary_directory: Path) -> None:
    with world.aws.branch() as branch:
        pid, port, function = branch.pid, branch.port, hanging_function(branch)
        assert os.getpgid(function) == pid != os.getpgid(world.aws.pid)
        assert len(list(temporary_directory.iterdir())) == 1

    assert not listens(port)
    assert eventually(lambda: state_of(pid) == state_of(function) == "")  # not a zombie either
    assert list(temporary_directory.iterdir()) == []
    assert items(world.aws) == {"a", "b"}


def test_its_log_begins_with_it_and_can_be_read_afterwards(world: World) -> None:
    with world.aws.branch() as branch:
        client(branch, "ssm").put_parameter(Name="/during", Value="1", Type="String")
    assert "/during" in branch.log_text()
    assert "/during" not in world.aws.log_text()
    assert "/app/setting" not in branch.log_text()


def test_its_death_is_noticed_and_cleaned_up(world: World, temporary_directory: Path) -> None:
    with world.aws.branch() as branch:
        port, function = branch.port, hanging_function(branch)
        os.kill(branch.pid, signal.SIGKILL)
        assert eventually(lambda: not listens(port))
        with pytest.raises(EmbeddedAwsError, match="ended by itself as a branch") as died:
            eventually(branch.alive)
        assert died.value.hint
        assert eventually(lambda: not runs(function))
        assert list(temporary_directory.iterdir()) == []
    world.aws.alive()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=["SIGTERM", "Ctrl-C", "SIGKILL"]
)
def test_nothing_is_left_when_their_owner_ends(temporary_directory: Path, number: signal.Signals) -> None:
    with start_owner(BRANCHES_AND_WAITS, temporary_directory) as owner:
        assert owner.stdout is not None
        started = json.loads(owner.stdout.readline())
        assert all(runs(one["pid"]) and runs(one["function"]) for one in started)
        owner.send_signal(number)
        owner.wait(120)

    assert eventually(lambda: not any(runs(one["pid"]) or runs(one["function"]) for one in started))
    assert not any(listens(one["port"]) for one in started)
    assert eventually(lambda: list(temporary_directory.iterdir()) == [])


def test_it_listens_on_the_port_that_was_asked_for(world: World) -> None:
    with world.aws.branch() as first:
        port = first.port
    with world.aws.branch(port) as again:
        assert again.endpoint_url == f"http://127.0.0.1:{port}"
        assert items(again) == {"a", "b"}
        with pytest.raises(EmbeddedAwsError, match=f"port {port} of 127.0.0.1 is taken"):
            world.aws.branch(port)


def test_one_whose_port_is_taken_meanwhile_does_not_come_up(
    world: World, temporary_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded_aws.server._free_port", lambda: world.aws.port)
    with pytest.raises(EmbeddedAwsError, match="already in use"):
        world.aws.branch()
    assert list(temporary_directory.iterdir()) == []
    world.aws.alive()


def test_once_stopped_it_cannot_be_started_again(world: World) -> None:
    branch = world.aws.branch()
    with pytest.raises(EmbeddedAwsError, match="already running"):
        branch.start()
    branch.stop()
    branch.stop()
    with pytest.raises(EmbeddedAwsError, match="cannot be started again") as refused:
        branch.start()
    assert refused.value.hint == "create another one"
    with pytest.raises(EmbeddedAwsError, match="not running"), branch:
        pass


def test_what_does_not_run_has_no_branch(temporary_directory: Path) -> None:
    with pytest.raises(EmbeddedAwsError, match="not running"):
        EmbeddedAws().branch()
    assert list(temporary_directory.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "body"),
    [("GET", None), ("PUT", b""), ("PUT", b"[]"), ("PUT", b'{"EMBEDDED_AWS_DIRECTORY": "/nowhere"}')],
)
def test_a_branch_of_nothing_is_refused(world: World, method: str, body: bytes | None) -> None:
    secret = {"Authorization": f"Bearer {world.aws.secret_access_key}"}
    url = f"{world.aws.endpoint_url}{BRANCH_PATH}"
    request = urllib.request.Request(url, body, secret, method=method)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=120)  # noqa: S310 - loopback
    world.aws.alive()


def test_many_branches_at_once_while_others_write(world: World) -> None:
    """None is caught in the middle of a write, waits for a lock that nobody frees, or lacks a service."""
    with ThreadPoolExecutor(8) as pool, world.aws.branch() as origin, contextlib.ExitStack() as at_work:
        done = threading.Event()
        at_work.callback(done.set)

        def write(writer: int) -> int:
            count = 0
            while not done.is_set():
                put(origin, f"{writer}-{count}")  # in the east, its stream, then in the west
                invoke(origin)
                count += 1
            return count

        writers = [pool.submit(write, writer) for writer in range(3)]

        def branch_and_look(_: int) -> None:
            with origin.branch() as branch:
                there = items(branch)
                assert items(branch, WEST) == there
                assert len(stream_records(branch)) == len(there)
                for writer in range(3):  # in their order, none left out
                    mine = {name for name in there if name.startswith(f"{writer}-")}
                    assert mine == {f"{writer}-{number}" for number in range(len(mine))}
                assert invoke(branch)["body"] == branch.endpoint_url
                assert len(everything(world, branch)) == len(READS)

        list(pool.map(branch_and_look, range(8)))
        done.set()
        assert all(writer.result() for writer in writers)


CHANGES_SLOWLY = """
import threading, time
from embedded_aws import emulator
from ministack import app

def change():
    while True:
        app._VERSION = "in the middle"
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            pass
        app._VERSION = "whole"
        time.sleep(0.05)

threading.Thread(target=change, daemon=True).start()
emulator.main()
"""


class SlowlyChangingAws(EmbeddedAws):
    _command = (sys.executable, "-c", CHANGES_SLOWLY)


def test_a_branch_is_not_made_in_the_middle_of_a_change() -> None:
    def version() -> str:
        with aws.branch() as branch:
            return str(branch._control("GET", HEALTH_PATH)["version"])

    with SlowlyChangingAws() as aws:
        assert {version() for _ in range(10)} == {"whole"}


HOLDS_A_LOCK = """
import threading, time
from embedded_aws import emulator
from ministack.services import lambda_svc

def hold():
    with lambda_svc._inflight_lock:
        time.sleep(600)

threading.Thread(target=hold, daemon=True).start()
emulator.main()
"""


class LockedAws(EmbeddedAws):
    _command = (sys.executable, "-c", HOLDS_A_LOCK)


def test_what_a_thread_of_the_origin_holds_is_free_in_the_branch() -> None:
    with LockedAws(account_id=ACCOUNT) as aws:
        Tenant(aws, ACCOUNT).function(ANSWERS, name="answers")
        with pytest.raises(ReadTimeoutError):
            impatient(aws, "lambda").invoke(FunctionName="answers")
        with aws.branch() as branch:
            assert invoke(branch)["body"] == branch.endpoint_url


def test_functions_that_become_active_do_so_in_the_branch() -> None:
    with OwnTimesAws(account_id=ACCOUNT) as origin:
        Tenant(origin, ACCOUNT).function(ANSWERS, name="young")
        with origin.branch() as branch:
            assert not is_ready(branch, "young")
            assert eventually(lambda: is_ready(branch, "young") and is_ready(origin, "young"))


WAITS = """
    import time
    import boto3

    def handler(event, context):
        table = boto3.resource("dynamodb").Table("ledger")
        table.put_item(Item={"id": "at work"})
        while "Item" not in table.get_item(Key={"id": "go"}):
            time.sleep(0.02)
        return "went"
"""


def test_a_function_at_work_for_a_client_answers_the_origin_and_does_not_count_in_the_branch(world: World) -> None:
    with ThreadPoolExecutor(1) as pool, world.aws.branch() as origin:  # whose end frees the pool
        Tenant(origin, ACCOUNT).function(WAITS, allow(["dynamodb:PutItem", "dynamodb:GetItem"], "*"), name="waits")
        client(origin, "lambda").put_function_concurrency(FunctionName="waits", ReservedConcurrentExecutions=1)
        at_work = pool.submit(invoke, origin, "waits")
        assert eventually(lambda: "at work" in items(origin))
        with pytest.raises(ClientError, match="TooManyRequests"):
            invoke(origin, "waits")
        with origin.branch() as branch:
            put(branch, "go")
            assert invoke(branch, "waits") == "went"
            assert not at_work.done()
        put(origin, "go")
        assert at_work.result(timeout=120) == "went"


FAILS = """
    import time
    import boto3

    def handler(event, context):
        boto3.client("dynamodb").put_item(TableName="ledger", Item={"id": {"S": f"attempt {time.time_ns()}"}})
        raise ValueError("no")
"""


def test_an_event_that_waits_for_a_retry_ends_in_the_same_queue_in_both(world: World) -> None:
    with world.aws.branch() as origin:
        account = Tenant(origin, ACCOUNT)
        _, queue_arn = account.queue("failures")
        function = account.function(
            FAILS, allow("dynamodb:PutItem", "*"), allow("sqs:SendMessage", queue_arn), name="fails"
        )
        lambda_ = account.client("lambda")
        lambda_.put_function_event_invoke_config(
            FunctionName=function, DestinationConfig={"OnFailure": {"Destination": queue_arn}}
        )
        rule = account.client("events").put_rule(Name="orders", EventPattern='{"source": ["shop"]}')["RuleArn"]
        account.client("events").put_targets(Rule="orders", Targets=[{"Id": "target", "Arn": function}])
        account.let_in(function, "events.amazonaws.com", rule)
        account.client("events").put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": '{"id": 7}'}])
        assert eventually(lambda: len(items(origin)) == 3)
        with origin.branch() as branch:
            made = len(items(branch)) - 2
            for each in (origin, branch):
                url = client(each, "sqs").get_queue_url(QueueName="failures")["QueueUrl"]
                record = json.loads(Tenant(each, ACCOUNT).receive(url)["Body"])
                assert record["requestPayload"]["detail"] == {"id": 7}
                assert Tenant(each, ACCOUNT).receive(url, seconds=0) is None
            assert len(items(origin)) == 2 + 3  # the attempts that AWS makes
            assert len(items(branch)) == 2 + made + 3  # it started over


TAKES = """
    import time
    import boto3

    def handler(event, context):
        table = boto3.resource("dynamodb").Table("ledger")
        for record in event["Records"]:
            table.put_item(Item={"id": f"at work on {record['body']}"})
            while "Item" not in table.get_item(Key={"id": "go"}):
                time.sleep(0.02)
            table.put_item(Item={"id": record["body"]})
"""


def messages_at_work(aws: EmbeddedAws, queue_url: str) -> int:
    name = "ApproximateNumberOfMessagesNotVisible"
    asked = client(aws, "sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])
    return int(asked["Attributes"][name])


def test_messages_from_a_queue_are_worked_on_in_both(world: World) -> None:
    """Those that the function has taken before the branch, and those that come after."""
    with world.aws.branch() as origin:
        account = Tenant(origin, ACCOUNT)
        url, queue_arn = account.queue("orders")
        function = account.function(
            TAKES,
            allow(["dynamodb:PutItem", "dynamodb:GetItem"], "*"),
            allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], queue_arn),
            name="takes",
        )
        account.client("lambda").create_event_source_mapping(
            EventSourceArn=queue_arn, FunctionName=function, ScalingConfig={"MaximumConcurrency": 2}, BatchSize=1
        )
        for message in ("first", "second"):  # as many as may be at work at a time
            account.client("sqs").send_message(QueueUrl=url, MessageBody=message)
            assert eventually(lambda message=message: f"at work on {message}" in items(origin))  # type: ignore[misc]
        with origin.branch() as branch:
            sqs = client(branch, "sqs")
            own_url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
            sqs.send_message(QueueUrl=own_url, MessageBody="third")
            put(branch, "go")
            assert eventually(lambda: items(branch) >= {"first", "second", "third"})
            assert eventually(lambda: messages_at_work(branch, own_url) == 0)
            assert not items(origin) & {"first", "second", "third"}
        put(origin, "go")
        assert eventually(lambda: items(origin) >= {"first", "second"})
        assert "third" not in items(origin)


class Outside(BaseHTTPRequestHandler):
    """An endpoint outside of the AWS that takes its time."""

    posts: ClassVar[list[str]] = []
    go: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.posts.append(body)
        self.go.wait(20)
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def outside() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Outside) as server:
        Outside.posts.clear()
        Outside.go.clear()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        Outside.go.set()
        server.shutdown()


def test_what_leaves_the_emulator_is_sent_once(world: World, outside: str) -> None:
    with world.aws.branch() as origin:
        account = Tenant(origin, ACCOUNT)
        sns, events = account.client("sns"), account.client("events")
        topic = sns.create_topic(Name="outside")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=outside)
        connection = events.create_connection(
            Name="outside",
            AuthorizationType="API_KEY",
            AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "key", "ApiKeyValue": "value"}},
        )["ConnectionArn"]
        destination = events.create_api_destination(
            Name="outside", ConnectionArn=connection, InvocationEndpoint=outside, HttpMethod="POST"
        )["ApiDestinationArn"]
        events.put_rule(Name="out", EventPattern='{"source": ["shop"]}')
        events.put_targets(Rule="out", Targets=[{"Id": "out", "Arn": destination}])
        events.put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": '{"id": 7}'}])
        assert eventually(lambda: len(Outside.posts) == 2)  # the subscription is to be confirmed, and the event
        with origin.branch() as branch:
            put(branch, "serves")
            client(branch, "events").put_events(
                Entries=[{"Source": "shop", "DetailType": "order", "Detail": '{"id": 8}'}]
            )
            assert eventually(lambda: len(Outside.posts) > 2)
            Outside.go.set()
            assert ['"id": 8' in post for post in Outside.posts] == [False, False, True]


def test_a_schedule_goes_on_in_both() -> None:
    with OwnTimesAws(account_id=ACCOUNT) as origin:
        account = Tenant(origin, ACCOUNT)
        url, queue_arn = account.queue("ticks", {**allow("sqs:SendMessage", "*"), "Principal": "*"})
        account.client("events").put_rule(Name="tick", ScheduleExpression="rate(1 minute)")
        account.client("events").put_targets(Rule="tick", Targets=[{"Id": "queue", "Arn": queue_arn}])
        assert account.receive(url)
        with origin.branch() as branch:
            here = Tenant(branch, ACCOUNT)
            own_url = here.client("sqs").get_queue_url(QueueName="ticks")["QueueUrl"]
            for each, queue in ((account, url), (here, own_url)):
                each.client("sqs").purge_queue(QueueUrl=queue)
                times = [json.loads(each.receive(queue)["Body"])["time"] for _ in range(2)]
                assert times[0] < times[1]
            account.client("events").disable_rule(Name="tick")
            assert here.client("events").describe_rule(Name="tick")["State"] == "ENABLED"


def test_a_write_that_lags_arrives_in_both_when_it_would_have(world: World) -> None:
    with world.aws.branch() as origin:
        origin.set_replication_lag(4, spread=0)
        put(origin, "slow")
        due = time.monotonic() + 4
        with origin.branch() as branch:
            assert "slow" not in items(branch, WEST)
            origin.stop()
            assert eventually(lambda: "slow" in items(branch, WEST))
            assert time.monotonic() > due - 0.5
            put(branch, "slower")
            assert "slower" not in items(branch, WEST)  # the lag is still set


def test_a_write_that_an_outage_holds_back_arrives_where_the_outage_ends(world: World) -> None:
    with world.aws.branch() as origin:
        origin.set_replication_lag(0.01, spread=0)
        origin.fail_region(WEST)
        put(origin, "held")
        with origin.branch() as branch:
            assert branch.failed_regions() == [WEST]
            with pytest.raises(ClientError, match="503"):
                items(branch, WEST)
            branch.restore_region(WEST)
            assert eventually(lambda: "held" in items(branch, WEST))
            assert origin.failed_regions() == [WEST]
        origin.restore_region(WEST)
        assert eventually(lambda: "held" in items(origin, WEST))


def test_a_call_that_hangs_stays_with_the_origin(world: World) -> None:
    with ThreadPoolExecutor(1) as pool, world.aws.branch() as origin:  # whose end frees the pool
        origin.fail_region(WEST, kind="hang")
        with pytest.raises(ReadTimeoutError):
            impatient(origin, "dynamodb", WEST).list_tables()
        hangs = pool.submit(items, origin, WEST)
        with origin.branch() as branch:
            with pytest.raises(ReadTimeoutError):  # it hangs in the branch's own loop
                impatient(branch, "dynamodb", WEST).list_tables()
            branch.restore_region(WEST)
            assert items(branch, WEST) == {"a", "b"}
            assert not hangs.done()
        origin.restore_region(WEST)
        with contextlib.suppress(ClientError):  # 503, if it was there in time
            assert hangs.result(timeout=120) == {"a", "b"}


def test_shares_of_failing_calls_go_on_as_they_would_have(world: World) -> None:
    def outcomes(aws: EmbeddedAws) -> str:
        def call() -> str:
            try:
                items(aws, WEST)
            except ClientError:
                return "-"
            return "+"

        return "".join(call() for _ in range(20))

    with world.aws.branch() as origin:
        origin.fail_region(WEST, share=0.5, seed=3)
        outcomes(origin)
        with origin.branch() as branch:
            assert outcomes(branch) == outcomes(origin)


def test_names_that_are_drawn_differ(world: World) -> None:
    with world.aws.branch() as one, world.aws.branch() as other:
        made = {client(each, "kms").create_key()["KeyMetadata"]["KeyId"] for each in (one, other)}
        assert len(made) == 2
