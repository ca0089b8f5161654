"""Who sends no more, or reads no more, is let go; who is slow is not. In short seconds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp

from orpheus.api import wire
from orpheus.api.bodies import Bodies
from tests.api.test_wire import STALLED, was_let_go
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

SIZE = 16_000_000
LARGE = Response(b"x" * SIZE)


@pytest.mark.parametrize("name", STALLED)
async def test_who_says_nothing_more_is_let_go(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.1)
    guarded = Bodies(Response(b"{}"), read_seconds=0.1)
    async with served(guarded) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(STALLED[name][0])
        was_let_go(name, await asyncio.wait_for(reader.read(), 10))
        writer.close()
        assert not server.server_state.tasks


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """A server with our protocols, and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=wire.HttpProtocol,
        ws=wire.WebSocketProtocol,
        lifespan="off",
        timeout_keep_alive=1,
        log_config=None,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield server, listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def ask(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


async def test_who_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.2)
    async with served(LARGE) as (server, port):
        with await ask(port):

            async def gone() -> bool:
                return server.server_state.total_requests > 0 or not server.server_state.connections

            async def come() -> bool:
                return bool(server.server_state.connections)

            await eventually_async(come)
            await eventually_async(gone)
            assert not server.server_state.tasks


async def test_who_reads_slowly_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.3)
    async with served(LARGE) as (_, port):
        with await ask(port) as client:
            loop = asyncio.get_running_loop()
            received = 0
            while received < SIZE:
                piece = await loop.sock_recv(client, 1_000_000)
                assert piece, f"cut after {received}"
                received += len(piece)
                if received < 2_000_000:
                    # Longer in all than one may stall, shorter each time.
                    await asyncio.sleep(0.02)
