"""The API's end of the writer's socket, for tests: a real forked writer at the other end."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orpheus.clock import SystemClock
from orpheus.ipc.doorbell import Doorbell
from orpheus.ipc.process import fork
from orpheus.settings import Settings
from orpheus.store import writer
from orpheus.store.database import close, connect_readonly
from tests.support.stores import new_job

HEADER = struct.Struct(">I")


@dataclass
class Peer:
    """The API's end of the socket."""

    sock: socket.socket
    pid: int
    settings: Settings
    _last: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def send(self, *requests: tuple[str, dict[str, Any]]) -> list[int]:
        """Send requests in one piece and return their ids."""
        ids = []
        data = b""
        for verb, args in requests:
            self._last += 1
            ids.append(self._last)
            body = json.dumps([self._last, verb, args]).encode()
            data += HEADER.pack(len(body)) + body
        self.sock.sendall(data)
        return ids

    def receive(self) -> Any:
        """The next frame; EOFError at the end of the stream."""
        while True:
            if len(self._buffer) >= HEADER.size:
                (length,) = HEADER.unpack_from(self._buffer)
                if len(self._buffer) >= HEADER.size + length:
                    body = bytes(self._buffer[HEADER.size : HEADER.size + length])
                    del self._buffer[: HEADER.size + length]
                    return json.loads(body)
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self._buffer += data

    def ask(self, verb: str, **args: Any) -> Any:
        """One request and the value of its answer."""
        (id_,) = self.send((verb, args))
        answer = self.receive()
        assert answer[:2] == [id_, "ok"], answer
        return answer[2]

    def refused(self, verb: str, **args: Any) -> str:
        """The code of the error that a request gets."""
        (id_,) = self.send((verb, args))
        answer = self.receive()
        assert answer[:2] == [id_, "error"], answer
        assert answer[3]
        return str(answer[2])

    def submit(self, **values: Any) -> Any:
        return self.ask("submit", jobs=[wire(**values)], idempotency=None)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = connect_readonly(self.settings.database_path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            close(connection)

    def end(self) -> int:
        """Hang up, as the API does when it stops, and return the exit code."""
        self.sock.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def wire(**values: Any) -> list[Any]:
    return new_job(**values).to_wire()


@contextmanager
def started(settings: Settings) -> Iterator[Peer]:
    ours, theirs = socket.socketpair()
    pid = fork(lambda: writer.serve(theirs, settings, SystemClock()), close=(ours.fileno(),))
    theirs.close()
    ours.settimeout(20)
    try:
        yield Peer(ours, pid, settings)
    finally:
        ours.close()
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass


def rung(bell: Doorbell) -> bool:
    """Whether something waits in the bell; it is left there."""
    return bool(select.select([bell.fileno()], [], [], 0)[0])
