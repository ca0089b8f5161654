"""How a connection ends when its client does not read, or has left."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Send
from starlette.websockets import WebSocket

from orpheus.api import sockets
from orpheus.api.metrics import SocketMetrics
from orpheus.api.sockets import Connection
from orpheus.feed.stream import Frame
from orpheus.store.reads import Reads

pytestmark = pytest.mark.anyio


async def endless() -> AsyncGenerator[Frame, None]:
    while True:
        yield Frame("events", "{}")


async def ignore(_: object) -> None:
    pass


async def serve(tmp_path: Path, told: list[Message], send: Send) -> None:
    """A connection with more to send than its client takes; `told` is what it was sent so far."""

    async def receive() -> Message:
        if not told:
            return {"type": "websocket.connect"}
        await anyio.sleep_forever()
        raise AssertionError

    socket = WebSocket({"type": "websocket", "headers": [], "path": "/ws"}, receive, send)
    await socket.accept()
    metrics = SocketMetrics(CollectorRegistry())
    connection = Connection(socket, Reads(tmp_path / "none.db"), metrics)
    with anyio.fail_after(5):
        await connection.serve(endless(), ignore, anyio.Event())


async def test_a_client_that_does_not_read_is_let_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sockets, "STALL_SECONDS", 0.05)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        # The buffers take a few frames, then the client's window is full.
        if len(sent) > 3 and message["type"] == "websocket.send":
            await anyio.sleep_forever()
        sent.append(message)

    await serve(tmp_path, sent, send)
    assert sent[-1]["type"] == "websocket.close"
    assert sent[-1]["code"] == 1013


async def test_a_client_that_left_while_more_was_to_be_sent_is_no_error(tmp_path: Path) -> None:
    tried: list[Message] = []

    async def send(message: Message) -> None:
        tried.append(message)
        if message["type"] == "websocket.send":
            raise OSError("gone")

    await serve(tmp_path, tried, send)
    assert [message["type"] for message in tried] == ["websocket.accept", "websocket.send"]
