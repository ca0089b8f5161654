"""The program `orpheus api`: listen, fork the writer, import the handlers, serve.

In that order: a taken port is told before anything else happens, the writer must be forked before
there is a loop or a thread, and handlers, whose import runs user code, come after it. So does the
server: what is imported before the fork stays in the writer's memory for good.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orpheus.api.exposure import check_exposure
from orpheus.api.writer_process import WriterProcess
from orpheus.errors import EXIT_OK, TemporaryError
from orpheus.settings import Settings
from orpheus.store.writer import serve

_BACKLOG = 2048


def run(settings: Settings) -> int:
    """Serve until TERM or INT; the exit code. Raises ProgramError where it cannot start."""
    check_exposure(settings)
    # Until the server has its own handlers: a stop is a clean stop at any moment.
    signal.signal(signal.SIGTERM, _stop_starting)
    with _listen(settings) as listener:
        writer = WriterProcess.start(lambda ours: serve(ours, settings), close=(listener.fileno(),))
        try:
            writer.wait_ready()
            # Here and not above: 20 MB that the writer has no use for.
            from orpheus.api.server import serve_requests

            return serve_requests(settings, listener, writer)
        finally:
            writer.stop()


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host.strip("[]"), settings.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise TemporaryError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
                "stop what uses it or choose another port with ORPHEUS_PORT"
            ) from None
        yield listener


def _stop_starting(_number: int, _frame: FrameType | None) -> None:
    sys.exit(EXIT_OK)
