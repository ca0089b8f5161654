"""Says at once that the API's port is taken. Runs before .venv exists: standard library only.

A rough reading of the settings is enough here (control.py checks again with the real ones); what
it cannot read it leaves to them.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import tomllib
from pathlib import Path

EXIT_TEMPORARY = 75


def port_is_taken(host: str, port: int) -> bool:
    """Whether binding fails because somebody listens there; port 0 is never taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server does it: connections in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def complaint(host: str, port: int) -> str:
    """The line an operator reads."""
    return (
        f"Port {port} on {host} is in use. Stop what listens there, or choose another port: "
        f"ORPHEUS_PORT={port + 1 if port < 65535 else 8001} ./scripts/start"
    )


def _configured() -> dict[str, object]:
    path = os.environ.get("ORPHEUS_CONFIG") or "config/orpheus.toml"
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _runs_already() -> bool:
    try:
        pid = int(Path("var/run/supervisord.pid").read_text(encoding="ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return False
    return True


def main() -> int:
    """Exit code: 75 if the port is taken, and not by the Orpheus of this checkout."""
    configured = _configured()
    host = os.environ.get("ORPHEUS_HOST") or str(configured.get("host", "127.0.0.1"))
    port = os.environ.get("ORPHEUS_PORT") or str(configured.get("port", 8000))
    if not port.isascii() or not port.isdigit() or _runs_already():
        return 0
    try:
        if port_is_taken(host, int(port)):
            print(complaint(host, int(port)), file=sys.stderr)
            return EXIT_TEMPORARY
    except (OSError, OverflowError):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
