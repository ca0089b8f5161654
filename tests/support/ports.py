"""Free TCP ports on the loopback interface, so that no test ever meets a running Orpheus."""

from __future__ import annotations

import socket

_given: set[int] = set()


def free_port() -> int:
    """A port nobody listens on now, and none that this run was given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
