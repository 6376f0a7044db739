"""Terraform's state: its place (a file, or a bucket outside the primary region) and its account."""

import re

from .bindings import (
    AwsProvider,
    DataResource,
    LocalBackend,
    Postcondition,
    S3Backend,
    TerraformResourceLifecycle,
    TerraformStack,
)
from .checks import ENVIRONMENT_PATTERN
from .region import account_id, mistakes_in_region_name

# A lock in the bucket itself, next to the state. The other way, a DynamoDB table, would serve Terraform 1.5 as well,
# but is deprecated: since 1.11 each command warns of it, on stdout too, and it is to be removed.
# https://developer.hashicorp.com/terraform/language/backend/s3#state-locking
TERRAFORM_WITH_LOCK_FILES = ">= 1.10"

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; without dots, which break TLS.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")


def bucket_of(state: str) -> str:
    """The bucket of a location.

    Example:
        >>> bucket_of("s3://acme-terraform-state/prod")
        'acme-terraform-state'
    """
    return _parts(state)[0]


def environment_of(state: str) -> str:
    """The environment of a location.

    Example:
        >>> environment_of("s3://acme-terraform-state/prod")
        'prod'
    """
    return _parts(state)[1]


def _parts(state: str) -> tuple[str, str]:
    bucket, _, environment = state.removeprefix("s3://").partition("/")
    return bucket, environment


def mistakes_in_state(state: str | None) -> list[str]:
    """Report why Terraform cannot keep its state at a location."""
    if state is None:
        return []
    bucket, environment = _parts(state)
    if not state.startswith("s3://") or not bucket or not environment:
        return [
            f"state={state!r} is not a location; write s3://BUCKET/ENVIRONMENT, such as s3://acme-terraform-state/prod"
        ]
    mistakes = []
    reserved = bucket.startswith(_RESERVED_STARTS) or bucket.endswith(_RESERVED_ENDS)
    if not _BUCKET.fullmatch(bucket) or reserved:
        mistakes.append(
            f"state has the bucket {bucket!r}, which S3 rejects or cannot serve over TLS; use 3 to 63 lower-case "
            "letters, digits and hyphens, with none of S3's reserved beginnings and ends"
        )
    if not re.fullmatch(ENVIRONMENT_PATTERN.strip("^$"), environment):
        mistakes.append(
            f"state has the environment {environment!r}; use 2 to 12 lower-case letters, digits or hyphens that start "
            "with a letter"
        )
    return mistakes


def mistakes_in_state_region(state: str | None, state_region: str | None, primary_region: str) -> list[str]:
    """Report why a region cannot hold the state of a stack that must survive an outage of its primary region."""
    if state_region is None:
        return []
    if state is None:
        return [f"state_region={state_region!r} has no effect without state; set state to s3://BUCKET/ENVIRONMENT"]
    if state_region == primary_region:
        return [
            f"state_region={state_region!r} is the primary region, whose outage would make Terraform's state "
            "unavailable; leave it out, for the secondary region, or choose another"
        ]
    return mistakes_in_region_name("state_region", state_region)


def keep_to_account(stack: TerraformStack, primary: AwsProvider, secondary: AwsProvider, account: str | None) -> None:
    """Make Terraform reject credentials of another account than that of its state.

    With such credentials Terraform would find none of its resources, forget all of them, and plan to create them again.

    The first apply records the account in the state. Later plans and applies fail with a message if the account
    differs. In destroy and in a plan that only refreshes, Terraform only warns about a failed condition, but the
    secondary provider fails. The primary provider cannot, because it must ask for the account first. With `account` it
    fails too.

    Args:
        stack: The stack.
        primary: Its default provider.
        secondary: Its other provider, of the same credentials.
        account: The only account to deploy to, twelve digits. None: the account of the first apply.
    """
    found = account_id(stack)
    noted = DataResource(
        stack,
        "account",
        lifecycle=TerraformResourceLifecycle(
            ignore_changes=["input"],
            postcondition=[
                Postcondition(
                    condition="${self.input == data.aws_caller_identity.current.account_id}",
                    error_message=f"This state is of AWS account ${{self.input}}, but the credentials are of {found}. "
                    "Use credentials of the state's account, or another folder, which has a state of its own.",
                )
            ],
        ),
    )
    noted.add_override("input", found)  # cdktf takes a map only
    # The input, not the output, which nobody knows before the first apply.
    secondary.allowed_account_ids = [f"${{terraform_data.{noted.friendly_unique_id}.input}}"]
    if account:
        primary.allowed_account_ids = [account]


def keep_state(stack: TerraformStack, id_: str, state: str | None, region: str) -> None:
    """Set where Terraform keeps the state of a stack.

    Args:
        stack: The stack, which already requires its Terraform version.
        id_: Its name, which is the name of the file or object.
        state: Location as s3://BUCKET/ENVIRONMENT; in a file beside the app if None.
        region: Where the bucket is.
    """
    if state is None:
        # Relative, so that nothing in the output names this machine: beside the app when Terraform runs in
        # cdktf.out/stacks/<name>.
        LocalBackend(stack, path=f"../../../terraform.{id_}.tfstate")
        return
    bucket, environment = _parts(state)
    S3Backend(stack, bucket=bucket, key=f"{environment}/{id_}.tfstate", region=region, encrypt=True)
    stack.add_override("terraform.backend.s3.use_lockfile", True)  # younger than cdktf
    stack.add_override("terraform.required_version", TERRAFORM_WITH_LOCK_FILES)
