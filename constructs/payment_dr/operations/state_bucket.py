"""Makes the bucket for Terraform's state, before the first deployment: `dr bootstrap`.

It reads each setting first and writes it only where it differs. So you can run the command again at any time, also to
fix a bucket that somebody has changed.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from payment_dr.operations.aws import asked, if_exists
from payment_dr.operations.errors import OperationError
from payment_dr.region import mistakes_in_region_name
from payment_dr.state_backend import bucket_of, mistakes_in_state

KEPT_DAYS = 90  # of earlier states, each of which is some hundred KB
RULE_ID = "earlier-states"
TLS_ONLY = "TlsOnly"
PRIVATE = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
_ENCRYPTED = ("AES256", "aws:kms", "aws:kms:dsse")
# What S3 answers where nothing is set.
_NOTHING = (
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)


@dataclass(frozen=True)
class Setting:
    """One property of the bucket.

    Attributes:
        what: The property, in words.
        changed: Whether this run set it, or would set it in a dry run.
    """

    what: str
    changed: bool


@dataclass(frozen=True, kw_only=True)
class StateBucket:
    """A bucket for Terraform's state: versioned, encrypted, private, only over TLS.

    Args:
        s3: A boto3 client of S3 in the region of the bucket.
        name: The bucket.
        region: That region.
        account_id: The account that must own it. All accounts share bucket names, so another one may own the name.

    Example:
        >>> bucket = StateBucket(s3=s3, name="acme-terraform-state", region="us-west-2", account_id="123456789012")
        >>> bucket.bootstrap()[0]  # doctest: +SKIP
        Setting(what='bucket acme-terraform-state in us-west-2', changed=True)
    """

    s3: Any
    name: str
    region: str
    account_id: str

    def bootstrap(self, *, dry_run: bool = False) -> list[Setting]:
        """Make the bucket and all settings that are missing.

        Args:
            dry_run: Only report what it would do.

        Raises:
            OperationError: The bucket is another account's or in another region, or AWS rejects a call.
        """
        exists = self._exists()
        if not exists and not dry_run:
            self._ask(self._create)
        settings = [Setting(f"bucket {self.name} in {self.region}", not exists)]
        for what, change in self._differences(readable=exists or not dry_run):
            if change and not dry_run:
                self._ask(change)
            settings.append(Setting(what, change is not None))
        return settings

    def _ask(self, call: Callable[[], Any]) -> Any:
        return asked(self._service, call)

    @property
    def _service(self) -> str:
        return f"S3 in {self.region}"

    def _owned(self) -> dict[str, str]:
        return {"Bucket": self.name, "ExpectedBucketOwner": self.account_id}

    def _exists(self) -> bool:
        def look() -> str | None:
            try:
                # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
                found = self.s3.head_bucket(**self._owned())
                return str(found.get("BucketRegion") or self.region)
            except ClientError as error:
                response = error.response["ResponseMetadata"]
                if response["HTTPStatusCode"] == 404:
                    return None
                if response["HTTPStatusCode"] == 301:
                    return str(response["HTTPHeaders"].get("x-amz-bucket-region", "another region"))
                if response["HTTPStatusCode"] == 403:
                    raise OperationError(
                        f"bucket {self.name} belongs to another account, or these credentials may not read it",
                        hint="choose another name, or check the permissions of these credentials",
                    ) from error
                raise

        region = self._ask(look)
        if region not in (None, self.region):
            raise OperationError(
                f"bucket {self.name} is in {region}, not in {self.region}",
                hint=f"choose another name, or --region {region} with the same state_region in main.py",
            )
        return region is not None

    def _create(self) -> None:
        # us-east-1 is the one region that must not be named.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
        where = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
        self.s3.create_bucket(Bucket=self.name, **({"CreateBucketConfiguration": where} if where else {}))
        self.s3.get_waiter("bucket_exists").wait(**self._owned())

    def _read(self, operation: str) -> dict[str, Any]:
        answer: dict[str, Any] | None = if_exists(
            self._service, lambda: getattr(self.s3, operation)(**self._owned()), _NOTHING
        )
        return answer or {}

    def _differences(self, *, readable: bool) -> Iterator[tuple[str, Callable[[], Any] | None]]:
        """Each setting, with the function that corrects it, or None where it is correct."""
        read = self._read if readable else lambda _: {}
        s3, owned = self.s3, self._owned()

        versioned = read("get_bucket_versioning").get("Status") == "Enabled"
        yield (
            "versioning",
            None
            if versioned
            else lambda: s3.put_bucket_versioning(**owned, VersioningConfiguration={"Status": "Enabled"}),
        )

        rules = read("get_bucket_encryption").get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        encryption = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
        wanted = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
        yield (
            "encryption",
            None
            if any(each in _ENCRYPTED for each in encryption)  # with a key of the team's own is fine as well
            else lambda: s3.put_bucket_encryption(**owned, ServerSideEncryptionConfiguration=wanted),
        )

        blocked = read("get_public_access_block").get("PublicAccessBlockConfiguration")
        yield (
            "no public access",
            None
            if blocked == PRIVATE
            else lambda: s3.put_public_access_block(**owned, PublicAccessBlockConfiguration=PRIVATE),
        )

        policy = json.loads(read("get_bucket_policy").get("Policy", "{}"))
        found = policy.get("Statement", [])
        # One statement need not be in a list.
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_statement.html
        theirs = [found] if isinstance(found, dict) else found
        statements = _with(theirs, "Sid", self._tls_only())
        document = json.dumps({"Version": "2012-10-17", **policy, "Statement": statements})
        yield (
            "TLS only",
            None if statements == theirs else lambda: s3.put_bucket_policy(**owned, Policy=document),
        )

        rules = read("get_bucket_lifecycle_configuration").get("Rules", [])
        lifecycle = {"Rules": _with(rules, "ID", _lifecycle())}
        yield (
            f"earlier states kept for {KEPT_DAYS} days",
            None
            if lifecycle["Rules"] == rules
            else lambda: s3.put_bucket_lifecycle_configuration(**owned, LifecycleConfiguration=lifecycle),
        )

    def _tls_only(self) -> dict[str, Any]:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html
        arn = f"arn:aws:s3:::{self.name}"
        return {
            "Sid": TLS_ONLY,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }


def bootstrap_state(state: str, region: str, *, dry_run: bool = False) -> list[Setting]:
    """Make the bucket of a location, with the credentials of the user.

    Args:
        state: s3://BUCKET/ENVIRONMENT.
        region: The region of the bucket.
        dry_run: Only report what it would do.

    Raises:
        OperationError: The location or the region is not valid. See `StateBucket.bootstrap` for the rest.
    """
    if mistakes := [*mistakes_in_state(state), *mistakes_in_region_name("region", region)]:
        raise OperationError("; ".join(mistakes), hint="give the location and the region of main.py")
    session = boto3.Session()
    sts = session.client("sts", region_name=region)
    account_id = asked(f"STS in {region}", sts.get_caller_identity)["Account"]
    s3 = session.client("s3", region_name=region)
    return StateBucket(s3=s3, name=bucket_of(state), region=region, account_id=account_id).bootstrap(dry_run=dry_run)


def _lifecycle() -> dict[str, Any]:
    # Locks leave delete markers and versions behind, one of each a run; the current state never expires.
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
    return {
        "ID": RULE_ID,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": KEPT_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }


def _with(entries: list[dict[str, Any]], key: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries, with this project's entry added or replaced in place. Other entries stay."""
    if not any(entry.get(key) == wanted[key] for entry in entries):
        return [*entries, wanted]
    return [wanted if entry.get(key) == wanted[key] else entry for entry in entries]
