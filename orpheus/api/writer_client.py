"""Asks the writer process to write, from the event loop.

Every route that changes something calls a method here and waits for the answer, which comes after
the commit. Requests are frames on a socketpair (4-byte length, JSON) and may be answered in any
order. A writer that is silent for ten seconds is killed: it may hold the gate, and everybody waits
for that; when it is gone, by whatever way, `on_lost` ends the API, and supervisord starts both
again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

import anyio
from pydantic_core import from_json, to_json

from orpheus.clock import SECOND_NS, Clock
from orpheus.domain.job import NewJob
from orpheus.errors import RequestError
from orpheus.log import get_logger

_log = get_logger(__name__)

PING_SECONDS = 2.0
SILENT_SECONDS = 10.0
ANSWER_SECONDS = 8.0

_BUSY = "the writer did not answer; try again shortly"


class _Channel(asyncio.Protocol):
    """Frames in and out. Futures rather than memory streams: this is the path of every write."""

    def __init__(self, clock: Clock, on_lost: Callable[[], None]) -> None:
        self._clock = clock
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._next = 0
        self.heard = clock.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports only look like it.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard = self._clock.monotonic()
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            end = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
            if len(buffer) < end:
                break
            self._answer(from_json(bytes(buffer[start + 4 : end])))
            start = end
        del buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(RequestError("store_busy", _BUSY))
        self._answers.clear()
        self._on_lost()

    def ask(self, verb: str, args: dict[str, Any]) -> tuple[int, asyncio.Future[Any]]:
        if self._transport is None:
            raise RequestError("store_busy", _BUSY)
        self._next += 1
        frame = to_json([self._next, verb, args])
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[self._next] = future
        self._transport.writelines((len(frame).to_bytes(4, "big"), frame))
        return self._next, future

    def forget(self, number: int) -> None:
        self._answers.pop(number, None)

    def close(self) -> None:
        self._on_lost = _nothing
        if self._transport is not None:
            self._transport.close()

    def _answer(self, frame: Any) -> None:
        if not isinstance(frame, list):
            return
        future = self._answers.pop(frame[0], None)
        # Done already: its caller has gone or given up.
        if future is None or future.done():
            return
        if frame[1] == "ok":
            future.set_result(frame[2])
        else:
            future.set_exception(RequestError(frame[2], frame[3]))


def _nothing() -> None:
    pass


class WriterClient:
    """The verbs of the writer. `connect` inside the loop, then `watch` in a task of its own."""

    def __init__(
        self,
        ours: socket.socket,
        clock: Clock,
        kill: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._socket = ours
        self._clock = clock
        self._kill = kill
        self._on_lost = on_lost
        self._channel: _Channel | None = None
        self.observe: Callable[[float, bool], None] = lambda seconds, busy: None

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, self._channel = await loop.create_connection(
            lambda: _Channel(self._clock, self._on_lost), sock=self._socket
        )

    def close(self) -> None:
        """Hang up without calling `on_lost`; the writer finishes what it has and ends."""
        if self._channel is not None:
            self._channel.close()

    async def watch(self) -> None:
        """Ping; kill a writer that has been silent for too long."""
        channel = self._required()
        while True:
            before = self._clock.monotonic()
            try:
                _, answer = channel.ask("ping", {})
            except RequestError:
                return
            answer.add_done_callback(_retrieve)
            await anyio.sleep(PING_SECONDS)
            now = self._clock.monotonic()
            if now - before > 2 * PING_SECONDS * SECOND_NS:
                # It was us who stood still: its answers wait unread in the socket.
                channel.heard = now
            elif now - channel.heard > SILENT_SECONDS * SECOND_NS:
                _log.error("the writer is silent; killing it", seconds=SILENT_SECONDS)
                self._kill()
                return

    # --- verbs ------------------------------------------------------------------------------------

    async def submit(
        self, jobs: Sequence[NewJob], idempotency: tuple[str, str, str] | None = None
    ) -> dict[str, Any]:
        """Store jobs; `idempotency` is (scope, key, hash of the body)."""
        wire = [job.to_wire() for job in jobs]
        answer: dict[str, Any] = await self._ask("submit", jobs=wire, idempotency=idempotency)
        return answer

    async def submit_alike(self, job: NewJob, payloads: Sequence[str]) -> dict[str, Any]:
        """Store jobs that differ in their payloads only; answers `first` (id) and `state`."""
        answer: dict[str, Any] = await self._ask(
            "submit_alike", job=job.to_wire(), payloads=payloads, count=len(payloads)
        )
        return answer

    async def cancel(self, job_id: int) -> dict[str, Any]:
        answer: dict[str, Any] = await self._ask("cancel", id=job_id)
        return answer

    async def retry(self, job_id: int) -> dict[str, Any]:
        answer: dict[str, Any] = await self._ask("retry", id=job_id)
        return answer

    async def delete(self, job_id: int) -> None:
        await self._ask("delete", id=job_id)

    async def pause(self, queue: str) -> None:
        await self._ask("pause", queue=queue)

    async def resume(self, queue: str) -> None:
        await self._ask("resume", queue=queue)

    async def probe(self) -> None:
        """Take the gate and a write transaction, and give both back."""
        await self._ask("probe")

    async def _ask(self, verb: str, **args: Any) -> Any:
        channel = self._required()
        started = self._clock.monotonic()
        busy = False
        number, future = channel.ask(verb, args)
        # A timer, not a cancel scope around the wait: this is the path of every write.
        timer = future.get_loop().call_later(ANSWER_SECONDS, _give_up, future)
        try:
            return await future
        except RequestError as error:
            busy = error.code == "store_busy"
            raise
        finally:
            timer.cancel()
            channel.forget(number)
            self.observe((self._clock.monotonic() - started) / SECOND_NS, busy)

    def _required(self) -> _Channel:
        if self._channel is None:
            raise RuntimeError("the writer client is not connected")
        return self._channel


def _give_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(RequestError("store_busy", _BUSY))


def _retrieve(answer: asyncio.Future[Any]) -> None:
    """A ping's failure is of no interest: `heard` tells."""
    if not answer.cancelled():
        answer.exception()
