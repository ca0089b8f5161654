"""Where an adapter finds its folder, its server and the commands of its library."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = "BENCH_FOLDER"
SERVER_URL = "BENCH_SERVER_URL"


def folder() -> Path:
    """The temporary folder of this peer in this round."""
    return Path(os.environ[FOLDER])


def server_url() -> str:
    """The address of its server."""
    return os.environ[SERVER_URL]


def command(name: str) -> str:
    """A command of the environment's `bin`."""
    return str(Path(sys.executable).parent / name)
