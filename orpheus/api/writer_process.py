"""The API's writer process: started before the loop and any thread, ended after them.

Owns its pid and the parent's end of the socketpair; `api.main` calls it, `api.writer_client` talks
over the socket. Everything here is synchronous and happens outside the event loop.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable

from pydantic_core import from_json

from orpheus.errors import EXIT_INTERNAL, EXIT_TEMPORARY, TemporaryError
from orpheus.ipc.process import fork

_READY_SECONDS = 120.0
_STOP_SECONDS = 3.0


class WriterFailed(TemporaryError):
    """The writer could not start; `exit_code` is its own judgement of whether to try again."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class WriterProcess:
    """The forked writer; `socket` is our end, handed to the client once the loop runs."""

    def __init__(self, pid: int, ours: socket.socket) -> None:
        self.pid = pid
        self.socket = ours
        self._exit: int | None = None

    @classmethod
    def start(
        cls, serve: Callable[[socket.socket], int], close: Iterable[int] = ()
    ) -> WriterProcess:
        """Fork `serve`; `close` are descriptors of ours that the writer must not keep."""
        ours, theirs = socket.socketpair()

        def child() -> int:
            ours.close()
            return serve(theirs)

        pid = fork(child, close=close)
        theirs.close()
        return cls(pid, ours)

    def wait_ready(self) -> None:
        """Wait for its first frame: it has checked and migrated. Raises WriterFailed."""
        self.socket.settimeout(_READY_SECONDS)
        try:
            length = int.from_bytes(self._exactly(4), "big")
            greeting = from_json(self._exactly(length))
        except (OSError, EOFError):
            raise WriterFailed("the writer process ended while it started", self.stop()) from None
        if not greeting["ready"]:
            self.stop()
            raise WriterFailed(greeting["error"], greeting["exit"])
        self.socket.setblocking(False)

    def kill(self) -> None:
        """End it now. Safe at any time: its pid is ours until `stop` has reaped it."""
        if self._exit is None:
            os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> int:
        """Close the socket, which asks it to finish; kill it if it does not. Its exit code."""
        self.socket.close()
        deadline = time.monotonic() + _STOP_SECONDS
        while self._exit is None:
            if self._reap(os.WNOHANG):
                break
            if time.monotonic() > deadline:
                self.kill()
                self._reap(0)
                break
            time.sleep(0.01)
        assert self._exit is not None
        return self._exit

    def _reap(self, options: int) -> bool:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            # Killed by somebody: worth another try. Exit codes are its own judgement.
            self._exit = EXIT_TEMPORARY if code < 0 else code or EXIT_INTERNAL
        return bool(pid)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data
