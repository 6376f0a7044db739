import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.server import without_tls
from tests.embedded_aws.tenant import Tenant, allow


def test_a_request_is_over_tls_unless_it_says_otherwise(account: Tenant) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="documents")
    s3.put_object(Bucket="documents", Key="x", Body=b"1")
    reader = account.role(allow("s3:GetObject", "arn:aws:s3:::documents/*")).client("s3")

    def read() -> Any:
        return reader.get_object(Bucket="documents", Key="x")["Body"].read()

    condition = {"Bool": {"aws:SecureTransport": "false"}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::documents/*"}
    policy = {"Version": "2012-10-17", "Statement": [{**deny, "Condition": condition}]}
    s3.put_bucket_policy(Bucket="documents", Policy=json.dumps(policy))
    assert read() == b"1"
    without_tls(reader)
    with pytest.raises(ClientError, match="explicit deny"):
        read()
    s3.delete_bucket_policy(Bucket="documents")
    assert read() == b"1"
