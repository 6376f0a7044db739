"""`dr bootstrap`: what the bucket of Terraform's state is like, and what is left alone."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from typer.testing import CliRunner, Result

from embedded_aws import EmbeddedAws
from payment_dr.operations import cli, state_bucket
from payment_dr.operations.errors import OperationError
from payment_dr.operations.state_bucket import PRIVATE, RULE_ID, TLS_ONLY, Setting, StateBucket

NAME, REGION = "acme-terraform-state", "us-west-2"
LOCATION = f"s3://{NAME}/prod"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield running


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    return aws.client("s3", REGION)


def bootstrap(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["bootstrap", *arguments])


def changed(*arguments: str) -> list[str]:
    done = bootstrap(LOCATION, "--json", *arguments)
    assert done.exit_code == 0, done.stderr
    return [each["what"] for each in json.loads(done.stdout) if each["changed"]]


def test_an_embedded_aws_is_reached_past_a_proxy(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    listed = bootstrap(LOCATION, "--dry-run")
    assert (listed.exit_code, listed.stdout.splitlines()[0]) == (0, f"to be set: bucket {NAME} in {REGION}"), (
        listed.stderr
    )


def test_a_dry_run_lists_the_settings_and_changes_nothing(aws: EmbeddedAws, s3: Any) -> None:
    listed = bootstrap(LOCATION, "--dry-run")
    assert listed.stdout.splitlines() == [
        f"to be set: bucket {NAME} in {REGION}",
        "to be set: versioning",
        "to be set: encryption",
        "to be set: no public access",
        "to be set: TLS only",
        "to be set: earlier states kept for 90 days",
    ]
    assert s3.list_buckets()["Buckets"] == []


def test_the_bucket_is_versioned_encrypted_private_and_tls_only(
    aws: EmbeddedAws, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENT_DR_STATE", LOCATION)
    assert bootstrap().stdout.splitlines()[:2] == [f"set: bucket {NAME} in {REGION}", "set: versioning"]

    assert s3.head_bucket(Bucket=NAME)["BucketRegion"] == REGION
    assert s3.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=NAME)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_public_access_block(Bucket=NAME)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=NAME)["Policy"])["Statement"]
    assert statement == {
        "Sid": TLS_ONLY,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{NAME}", f"arn:aws:s3:::{NAME}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    (lifecycle,) = s3.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    assert (lifecycle["Status"], lifecycle["NoncurrentVersionExpiration"]) == ("Enabled", {"NoncurrentDays": 90})
    assert "Days" not in lifecycle["Expiration"]  # the current state never expires


def test_a_second_run_changes_nothing_and_repairs_changed_settings(aws: EmbeddedAws, s3: Any) -> None:
    changed()
    assert changed() == []
    assert bootstrap(LOCATION).stdout.splitlines()[0] == f"already set: bucket {NAME} in {REGION}"

    s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Suspended"})
    s3.put_public_access_block(Bucket=NAME, PublicAccessBlockConfiguration={**PRIVATE, "BlockPublicPolicy": False})
    assert changed("--dry-run") == changed() == ["versioning", "no public access"]
    assert changed() == []


def test_policies_and_rules_of_others_stay(aws: EmbeddedAws, s3: Any) -> None:
    changed()
    theirs = {
        "Sid": "Theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteBucket",
        "Resource": f"arn:aws:s3:::{NAME}",
    }
    s3.put_bucket_policy(Bucket=NAME, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]}))
    rule: Any = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 9}}
    s3.put_bucket_lifecycle_configuration(Bucket=NAME, LifecycleConfiguration={"Rules": [rule]})

    assert changed() == ["TLS only", "earlier states kept for 90 days"]
    statements = json.loads(s3.get_bucket_policy(Bucket=NAME)["Policy"])["Statement"]
    assert statements[0] == theirs
    assert [each["Sid"] for each in statements] == ["Theirs", TLS_ONLY]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    assert [each["ID"] for each in rules] == ["theirs", RULE_ID]


@pytest.mark.parametrize("sid", ["Theirs", TLS_ONLY, None])
def test_a_policy_of_one_statement_that_is_not_in_a_list_is_read_as_one(
    aws: EmbeddedAws, s3: Any, sid: str | None
) -> None:
    """Policy grammar: "Statement" is an object or a list of them."""
    changed()
    (ours,) = json.loads(s3.get_bucket_policy(Bucket=NAME)["Policy"])["Statement"]
    theirs = {**({"Sid": sid} if sid else {}), "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket"}
    theirs["Resource"] = f"arn:aws:s3:::{NAME}"
    policy = {"Version": "2012-10-17", "Id": "theirs", "Statement": ours if sid == TLS_ONLY else theirs}
    s3.put_bucket_policy(Bucket=NAME, Policy=json.dumps(policy))

    expected = [] if sid == TLS_ONLY else ["TLS only"]
    assert changed("--dry-run") == changed() == expected
    left = json.loads(s3.get_bucket_policy(Bucket=NAME)["Policy"])
    assert left == {**policy, "Statement": ours if sid == TLS_ONLY else [theirs, ours]}
    assert changed() == []


ACCOUNT = "123456789012"
OWNED = {"Bucket": NAME, "ExpectedBucketOwner": ACCOUNT}


@pytest.fixture
def stub() -> Iterator[Callable[[str], tuple[Stubber, StateBucket]]]:
    """S3 in a region. It returns prepared answers, and accepts only the expected calls."""
    stubs: list[Stubber] = []

    def make(region: str) -> tuple[Stubber, StateBucket]:
        client: Any = boto3.client("s3", region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
        stubs.append(Stubber(client))
        stubs[-1].activate()
        return stubs[-1], StateBucket(s3=client, name=NAME, region=region, account_id=ACCOUNT)

    yield make
    for each in stubs:
        each.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("region", "where"),
    [
        ("us-east-1", {}),
        ("us-west-2", {"CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}),
    ],
)
def test_each_call_is_as_s3_wants_it_and_names_the_owner(
    stub: Callable[[str], tuple[Stubber, StateBucket]], region: str, where: dict[str, Any]
) -> None:
    s3, bucket = stub(region)
    s3.add_client_error("head_bucket", "404", http_status_code=404, expected_params=OWNED)
    s3.add_response("create_bucket", {}, {"Bucket": NAME, **where})
    s3.add_response("head_bucket", {"ResponseMetadata": {"HTTPStatusCode": 200}}, OWNED)
    s3.add_response("get_bucket_versioning", {}, OWNED)
    s3.add_response("put_bucket_versioning", {}, {**OWNED, "VersioningConfiguration": {"Status": "Enabled"}})
    absent = "ServerSideEncryptionConfigurationNotFoundError"
    s3.add_client_error("get_bucket_encryption", absent, http_status_code=404, expected_params=OWNED)
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    s3.add_response("put_bucket_encryption", {}, {**OWNED, "ServerSideEncryptionConfiguration": {"Rules": rules}})
    absent = "NoSuchPublicAccessBlockConfiguration"
    s3.add_client_error("get_public_access_block", absent, http_status_code=404, expected_params=OWNED)
    private = dict.fromkeys(FLAGS, True)
    s3.add_response("put_public_access_block", {}, {**OWNED, "PublicAccessBlockConfiguration": private})
    s3.add_client_error("get_bucket_policy", "NoSuchBucketPolicy", http_status_code=404, expected_params=OWNED)
    tls_only = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{NAME}", f"arn:aws:s3:::{NAME}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [tls_only]})
    s3.add_response("put_bucket_policy", {}, {**OWNED, "Policy": policy})
    absent, operation = "NoSuchLifecycleConfiguration", "get_bucket_lifecycle_configuration"
    s3.add_client_error(operation, absent, http_status_code=404, expected_params=OWNED)
    rule = {
        "ID": "earlier-states",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    lifecycle = {**OWNED, "LifecycleConfiguration": {"Rules": [rule]}}
    s3.add_response("put_bucket_lifecycle_configuration", {}, lifecycle)
    assert bucket.bootstrap() == [
        Setting(what, changed=True)
        for what in (
            f"bucket {NAME} in {region}",
            "versioning",
            "encryption",
            "no public access",
            "TLS only",
            "earlier states kept for 90 days",
        )
    ]


FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@pytest.mark.parametrize(
    ("off", "algorithm"),
    [*((off, "AES256") for off in (None, *FLAGS)), *((None, other) for other in ("aws:kms", "aws:kms:dsse", "other"))],
)
def test_correct_settings_are_not_written(
    stub: Callable[[str], tuple[Stubber, StateBucket]], off: str | None, algorithm: str
) -> None:
    s3, bucket = stub(REGION)
    s3.add_response("head_bucket", {"BucketRegion": REGION}, OWNED)
    s3.add_response("get_bucket_versioning", {"Status": "Enabled"}, OWNED)
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}]
    s3.add_response("get_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": rules}}, OWNED)
    private = {name: name != off for name in FLAGS}
    s3.add_response("get_public_access_block", {"PublicAccessBlockConfiguration": private}, OWNED)
    s3.add_response("get_bucket_policy", {"Policy": json.dumps({"Statement": [bucket._tls_only()]})}, OWNED)
    s3.add_response("get_bucket_lifecycle_configuration", {"Rules": [state_bucket._lifecycle()]}, OWNED)
    changed = [each.what for each in bucket.bootstrap(dry_run=True) if each.changed]
    assert changed == [
        *(["encryption"] if algorithm == "other" else []),
        *(["no public access"] if off else []),
    ]


@pytest.mark.parametrize(("headers", "said"), [({"x-amz-bucket-region": "eu-west-1"}, "eu-west-1"), ({}, "another")])
def test_a_redirection_names_the_region_of_the_bucket(
    stub: Callable[[str], tuple[Stubber, StateBucket]], headers: dict[str, str], said: str
) -> None:
    s3, bucket = stub(REGION)
    meta = {"HTTPHeaders": headers}
    s3.add_client_error("head_bucket", "301", http_status_code=301, response_meta=meta, expected_params=OWNED)
    with pytest.raises(OperationError, match=f"bucket {NAME} is in {said}"):
        bucket.bootstrap()


@pytest.mark.parametrize("operation", ["head_bucket", "get_bucket_policy"])
def test_another_error_does_not_count_as_a_missing_setting(
    stub: Callable[[str], tuple[Stubber, StateBucket]], operation: str
) -> None:
    s3, bucket = stub(REGION)
    for name in ("head_bucket", "get_bucket_versioning", "get_bucket_encryption", "get_public_access_block"):
        if name == operation:
            break
        s3.add_response(name, {}, OWNED)
    if operation == "get_bucket_policy":
        s3.add_client_error(operation, "AccessDenied", http_status_code=403, expected_params=OWNED)
    else:
        s3.add_client_error(operation, "SlowDown", http_status_code=503, expected_params=OWNED)
    with pytest.raises(OperationError, match="S3 in us-west-2"):
        bucket.bootstrap(dry_run=True)


def test_a_bucket_in_another_region_is_left_alone(aws: EmbeddedAws, s3: Any) -> None:
    changed()
    failed = bootstrap(LOCATION, "--region", "us-east-1")
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert failed.stderr.splitlines() == [
        f"error: bucket {NAME} is in us-west-2, not in us-east-1",
        "hint: choose another name, or --region us-west-2 with the same state_region in main.py",
    ]


def test_a_bucket_of_another_account_is_left_alone(stub: Callable[[str], tuple[Stubber, StateBucket]]) -> None:
    s3, bucket = stub(REGION)
    s3.add_client_error("head_bucket", "403", http_status_code=403, expected_params=OWNED)
    with pytest.raises(OperationError, match="belongs to another account, or these credentials may not read it"):
        bucket.bootstrap()  # and asks nothing else


def test_a_bucket_that_a_team_encrypts_with_its_own_key_stays_so(aws: EmbeddedAws, s3: Any) -> None:
    changed()
    own: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
    s3.put_bucket_encryption(Bucket=NAME, ServerSideEncryptionConfiguration=own)
    assert changed() == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([f"s3://{NAME}"], "error: state='s3://acme-terraform-state' is not a location"),
        ([LOCATION, "--region", "us-west-9"], "error: region='us-west-9' is not a commercial AWS region"),
    ],
)
def test_an_invalid_location_is_an_error(monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: str) -> None:
    failed = bootstrap(*arguments)
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert failed.stderr.startswith(error)
    assert failed.stderr.splitlines()[-1] == "hint: give the location and the region of main.py"


def test_a_call_that_aws_rejects_names_the_reason(stub: Callable[[str], tuple[Stubber, StateBucket]]) -> None:
    s3, bucket = stub(REGION)
    s3.add_client_error("head_bucket", "404", http_status_code=404)
    s3.add_client_error("create_bucket", "AccessDenied", http_status_code=403)
    with pytest.raises(OperationError, match="S3 in us-west-2 rejects the call: AccessDenied") as refused:
        bucket.bootstrap()
    assert isinstance(refused.value.__cause__, ClientError)
