from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow, unique

ON_BUCKET = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
ON_OBJECTS = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl"]
ON_TAGS = "s3:GetObjectVersionTagging"
ON_REPLICAS = ["s3:ReplicateObject", "s3:ReplicateDelete"]


class Buckets:
    """A bucket in the east that replicates to one in the west, with a role that has all rights but some."""

    def __init__(
        self, account: Tenant, without: str = "", trusted: str = "s3.amazonaws.com", *, metrics: bool = False
    ) -> None:
        self.source, self.target = unique("east"), unique("west")
        self.s3 = {self.source: account.client("s3", "us-east-1"), self.target: account.client("s3", "us-west-2")}
        self.s3[self.source].create_bucket(Bucket=self.source)
        west = {"LocationConstraint": "us-west-2"}
        self.s3[self.target].create_bucket(Bucket=self.target, CreateBucketConfiguration=west)
        for bucket, client in self.s3.items():
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        granted = [
            (ON_BUCKET, f"arn:aws:s3:::{self.source}"),
            ([*ON_OBJECTS, ON_TAGS], f"arn:aws:s3:::{self.source}/*"),
            (ON_REPLICAS, f"arn:aws:s3:::{self.target}/*"),
        ]
        rights = [allow([action for action in actions if action != without], arn) for actions, arn in granted]
        role = account.role_for({"Service": trusted}, *rights, name="replication")
        rule: dict[str, Any] = {
            "ID": "all",
            "Priority": 1,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Enabled"},
            "Destination": {
                "Bucket": f"arn:aws:s3:::{self.target}",
                **({"Metrics": {"Status": "Enabled"}} if metrics else {}),
            },
        }
        self.s3[self.source].put_bucket_replication(
            Bucket=self.source, ReplicationConfiguration={"Role": role, "Rules": [rule]}
        )

    def put(self) -> str:
        """Status of the replication of an object."""
        self.s3[self.source].put_object(Bucket=self.source, Key="receipt", Body=b"paid", Tagging="kind=receipt")
        status: str = self.s3[self.source].head_object(Bucket=self.source, Key="receipt")["ReplicationStatus"]
        return status

    def delete(self) -> None:
        self.s3[self.source].delete_object(Bucket=self.source, Key="receipt")

    def replicated_tags(self) -> list[dict[str, str]]:
        answer = self.s3[self.target].get_object_tagging(Bucket=self.target, Key="receipt")
        tags: list[dict[str, str]] = answer["TagSet"]
        return tags

    def has_replica(self) -> bool:
        try:
            self.s3[self.target].head_object(Bucket=self.target, Key="receipt")
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404  # noqa: PT017 - anything else is a bug
            return False
        return True


def test_a_role_with_all_rights_replicates_objects_and_their_deletion(account: Tenant) -> None:
    buckets = Buckets(account)

    assert (buckets.put(), buckets.has_replica()) == ("COMPLETED", True)
    assert buckets.replicated_tags() == [{"Key": "kind", "Value": "receipt"}]
    buckets.delete()
    assert not buckets.has_replica()


@pytest.mark.parametrize("missing", [*ON_BUCKET, *ON_OBJECTS, "s3:ReplicateObject"])
def test_one_missing_right_fails_the_replication(account: Tenant, missing: str) -> None:
    buckets = Buckets(account, without=missing)

    assert (buckets.put(), buckets.has_replica()) == ("FAILED", False)


def test_without_the_right_to_read_tags_an_object_is_replicated_without_them(account: Tenant) -> None:
    buckets = Buckets(account, without=ON_TAGS)

    assert (buckets.put(), buckets.has_replica()) == ("COMPLETED", True)
    assert buckets.replicated_tags() == []


def test_a_role_that_s3_cannot_assume_fails_the_replication(account: Tenant) -> None:
    buckets = Buckets(account, trusted="ec2.amazonaws.com")

    assert (buckets.put(), buckets.has_replica()) == ("FAILED", False)


def test_without_the_right_for_it_a_deletion_is_not_replicated(account: Tenant) -> None:
    buckets = Buckets(account, without="s3:ReplicateDelete")
    buckets.put()

    buckets.delete()

    assert buckets.has_replica()


def test_upstream_still_replicates_whatever_the_role_may_do(unpatched_account: Tenant) -> None:
    buckets = Buckets(unpatched_account, without="s3:ReplicateObject", trusted="ec2.amazonaws.com")

    assert buckets.put() == "COMPLETED", "upstream asks the role: replication_role may go"
