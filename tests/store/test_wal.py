"""The write-ahead log is copied back, begins anew, and stays short whoever reads it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from orpheus.store.database import readonly_uri
from tests.support.clock import FakeClock
from tests.support.stores import Store, new_job

MIB = 1024 * 1024
FRAME = 4096 + 24


def frames(store: Store) -> int:
    """SQLite's own count; a checkpoint as a side effect."""
    return int(store.rows("PRAGMA wal_checkpoint(PASSIVE)")[0][1])


def write(store: Store, megabytes: int) -> None:
    store.submit(*[new_job(payload=f'"{"x" * 200_000}"')] * (megabytes * 5))


def tend(store: Store, clock: FakeClock) -> None:
    clock.advance(1)
    store.database.log.tend()


def size(store: Store) -> int:
    return Path(f"{store.settings.database_path}-wal").stat().st_size


@contextmanager
def reader(store: Store) -> Iterator[sqlite3.Connection]:
    """Somebody in the middle of reading."""
    uri = readonly_uri(store.settings.database_path)
    with closing(
        sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM jobs").fetchone()
        yield connection


def test_used_is_what_sqlite_counts(store: Store, clock: FakeClock) -> None:
    assert store.database.log.used() == frames(store) * FRAME
    for _ in range(3):
        for _ in range(5):
            store.submit(new_job())
            assert store.database.log.used() > 0
        counted = frames(store)
        assert store.database.log.used() == counted * FRAME
        # All of it is copied, so the next write begins the log anew over the old one.
        store.submit(new_job())
        assert 0 < store.database.log.used() < counted * FRAME


def test_a_log_that_has_grown_is_copied_back_and_begins_anew(
    store: Store, clock: FakeClock
) -> None:
    write(store, 9)
    before = store.settings.database_path.stat().st_size
    tend(store, clock)
    assert store.settings.database_path.stat().st_size > before + 8 * MIB
    store.submit(new_job())
    assert store.database.log.used() < MIB


def test_a_short_log_is_left_alone(store: Store, clock: FakeClock) -> None:
    write(store, 7)
    before = store.settings.database_path.stat().st_size
    tend(store, clock)
    assert store.settings.database_path.stat().st_size == before
    # Others wait: half as much is copied at once.
    store.database.log.tend(at_once=True)
    assert store.settings.database_path.stat().st_size > before + 6 * MIB


def test_no_commit_copies_it(store: Store) -> None:
    """It would come on top of the commit, in the same hold of the gate."""
    before = store.settings.database_path.stat().st_size
    for _ in range(10):
        write(store, 3)
    assert store.settings.database_path.stat().st_size == before


def test_one_reader_after_the_other_does_not_keep_it_growing(
    store: Store, clock: FakeClock
) -> None:
    with reader(store) as first:
        write(store, 18)
        tend(store, clock)
        with reader(store):
            first.execute("COMMIT")
            write(store, 10)
            tend(store, clock)
            assert size(store) > 26 * MIB, "nothing could be done yet"
    clock.advance(5)
    with reader(store) as last:
        # Goes while it is waited for.
        timer = threading.Timer(0.02, last.execute, ["COMMIT"])
        timer.start()
        tend(store, clock)
        timer.join()
    assert size(store) == 0


def test_a_reader_that_stays_is_not_waited_for_again_and_again(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    acquire = store.database.gate._acquire

    def noting(deadline: int | None) -> None:
        held.append(clock.monotonic())
        acquire(deadline)

    with reader(store):
        write(store, 30)
        monkeypatch.setattr(store.database.gate, "_acquire", noting)
        for _ in range(8):
            clock.advance(0.25)
            store.database.log.tend()
    # Waited for once in these two seconds; once more it was copied as far as that was possible.
    assert len(held) == 2


def test_a_busy_gate_is_for_the_caller_to_judge(store: Store, clock: FakeClock) -> None:
    """Nothing here takes the write lock for itself."""
    write(store, 18)
    stranger = sqlite3.connect(store.settings.database_path, isolation_level=None)
    with closing(stranger):
        stranger.execute("BEGIN IMMEDIATE")
        tend(store, clock)
        stranger.execute("ROLLBACK")
    assert store.value("PRAGMA busy_timeout") == 0
