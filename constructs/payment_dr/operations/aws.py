"""Calls to AWS: each failed call becomes an error with a hint."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ProxyConnectionError
from botocore.exceptions import ConnectionError as NoConnectionError

from payment_dr.operations.errors import OperationError, lack_of_this_machine

T = TypeVar("T")


class CannotTellError(OperationError):
    """AWS rejected a call, or the call could not be made, so the result is inconclusive."""


PROXY_HINT = "check HTTPS_PROXY, and NO_PROXY, which names the hosts to reach without a proxy"


class NoAnswerError(CannotTellError):
    """A service does not answer at all, or with 5xx."""


def asked(what: str, call: Callable[[], T]) -> T:
    """Call AWS.

    Args:
        what: The service, such as "DynamoDB in us-east-1".
        call: Makes the call.

    Raises:
        NoAnswerError: No answer came, or one with 5xx.
        CannotTellError: AWS or a proxy rejected the call, or there are no credentials.
        ThisMachineError: This machine could not make the call.
    """
    try:
        return call()
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code") or status
        if status >= 500:
            raise NoAnswerError(f"{what} answers {status}", hint="look at the AWS Health Dashboard") from error
        said = " ".join(str(code).split())  # on one line: the next one would look like a message of this program
        raise CannotTellError(f"{what} rejects the call: {said}", hint="check these credentials") from error
    except (BotoCoreError, OSError) as error:
        if lacking := lack_of_this_machine(error):
            raise lacking from error
        if isinstance(error, ProxyConnectionError):  # a proxy rejected it, not the region
            raise CannotTellError(f"{what} cannot be reached: {error}", hint=PROXY_HINT) from error
        if "CERTIFICATE_VERIFY_FAILED" in str(error):  # nor is the certificate of a proxy that reads TLS
            hint = "set AWS_CA_BUNDLE to a file with the certificates that this machine must trust"
            raise CannotTellError(f"{what} cannot be reached: {error}", hint=hint) from error
        if isinstance(error, NoConnectionError | HTTPClientError):
            raise NoAnswerError(f"{what} does not answer", hint="look at the AWS Health Dashboard") from error
        raise CannotTellError(f"{what} cannot be reached: {error}", hint="log in to AWS, or set AWS_PROFILE") from error


def if_exists(what: str, call: Callable[[], T], absent: Collection[str]) -> T | None:
    """Call AWS. None if AWS answers with one of the error codes in `absent`: what the call is about does not exist.

    Raises:
        OperationError: The call failed, see `asked`.
    """

    def called() -> T | None:
        try:
            return call()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in absent:
                return None
            raise

    return asked(what, called)


def listed(client: Any, operation: str, items: str, **arguments: Any) -> Iterator[Any]:
    """List with any boto3 client, page by page where the operation has pages.

    Args:
        client: The service's client.
        operation: Name of the call, such as ``list_tables``.
        items: The key of the list in the answer.
        arguments: Arguments of the call.
    """
    pages = (
        client.get_paginator(operation).paginate(**arguments)
        if client.can_paginate(operation)
        else [getattr(client, operation)(**arguments)]
    )
    return (item for page in pages for item in page.get(items, []))
