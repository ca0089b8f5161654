"""The program `orpheus api`: listen, fork the writer, import the handlers, serve.

In that order: a taken port is told before anything else happens, the writer must be forked before
there is a loop or a thread, and handlers, whose import runs user code, come after it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from orpheus.api import server_log
from orpheus.api.app import create_app, front
from orpheus.api.security import is_loopback_bind
from orpheus.api.services import Services
from orpheus.api.sockets import MAX_MESSAGE_BYTES
from orpheus.api.writer_client import WriterClient
from orpheus.api.writer_process import WriterProcess
from orpheus.clock import SystemClock
from orpheus.errors import EXIT_OK, EXIT_TEMPORARY, ConfigurationError, TemporaryError
from orpheus.handlers.loader import load_registry
from orpheus.log import get_logger
from orpheus.settings import Settings
from orpheus.store.writer import serve

_log = get_logger(__name__)

_BACKLOG = 2048
# What is left of three seconds after the goodbyes, for requests that are being answered.
_GRACEFUL_SECONDS = 2
_GOODBYE_SECONDS = 0.2


def run(settings: Settings) -> int:
    """Serve until TERM or INT; the exit code. Raises ProgramError where it cannot start."""
    if not is_loopback_bind(settings.host):
        raise ConfigurationError(
            f"ORPHEUS_HOST={settings.host} is reachable from other machines, which is not "
            "supported yet; use 127.0.0.1 and put a proxy in front"
        )
    # Until the server has its own handlers: a stop is a clean stop at any moment.
    signal.signal(signal.SIGTERM, _stop_starting)
    with _listen(settings) as listener:
        writer = WriterProcess.start(lambda ours: serve(ours, settings), close=(listener.fileno(),))
        try:
            writer.wait_ready()
            return _serve(settings, listener, writer)
        finally:
            writer.stop()


def _serve(settings: Settings, listener: socket.socket, writer: WriterProcess) -> int:
    server_log.install()
    clock = SystemClock()
    registry = load_registry(settings)
    client = WriterClient(writer.socket, clock, writer.kill, lambda: server.fail())
    app = create_app(settings, registry, client, clock, lambda: server.fail())
    server = _Server(front(app, clock), app.state.services)
    host, port = listener.getsockname()[:2]
    _log.info("listening", url=f"http://{host}:{port}", data_dir=str(settings.data_dir))
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))
    return EXIT_TEMPORARY if server.failed else EXIT_OK


class _Server(uvicorn.Server):
    """uvicorn, told how Orpheus starts and stops."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.failed = False
        self._services = services
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        )
        super().__init__(config)

    def fail(self) -> None:
        """End with a code that makes supervisord start again."""
        _log.error("the API cannot go on without its writer; ending")
        self.failed = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let waits and sockets go by themselves first, so that each gets its goodbye."""
        self._services.health.draining = True
        self._services.feed.close()
        await asyncio.sleep(_GOODBYE_SECONDS)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn, but without raising the signal again at the end: a stop asked for is no
        death by signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


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
