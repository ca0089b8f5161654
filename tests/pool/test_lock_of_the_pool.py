"""The pool's lock is held by every process of the pool, not by its master alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.pool.harness import StartPool

pytestmark = pytest.mark.processes


def test_every_child_holds_it(start_pool: StartPool) -> None:
    """Else a second master could start beside workers of the first."""
    pool = start_pool(processes=2)
    children = [*pool.workers(2), pool.maintenance()]
    (lock,) = (pool.folder / "locks").glob("pool-*.lock")
    for pid in children:
        assert str(lock.resolve()) in _open_files(pid)
    assert pool.stop() == 0


def _open_files(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(entry))
        except FileNotFoundError:
            continue  # closed since it was listed
    return found
