"""The write gate: fair to everyone, patient with strangers, and never half open."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import StoreBusy, StoreFailed, StoreFull
from orpheus.ipc.locks import Turnstile, read_record
from orpheus.store import gate
from orpheus.store.database import Database
from orpheus.store.gate import classify
from tests.support.clock import FakeClock
from tests.support.stores import Store, children, exit_codes, new_job, open_store

WRITERS = 9
SECONDS = 3.0


@pytest.fixture
def real_store(tmp_path: Path) -> Iterator[Store]:
    """A database with the real clock, for what really waits."""
    with open_store(tmp_path, SystemClock()) as store:
        yield store


@contextmanager
def stranger(store: Store) -> Iterator[sqlite3.Connection]:
    """A program that knows no gate and sits on the write lock, like the sqlite3 shell."""
    connection = sqlite3.connect(store.settings.database_path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


def order_of_commits(folder: Path) -> list[int]:
    """Which of nine real processes made each commit, over the same few seconds, in order."""
    with open_store(folder, SystemClock()) as store:
        settings = store.settings
    start, go = os.pipe()

    def writer() -> int:
        os.close(go)
        database = Database(settings, SystemClock())
        os.read(start, 1)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with database.write() as tx:
                tx.connection.execute(
                    "INSERT INTO events (at, event) VALUES (?, 'commit')", (os.getpid(),)
                )
        database.close()
        return 0

    with children([writer] * WRITERS) as pids:
        os.close(start)
        os.close(go)
        assert exit_codes(pids) == [0] * WRITERS
    connection = sqlite3.connect(settings.database_path)
    order = [row[0] for row in connection.execute("SELECT at FROM events ORDER BY seq")]
    connection.close()
    return order


def test_nine_writers_take_turns(tmp_path: Path) -> None:
    """Through one flock alone, who leaves is back inside before the others have woken."""
    order = order_of_commits(tmp_path)
    shares = Counter(order)
    assert len(shares) == WRITERS
    assert max(shares.values()) <= 2 * min(shares.values()), shares
    # Beginning and end aside, where not all are there.
    middle = order[len(order) // 5 : -len(order) // 5]
    at_once_again = sum(one == next_ for one, next_ in pairwise(middle))
    assert at_once_again <= 0.05 * len(middle), (at_once_again, len(middle))


class TestAStranger:
    def test_who_holds_the_lock_makes_the_store_busy(self, real_store: Store) -> None:
        before = real_store.dump()
        with stranger(real_store):
            began = time.monotonic()
            with pytest.raises(StoreBusy, match="outside Orpheus"), real_store.write(0.3):
                pytest.fail("wrote beside a stranger")
            assert time.monotonic() - began < 2
        assert real_store.dump() == before

    def test_is_named_also_when_the_pause_oversleeps(
        self, real_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A loaded machine may sleep past the deadline: the cause is still the stranger."""
        monkeypatch.setattr(gate, "time", SimpleNamespace(sleep=lambda _: time.sleep(0.25)))
        with (
            stranger(real_store),
            pytest.raises(StoreBusy, match="outside Orpheus"),
            real_store.write(0.2),
        ):
            pytest.fail("wrote beside a stranger")

    def test_does_not_keep_the_gate_closed_meanwhile(
        self, real_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The gate is free between the tries, or everyone would wait for the stranger."""
        settings = real_store.settings
        other = Turnstile(settings.locks_dir / "turn", settings.gate_path)
        entered: list[bool] = []

        def pause(seconds: float) -> None:
            entered.append(other.acquire(0.001))
            other.release()
            time.sleep(seconds)

        monkeypatch.setattr(gate, "time", SimpleNamespace(sleep=pause))
        with stranger(real_store), pytest.raises(StoreBusy), real_store.write(0.2):
            pytest.fail("wrote beside a stranger")
        other.close()
        assert entered
        assert all(entered)

    def test_who_leaves_in_time_is_waited_for(
        self, real_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with stranger(real_store) as connection:

            def leave(seconds: float) -> None:
                assert 0.005 <= seconds <= 0.05
                connection.rollback()

            monkeypatch.setattr(gate, "time", SimpleNamespace(sleep=leave))
            with real_store.write(5) as tx:
                tx.connection.execute("INSERT INTO activity (second) VALUES (1)")
        assert real_store.rows("SELECT second FROM activity") == [(1,)]


class TestAHolder:
    def test_who_does_not_leave_makes_the_store_busy(self, real_store: Store) -> None:
        settings = real_store.settings
        other = Turnstile(settings.locks_dir / "turn", settings.gate_path)
        assert other.acquire(None)
        try:
            with pytest.raises(StoreBusy, match="not free in time"), real_store.write(0.2):
                pytest.fail("two inside the gate")
        finally:
            other.release()
            other.close()
        assert real_store.add() == 1

    def test_who_is_stopped_freezes_all_and_is_on_record(self, tmp_path: Path) -> None:
        """Its record is what the master's watchdog goes by; its death frees the others."""
        with open_store(tmp_path, SystemClock()) as store:
            settings = store.settings

        def stop_inside() -> int:
            database = Database(settings, SystemClock())
            with database.write() as tx:
                tx.connection.execute("INSERT INTO activity (second) VALUES (1)")
                os.kill(os.getpid(), signal.SIGSTOP)
            return 0

        with children([stop_inside]) as (pid,):
            os.waitpid(pid, os.WUNTRACED)
            record = read_record(settings.gate_path)
            assert record is not None
            assert record.pid == pid
            waiting = Turnstile(settings.locks_dir / "turn", settings.gate_path)
            assert not waiting.acquire(0.2)
            os.kill(pid, signal.SIGKILL)
            assert waiting.acquire(5)
            waiting.release()
            waiting.close()
        with open_store(tmp_path, SystemClock()) as store:
            assert store.rows("SELECT * FROM activity WHERE second = 1") == []
            assert store.value("PRAGMA integrity_check") == "ok"


def test_a_removed_gate_file_fails_the_store(store: Store) -> None:
    store.add()
    store.settings.gate_path.unlink()
    with pytest.raises(StoreFailed, match="was removed"), store.write():
        pytest.fail("inside a gate that shuts nobody out")
    assert len(store.rows("SELECT id FROM jobs")) == 1


class TestTransaction:
    def test_is_rolled_back_by_any_exception(self, store: Store) -> None:
        before = store.dump()

        def fail(error: type[BaseException]) -> None:
            with store.write() as tx:
                tx.connection.execute("INSERT INTO activity (second) VALUES (1)")
                raise error

        for error in (ValueError, KeyboardInterrupt, SystemExit):
            with pytest.raises(error):
                fail(error)
        assert store.dump() == before

    def test_leaves_the_gate_open_after_an_exception(self, store: Store) -> None:
        with pytest.raises(ValueError, match="boom"), store.write():
            raise ValueError("boom")
        assert read_record(store.settings.gate_path) is None
        assert store.add() == 1

    def test_of_a_broken_rule_is_no_store_failure(self, store: Store) -> None:
        """Restarting does not cure a programming error, so it is not dressed up as one."""
        with pytest.raises(sqlite3.IntegrityError):
            store.add(priority=101)
        assert store.rows("SELECT id FROM jobs") == []

    def test_writes_its_holder_down(self, store: Store) -> None:
        with store.write():
            record = read_record(store.settings.gate_path)
            assert record is not None
            assert record.pid == os.getpid()
        assert read_record(store.settings.gate_path) is None

    def test_that_is_long_is_counted(self, store: Store, clock: FakeClock) -> None:
        with store.write():
            clock.advance(0.06)
        with store.write():
            clock.advance(0.04)
        assert store.database.gate.long_holds == 1


class TestClassify:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (sqlite3.SQLITE_BUSY, StoreBusy),
            (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy),
            (sqlite3.SQLITE_LOCKED, StoreBusy),
            (sqlite3.SQLITE_FULL, StoreFull),
            (sqlite3.SQLITE_IOERR_FSYNC, StoreFailed),
            (sqlite3.SQLITE_CORRUPT, StoreFailed),
            (sqlite3.SQLITE_NOTADB, StoreFailed),
            (sqlite3.SQLITE_CANTOPEN, StoreFailed),
            (sqlite3.SQLITE_READONLY_DIRECTORY, StoreFailed),
            (sqlite3.SQLITE_CONSTRAINT, sqlite3.OperationalError),
        ],
    )
    def test_by_code(self, code: int, kind: type[Exception]) -> None:
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = code
        assert type(classify(error)) is kind

    def test_a_full_disk_is_told_and_nothing_written(self, store: Store) -> None:
        pages = store.value("PRAGMA page_count")
        store.database.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreFull):
            store.submit(*(new_job(payload=f'{{"x": "{"y" * 5000}"}}') for _ in range(50)))
        assert store.rows("SELECT id FROM jobs") == []
        store.database.connection.execute("PRAGMA max_page_count = 1000000")
        assert store.add() == 1


def test_busy_is_told_by_code_and_not_by_words() -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_ERROR
    assert not gate.is_busy(error)
