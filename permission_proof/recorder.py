"""An embedded AWS that writes down what it authorizes: which action on which resource, by whose access key.

ministack leaves no trace of what it allows. This is no patch of the emulator's answers, so it is not with the patches:
only ``permission_proof.deployer`` starts it, for the other recorded work too.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

from embedded_aws import emulator
from embedded_aws.server import EmbeddedAws

_MARK = "authorized: "


class RecordingAws(EmbeddedAws):
    """An embedded AWS that remembers what it was asked to authorize, and did; its branches do so too."""

    _command: ClassVar[tuple[str, ...]] = (sys.executable, "-m", "permission_proof.recorder")


def authorized(aws: EmbeddedAws, access_key: str) -> Iterator[tuple[str, str]]:
    """Each action that a caller was allowed so far, and the ARN it was asked about, in the order of the calls.

    Args:
        aws: A `RecordingAws`, or a branch of one, which knows what happened since it began.
        access_key: Of an IAM user; the account's root is never asked about.
    """
    for line in aws.log_text().splitlines():
        _, mark, record = line.partition(_MARK)
        if mark:
            caller, action, resource_arn = json.loads(record)
            if caller == access_key:
                yield action, resource_arn


def _record() -> None:
    from ministack.core import iam_evaluator  # type: ignore[import-untyped] # once its environment has been read

    enforce = iam_evaluator.enforce

    def enforce_and_record(
        access_key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: Any = None
    ) -> Any:
        refused = enforce(access_key, action, service, region, resource_arn, service_context)
        if refused is None:
            sys.stdout.write(f"{_MARK}{json.dumps([access_key, action, resource_arn])}\n")
            sys.stdout.flush()
        return refused

    iam_evaluator.enforce = enforce_and_record


def main() -> None:
    """Serve as ``embedded_aws.emulator`` does, and record."""
    from embedded_aws import patches  # loads ministack, which sets up logging for its whole process

    apply_all = patches.apply_all

    def apply_all_and_record() -> None:
        apply_all()
        _record()

    patches.apply_all = apply_all_and_record
    emulator.main()


if __name__ == "__main__":
    main()
