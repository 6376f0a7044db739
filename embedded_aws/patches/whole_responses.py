"""A response is sent in one piece.

AWS: a client that has sent its request gets the whole response
(https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html lists what else it may get).

ministack 1.5.33: hypercorn writes head and body of a response one after the other. Now and then Terraform's AWS
provider drops the connection between the two, with the body still on its way, and sends the request again.

Why it matters: the second CreateRole or CreatePolicy answers ``EntityAlreadyExists``, and one in five runs of
``terraform apply`` fails on a busy machine.
"""

from typing import Any

import h11
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol


async def _send_h11_event(protocol: H11Protocol, event: Any) -> None:
    try:
        data = protocol.connection.send(event)
    except h11.LocalProtocolError:
        if protocol.connection.their_state is not h11.ERROR:
            raise
        return
    held: list[bytes] = protocol.__dict__.setdefault("held_head", [])
    held.append(data or b"")
    if not isinstance(event, h11.Response):  # its body, or at least its end, follows at once
        await protocol.send(RawData(data=b"".join(held)))
        held.clear()


def apply() -> None:
    """Delay the head of a response until the first part of its body, or its end, is sent."""
    H11Protocol._send_h11_event = _send_h11_event  # type: ignore[method-assign, assignment]
