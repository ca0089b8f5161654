"""One WebSocket from accept to close: who may stay, how fast it must read, how it ends.

Whatever a connection is for, three things run side by side: frames go out, one at a time; messages
come in; and the end of the program is watched for. The first of them to end decides the close code.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager

import anyio
from pydantic_core import from_json
from starlette.websockets import WebSocket, WebSocketDisconnect

from orpheus.api.metrics import SocketMetrics
from orpheus.clock import SECOND_US
from orpheus.feed.stream import Frame
from orpheus.store.reads import Reads

MAX_CLIENTS = 200
MAX_MESSAGE_BYTES = 64 * 1024
STALL_SECONDS = 30.0
_BYE_SECONDS = 0.5
_BYE = Frame("bye", '{"type":"bye","retry_ms":1000}')

UNSUPPORTED, NOT_JSON, BAD_REQUEST, RESTARTING, TRY_LATER = 1003, 1007, 1008, 1012, 1013

OnMessage = Callable[[object], Awaitable[None]]


class Clients:
    """How many connections there are."""

    def __init__(self, limit: int = MAX_CLIENTS) -> None:
        self._limit = limit
        self._count = 0

    @property
    def full(self) -> bool:
        return self._count >= self._limit

    @contextmanager
    def one(self) -> Iterator[None]:
        """Counts as a client while in the block."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


class Refused(Exception):
    """A message that ends the connection."""


class Connection:
    """One accepted socket; `serve` runs it to its end."""

    def __init__(self, socket: WebSocket, reads: Reads, metrics: SocketMetrics) -> None:
        self._socket = socket
        self._reads = reads
        self._metrics = metrics
        self._scope = anyio.CancelScope()
        self._end: tuple[int, str] | None = None

    async def serve(
        self, frames: AsyncGenerator[Frame, None], on_message: OnMessage, closing: anyio.Event
    ) -> None:
        """Send `frames` and take messages until the client leaves or something ends it."""
        with self._scope:
            async with aclosing(frames), anyio.create_task_group() as tasks:
                tasks.start_soon(self._receive, on_message)
                tasks.start_soon(self._watch, closing)
                async for frame in frames:
                    await self._send(frame)
                    # The next frame may be there already, without a wait that a cancel could end.
                    if self._scope.cancel_called:
                        break
        if self._end is None:
            return
        if closing.is_set():
            with anyio.move_on_after(_BYE_SECONDS):
                await self._socket.send_text(_BYE.text)
        # A client that reads nothing also blocks its close frame: as long again, then cut.
        with anyio.move_on_after(_BYE_SECONDS if closing.is_set() else STALL_SECONDS):
            await self._socket.close(*self._end)

    def _finish(self, code: int, reason: str) -> None:
        self._end = self._end or (code, reason)
        self._scope.cancel()

    async def _send(self, frame: Frame) -> None:
        try:
            with anyio.fail_after(STALL_SECONDS):
                await self._socket.send_text(frame.text)
        except TimeoutError:
            self._finish(TRY_LATER, "reading too slowly; resume from your last seq")
            return
        except (WebSocketDisconnect, OSError):
            self._scope.cancel()
            return
        self._metrics.frames.labels(frame.kind).inc()
        if frame.newest_at is not None:
            self._metrics.lag.observe(max(0, self._reads.now() - frame.newest_at) / SECOND_US)

    async def _receive(self, on_message: OnMessage) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                self._scope.cancel()
                return
            text = message.get("text")
            if text is None:
                self._finish(UNSUPPORTED, "text frames only")
                return
            try:
                await on_message(from_json(text))
            except ValueError:
                self._finish(NOT_JSON, "not JSON")
                return
            except Refused as error:
                self._finish(BAD_REQUEST, str(error)[:100])
                return

    async def _watch(self, closing: anyio.Event) -> None:
        await closing.wait()
        self._finish(RESTARTING, "restarting")
