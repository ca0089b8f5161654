"""What arrives before there is a request: uvicorn's protocols, with the bounds they lack.

`api.server` hands these to uvicorn. A head must be whole in time and of a size; a connection that
says nothing is let go; what is no HTTP is answered as everything else is; a WebSocket client can
make us keep neither endless pieces of a message nor answers it does not read. Nothing here knows
what is served.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from orpheus.api.problems import problem

HEAD_SECONDS = 10.0
HEAD_BYTES = 64 * 1024
# Pieces of one message; browsers and libraries send a message of our size in one or a few.
MAX_FRAGMENTS = 256
# A dashboard sends one for each topic when it connects, and then hardly any.
MAX_FRAMES_A_SECOND = 1000
SLICE_BYTES = 4096
# Pongs that wait for their client to read. Far more than the answers to all pings under way.
MAX_UNREAD_BYTES = 256 * 1024
STALL_SECONDS = 30.0

_NO_HTTP = "this is no valid HTTP/1.1; look at the request line, the headers, the body's length"
_NO_UPGRADE = "a request with a body cannot change the protocol; send no Upgrade header with it"
_TOO_LARGE = f"a request's head may have {HEAD_BYTES // 1024} KiB; send fewer or shorter headers"


class _MustRead(asyncio.Protocol):
    """Ends a connection whose client has taken nothing of what waits for it for a while."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _stall_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self._look_again, unread)

    def _look_again(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() < unread:
            self._await_reading()
        else:
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


class HttpProtocol(_MustRead, HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0
        self._arriving = 0
        self._refusal = ""
        self._upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._arriving = len(data)
        super().data_received(data)
        if self._upgraded or self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refusal = _TOO_LARGE
                self.send_400_response(_TOO_LARGE)
                return
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        # The sum is exact only where it could matter: this runs for every request.
        if self._head_bytes + self._arriving > HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEAD_BYTES:
                self._refuse(_TOO_LARGE)
        if self.parser.should_upgrade() and not self._should_upgrade() and self._has_body():
            # The parser would take the body for the other protocol.
            self._refuse(_NO_UPGRADE)
        self._in_head = False
        self._head_is_here()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._upgraded = True
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Answered as if it had not asked; but the parser takes no second request after it."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Called with what the parser could not take; `msg` is uvicorn's and says nothing."""
        detail = self._refusal or _NO_HTTP
        unanswered = self.cycle is not None and not self.cycle.response_complete
        if unanswered and not self.cycle.more_body:
            # Nonsense behind a whole request: that one gets its own answer, and is the last.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if unanswered and self.cycle.response_started:
            self.transport.close()
            return
        _answer(self.transport, _malformed(detail))

    def _refuse(self, detail: str) -> None:
        """From a callback of the parser, which makes of any exception one of its own."""
        self._refusal = detail
        raise ValueError(detail)

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        )

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if not self._in_head:
            self.transport.close()
            return
        detail = f"send the whole head of a request within {HEAD_SECONDS:g} seconds"
        _answer(self.transport, problem({}, "request_timeout", detail))


class WebSocketProtocol(_MustRead, WebSocketsSansIOProtocol):
    """One WebSocket connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._untaken = b""
        self._frames_seen = 0
        self._second = 0.0

    def data_received(self, data: bytes) -> None:
        """In slices: what arrives at once may be thousands of frames, and others wait."""
        more = bool(self._untaken)
        self._untaken += data
        if not more:
            self._take_slice()

    def _take_slice(self) -> None:
        if self.transport.is_closing():
            self._untaken = b""
            return
        piece, self._untaken = self._untaken[:SLICE_BYTES], self._untaken[SLICE_BYTES:]
        super().data_received(piece)
        if not self.handshake_initiated:
            # The head came whole, so this is all: uvicorn would wait for ever.
            _answer(self.transport, _malformed("this is no valid WebSocket handshake"))
        elif self._untaken:
            self.transport.pause_reading()
            self.loop.call_soon(self._take_slice)
        elif not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """As uvicorn, but what was read already comes before reading more."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            if not self._untaken:
                self.transport.resume_reading()
        return message

    async def send(self, message: Any) -> None:
        """As uvicorn, but where its parser has ended the connection the client is gone, and what
        was on its way is no defect of the app."""
        await self.writable.wait()
        if self.close_sent and message["type"] == "websocket.close":
            return
        if self.close_sent and message["type"] == "websocket.send":
            raise ClientDisconnected
        await super().send(message)

    def handle_text(self, event: Frame) -> None:
        if self._may_send():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if self._may_send():
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MAX_FRAGMENTS} fragments")
        elif self._may_send():
            super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        if self._may_send():
            super().handle_pong(event)

    def handle_ping(self) -> None:
        if not self._may_send():
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            # It would read no farewell either.
            self.transport.abort()

    def _may_send(self) -> bool:
        """Whether this frame is one of a number that anybody needs."""
        now = self.loop.time()
        if now - self._second >= 1:
            self._second = now
            self._frames_seen = 0
        self._frames_seen += 1
        if self._frames_seen <= MAX_FRAMES_A_SECOND:
            return True
        self._fail(CloseCode.POLICY_VIOLATION, f"more than {MAX_FRAMES_A_SECOND} frames a second")
        return False

    def _fail(self, code: CloseCode, reason: str) -> None:
        if not self.transport.is_closing():
            self.conn.fail(code, reason)
            self.handle_parser_exception()


def _malformed(detail: str) -> Response:
    response = problem({}, "invalid_parameter", detail)
    response.status_code = 400
    return response


def _answer(transport: asyncio.Transport, response: Response) -> None:
    """For who has not got as far as a request."""
    lines = [STATUS_LINE[response.status_code]]
    for name, value in (*response.raw_headers, (b"connection", b"close")):
        lines += [name, b": ", value, b"\r\n"]
    transport.write(b"".join([*lines, b"\r\n", bytes(response.body)]))
    transport.close()
