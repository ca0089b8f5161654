"""Durable background jobs on one machine from one SQLite file.

    from orpheus import Context, PermanentError, job

This is what users import; nothing inside Orpheus imports it. Names are loaded on first use: the
package is also the parent of the master's modules, and the master must load no handlers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orpheus.client.direct import DirectClient
    from orpheus.client.direct_async import AsyncDirectClient
    from orpheus.client.http import Client
    from orpheus.errors import JobCancelled, JobTimedOut, PermanentError
    from orpheus.handlers.context import Context
    from orpheus.handlers.declaration import Backoff
    from orpheus.handlers.decorator import job

    __version__: str

__all__ = [
    "AsyncDirectClient",
    "Backoff",
    "Client",
    "Context",
    "DirectClient",
    "JobCancelled",
    "JobTimedOut",
    "PermanentError",
    "__version__",
    "job",
]

_HOMES = {
    "AsyncDirectClient": "orpheus.client.direct_async",
    "Backoff": "orpheus.handlers.declaration",
    "Client": "orpheus.client.http",
    "Context": "orpheus.handlers.context",
    "DirectClient": "orpheus.client.direct",
    "JobCancelled": "orpheus.errors",
    "JobTimedOut": "orpheus.errors",
    "PermanentError": "orpheus.errors",
    "job": "orpheus.handlers.decorator",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("orpheus")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
