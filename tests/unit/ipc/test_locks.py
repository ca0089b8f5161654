"""The lock that says "I am alive"."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from orpheus.ipc.locks import FileLock, holder_of, is_free
from tests.support.waiting import eventually
from tests.unit.ipc.children import children, exit_code, pause


def test_one_holder_who_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock = FileLock(path)
    assert lock.acquire()
    assert lock.held
    assert holder_of(path) == os.getpid()
    assert not FileLock(path).acquire(timeout=0)
    assert not is_free(path)
    lock.close()
    assert is_free(path)
    assert FileLock(path).acquire(timeout=0)


def test_a_refused_attempt_does_not_change_the_named_holder(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock = FileLock(path)
    lock.acquire()
    assert exit_code(lambda: FileLock(path).acquire(timeout=0)) == 0
    assert holder_of(path) == os.getpid()
    lock.close()


def test_the_lock_lives_as_long_as_the_last_child_that_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "pool.lock"
    lock = FileLock(path)
    lock.acquire()
    with children(pause):
        lock.close()
        assert not lock.held
        assert not is_free(path)
    assert is_free(path)


def test_a_child_that_closes_its_copy_frees_nobody_elses(tmp_path: Path) -> None:
    """LOCK_UN in the child would."""
    path = tmp_path / "pool.lock"
    lock = FileLock(path)
    lock.acquire()

    def child() -> int:
        lock.close()
        return 0

    assert exit_code(child) == 0
    assert not is_free(path)
    lock.close()


def test_waiting_takes_the_lock_when_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"

    def holder() -> int:
        FileLock(path).acquire()
        return pause()

    waiting = FileLock(path)
    with children(holder) as (pid,):
        eventually(lambda: holder_of(path) == pid)
        os.kill(pid, 9)
        assert waiting.acquire()
    waiting.close()


def test_a_removed_lock_file_is_not_the_lock_any_more(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    first = FileLock(path)
    first.acquire()
    path.unlink()
    second = FileLock(path)
    assert second.acquire(timeout=0)
    assert holder_of(path) == os.getpid()
    assert path.exists()
    first.close()
    second.close()


def test_a_missing_file_proves_nothing(tmp_path: Path) -> None:
    assert not is_free(tmp_path / "none.lock")
    assert holder_of(tmp_path / "none.lock") is None


def test_asking_does_not_look_like_holding(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert is_free(path)
    os.close(descriptor)
