"""Only an account's own keys are its root.

AWS: rejects an access key that it has not issued, "The security token included in the request is invalid"
(https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html).

ministack 1.5.33: the access key ``test``, which tutorials for emulators use, is the root of the default account.

Why it matters: a client with such a default, instead of the role it should have, could do everything. Here it is
rejected as on AWS. A 12-digit access key stays the root of that account, which the embedded AWS uses for
administration: ``request_signatures`` requires its secret.
"""

from ministack.core import iam_evaluator  # type: ignore[import-untyped]
from ministack.services import sts  # type: ignore[import-untyped]


def apply() -> None:
    """Reject the access key ``test``."""
    is_root_access_key = iam_evaluator.is_root_access_key

    def is_root(access_key_id: str) -> bool:
        return access_key_id != "test" and bool(is_root_access_key(access_key_id))

    iam_evaluator.is_root_access_key = is_root
    sts.is_root_access_key = is_root
