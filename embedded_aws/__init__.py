"""An AWS on this machine, to which the real Terraform and the real AWS provider deploy the stack.

The server is ministack with this project's fidelity patches (``embedded_aws.patches``). It listens on the loopback
address only, enforces IAM, and leaves nothing behind when it stops.

Example:
    >>> from embedded_aws import EmbeddedAws
    >>> with EmbeddedAws() as aws:
    ...     aws.client("sts", "us-east-1").get_caller_identity()["Account"]
    '000000000000'
"""

from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.server import EmbeddedAws

__all__ = ["EmbeddedAws", "EmbeddedAwsError"]
