"""A WebSocket client without manners: says exactly the bytes it is told to, and reads on demand."""

from __future__ import annotations

import socket
import struct
from types import TracebackType

from tests.api.running import Api

TEXT, BINARY, CLOSE, PING, CONT = 0x1, 0x2, 0x8, 0x9, 0x0
HANDSHAKE = (
    b"GET /ws%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, length: int | None = None) -> bytes:
    """A masked frame; `length` is what its head claims."""
    size = len(data) if length is None else length
    first = opcode | (0x80 if fin else 0)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    # A mask of zeros leaves the data as they are.
    return head + bytes(4) + data


class RawClient:
    """Connected and past the handshake, unless `shake` is false."""

    def __init__(
        self, api: Api, query: bytes = b"", shake: bool = True, timeout: float = 20
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", api.system.port), timeout=timeout)
        self._received = b""
        if shake:
            self.socket.sendall(HANDSHAKE % query)
            assert self._until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Whether it could be sent: a server may have had enough."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def receive(self) -> tuple[int, bytes] | None:
        """The next frame's opcode and data; None where the connection ends instead."""
        try:
            first, second = self._take(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", self._take(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._take(8))
            return first & 0x0F, self._take(size)
        except (EOFError, ConnectionError):
            return None

    def close_code(self) -> int | None:
        """Read to the end; the code of the server's close frame, None where there was none."""
        while (received := self.receive()) is not None:
            opcode, data = received
            if opcode == CLOSE:
                return int(struct.unpack("!H", data[:2])[0])
        return None

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            piece = self.socket.recv(65_536)
            if not piece:
                raise EOFError
            self._received += piece
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            piece = self.socket.recv(65_536)
            assert piece, self._received
            self._received += piece
        head, _, self._received = self._received.partition(mark)
        return head
