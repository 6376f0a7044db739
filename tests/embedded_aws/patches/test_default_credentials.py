import pytest
import urllib3
from botocore.exceptions import ClientError

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Tenant

DEFAULT = {"AccessKeyId": "test", "SecretAccessKey": "test"}


@pytest.mark.parametrize("service", ["sts", "ssm"])
def test_the_access_key_test_is_nobody(aws: EmbeddedAws, service: str) -> None:
    client = aws.client(service, "us-east-1", DEFAULT)

    with pytest.raises(ClientError, match="security token included in the request is invalid"):
        client.get_caller_identity() if service == "sts" else client.describe_parameters()


def test_upstream_still_takes_it_for_the_root(unpatched_aws: EmbeddedAws) -> None:
    identity = unpatched_aws.client("sts", "us-east-1", DEFAULT).get_caller_identity()

    assert identity["Arn"].endswith(":root"), "upstream fixed this: default_credentials may go"


def test_the_id_of_an_account_is_its_root(account: Tenant) -> None:
    arn = account.client("sts").get_caller_identity()["Arn"]

    assert arn == f"arn:aws:iam::{account.account_id}:root"


def test_an_unsigned_call_is_nobodys(aws: EmbeddedAws) -> None:
    target = {"X-Amz-Target": "AmazonSSM.DescribeParameters", "Content-Type": "application/x-amz-json-1.1"}

    answer = urllib3.request("POST", aws.endpoint_url, body="{}", headers=target, retries=False, timeout=120)

    assert (answer.status, "MissingAuthenticationToken" in answer.data.decode()) == (400, True)
