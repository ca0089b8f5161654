"""Free ports on the loopback interface."""

from __future__ import annotations

import socket

_given: set[int] = {8000}


def free_port() -> int:
    """A port nobody listens on, never 8000, and none that was given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
