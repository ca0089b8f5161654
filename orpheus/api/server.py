"""The API's http process: uvicorn, told how Orpheus starts and stops.

`api.main` imports this after the fork of the writer and calls `serve_requests`.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from orpheus.absent import absent
from orpheus.api import server_log
from orpheus.api.services import Services
from orpheus.api.sockets import MAX_MESSAGE_BYTES
from orpheus.api.wire import HttpProtocol, WebSocketProtocol
from orpheus.api.writer_client import WriterClient
from orpheus.api.writer_process import WriterProcess
from orpheus.clock import SystemClock
from orpheus.errors import EXIT_OK, EXIT_TEMPORARY
from orpheus.handlers.loader import load_registry
from orpheus.log import get_logger
from orpheus.settings import Settings

# With every route FastAPI asks whether its types are models of pydantic's version 1: 3 MB to answer
# no. It takes the absence for a no, too.
with absent("pydantic.v1"):
    from orpheus.api.app import create_app, front

_log = get_logger(__name__)

# What is left of three seconds after the goodbyes, for requests that are being answered.
_GRACEFUL_SECONDS = 2
_GOODBYE_SECONDS = 0.2
_MAX_FILES = 65_536


def serve_requests(settings: Settings, listener: socket.socket, writer: WriterProcess) -> int:
    """Import the handlers and serve until TERM or INT; the exit code."""
    server_log.install()
    _allow_many_files()
    clock = SystemClock()
    registry = load_registry(settings)
    client = WriterClient(writer.socket, clock, writer.kill, lambda: server.fail())
    app = create_app(settings, registry, client, clock, lambda: server.fail())
    server = _Server(front(app, clock), app.state.services)
    host, port = listener.getsockname()[:2]
    _log.info("listening", url=f"http://{host}:{port}", data_dir=str(settings.data_dir))
    # What lives as long as the process is not searched for garbage again and again.
    gc.freeze()
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))
    return EXIT_TEMPORARY if server.failed else EXIT_OK


def _allow_many_files() -> None:
    """Every connection is an open file, and the usual 1,024 are soon reached by idle ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(_MAX_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(uvicorn.Server):
    """uvicorn, with our ways to start and stop."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.failed = False
        self._services = services
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=HttpProtocol,
            ws=WebSocketProtocol,
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
