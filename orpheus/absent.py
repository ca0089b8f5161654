"""Keeping out of a process what a library loads only because it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Imports in this block do not find these modules, as if they were not installed.

    For the programs only, while they have one thread: in a user's process the library may be the
    user's own, and must be whole.
    """
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        # None makes its import fail.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
