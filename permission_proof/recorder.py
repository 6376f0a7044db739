"""An embedded AWS that records what it authorizes: the action, the resource and the access key.

ministack does not log what it allows. This changes no answer of the emulator, so it is not one of the patches. Only
``permission_proof.deployer`` starts it, also for the other recorded work.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

from embedded_aws import emulator
from embedded_aws.server import EmbeddedAws

_MARK = "authorized: "


class RecordingAws(EmbeddedAws):
    """An embedded AWS that logs what it authorizes. Its branches do too."""

    _command: ClassVar[tuple[str, ...]] = (sys.executable, "-m", "permission_proof.recorder")


def authorized(aws: EmbeddedAws, access_key: str) -> Iterator[tuple[str, str]]:
    """Each action that a caller was allowed so far, and its ARN, in the order of the calls.

    Args:
        aws: A `RecordingAws`, or a branch of one, which has the log since it began.
        access_key: The key of an IAM user. The account's root needs no authorization.
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
