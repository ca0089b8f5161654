"""The bare FastAPI route as a running process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from bench.ports import free_port
from bench.processes import environment, python, running, wait_for


@contextlib.contextmanager
def bare_server(folder: Path) -> Iterator[int]:
    """Its port, for the length of a block."""
    port = free_port()
    log = folder / "bare.txt"
    with running([python("bench.bare_app", str(port))], log, environment(), folder):
        wait_for(lambda: listening(port), 30, "the bare FastAPI route")
        yield port


def listening(port: int) -> bool:
    """Whether something accepts connections on loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
