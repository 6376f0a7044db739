import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import h11
import pytest
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol

from embedded_aws.patches import whole_responses

EVENTS = [
    h11.Response(status_code=200, headers=[(b"content-length", b"4")]),
    h11.Data(data=b"body"),
    h11.EndOfMessage(),
]


def pieces_sent(answer: Callable[[H11Protocol, Any], Awaitable[None]]) -> list[bytes]:
    """What goes out, piece by piece, for a response with a head and a body."""
    sent: list[bytes] = []
    protocol = H11Protocol.__new__(H11Protocol)
    protocol.connection = h11.Connection(h11.SERVER)
    protocol.connection.receive_data(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    while protocol.connection.next_event() is not h11.PAUSED and protocol.connection.their_state is not h11.DONE:
        pass

    async def send(event: Any) -> None:
        assert isinstance(event, RawData)
        sent.append(event.data)

    protocol.send = send

    async def respond() -> None:
        for event in EVENTS:
            await answer(protocol, event)

    asyncio.run(respond())
    return [piece for piece in sent if piece]


def test_head_and_body_leave_together() -> None:
    (whole,) = pieces_sent(whole_responses._send_h11_event)

    assert whole.startswith(b"HTTP/1.1 200")
    assert whole.endswith(b"\r\n\r\nbody")


def test_a_response_without_a_body_leaves_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.embedded_aws.patches.test_whole_responses.EVENTS",
        [h11.Response(status_code=204, headers=[]), h11.EndOfMessage()],
    )

    (whole,) = pieces_sent(whole_responses._send_h11_event)

    assert whole.startswith(b"HTTP/1.1 204")


def test_upstream_still_sends_them_apart() -> None:
    pieces = pieces_sent(H11Protocol._send_h11_event)

    assert len(pieces) == 2, "hypercorn sends a response in one piece: whole_responses may go"
