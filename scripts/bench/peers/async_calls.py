"""One event loop for producers whose libraries are asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

_runner: asyncio.Runner | None = None


def call(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the loop of this process."""
    global _runner
    if _runner is None:
        _runner = asyncio.Runner()
    return _runner.run(coroutine)
