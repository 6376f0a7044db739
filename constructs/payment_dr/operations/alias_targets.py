"""The region that an alias record answers with. DNS gives only addresses: those of the target of the alias."""

import socket
from collections.abc import Iterable

from payment_dr.operations.deployed import Deployed
from payment_dr.side import SIDES


class AliasTargets:
    """The addresses of both regions' API Gateway domain names.

    They change all the time, and an answer has only a few of many, so this keeps all addresses seen before.

    Args:
        stack: A stack with a custom domain.
    """

    def __init__(self, stack: Deployed) -> None:
        self._names = [stack.target(side) for side in SIDES]
        self._seen: dict[str, str] = {}

    def target_of(self, addresses: Iterable[str]) -> str | None:
        """The domain name that has one of these addresses, if it is known now."""
        addresses = list(addresses)
        if not any(address in self._seen for address in addresses):
            for name in self._names:
                self._seen |= dict.fromkeys(_addresses_of(name), name)
        return next((self._seen[address] for address in addresses if address in self._seen), None)


def _addresses_of(name: str) -> list[str]:
    try:
        return socket.gethostbyname_ex(name)[2]
    except OSError:  # the next question may be answered
        return []
