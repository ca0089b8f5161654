"""`orpheus restore`: the old database or the whole new one, with nothing running beside it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import ConfigurationError, TemporaryError
from orpheus.ipc.locks import FileLock
from orpheus.settings import Settings
from orpheus.store import partial_file as partial_module
from orpheus.store import restore as restore_module
from orpheus.store.backup import backup
from orpheus.store.database import Database
from orpheus.store.migrate import latest_version, migrate
from orpheus.store.reads import Reads
from orpheus.store.restore import restore
from tests.support.clock import FakeClock
from tests.support.stores import (
    Store,
    children,
    exit_codes,
    integrity,
    new_job,
    open_store,
    settings_at,
)


@pytest.fixture
def saved(tmp_path: Path, clock: FakeClock) -> Path:
    """A backup with three jobs: one done, one being run, one waiting; more came after it."""
    with open_store(tmp_path, clock) as store:
        store.submit(new_job(), new_job(), new_job())
        worker = store.worker()
        first, second = worker.claim(2)
        worker.finish(first.attempt_id)
        made = backup(store.settings, tmp_path / "saved.db", clock)
        worker.finish(second.attempt_id)
        store.submit(*[new_job() for _ in range(10)])
        store.worker("other").claim(5)
    return made.path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


@contextmanager
def opened(settings: Settings, clock: FakeClock) -> Iterator[Store]:
    migrate(settings, clock)
    database = Database(settings, clock)
    try:
        yield Store(settings, clock, database)
    finally:
        database.close()


def meta(path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT key, value FROM meta"))


def jobs_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])


def test_the_jobs_of_the_backup_are_back_and_none_hangs(
    saved: Path, settings: Settings, clock: FakeClock
) -> None:
    restored = restore(settings, saved, clock)
    assert restored.interrupted == 1
    assert restored.kept is not None
    assert jobs_in(restored.kept) == 13
    with opened(settings, clock) as store:
        assert [store.state(id_) for id_ in (1, 2, 3)] == ["done", "pending", "pending"]
        assert store.rows("SELECT outcome FROM attempts WHERE job_id = 2") == [("interrupted",)]
        assert store.rows("SELECT state FROM workers") == [("crashed",)]
        assert store.counters() == store.recount()
        assert store.job(2)["retries"] == 0
        worker = store.worker()
        for claimed in worker.claim(5):
            worker.finish(claimed.attempt_id)
        assert store.counters() == {("default", "echo", "done"): 3}
    assert integrity(settings.database_path) == "ok"


def test_no_id_that_was_given_is_given_again(
    saved: Path, settings: Settings, clock: FakeClock
) -> None:
    """A client or a scoreboard of before would take the new one for the old one."""
    restore(settings, saved, clock)
    with opened(settings, clock) as store:
        assert store.add() == 14
        worker = store.worker()
        assert worker.id == 3
        assert worker.claim_one().attempt_id == 8


@pytest.mark.parametrize("loss", ["missing", "garbage"])
def test_where_the_old_database_is_lost_ids_leave_room(
    saved: Path, settings: Settings, clock: FakeClock, loss: str
) -> None:
    path = settings.database_path
    path.unlink()
    if loss == "garbage":
        path.write_bytes(b"garbage" * 1000)
    else:
        path.with_name("orpheus.db-wal").write_bytes(b"what is left of it")
    restored = restore(settings, saved, clock)
    if loss == "garbage":
        assert restored.kept is not None
        assert restored.kept.read_bytes() == b"garbage" * 1000
    else:
        (beside,) = settings.data_dir.glob("orpheus.db.replaced-*-wal")
        assert beside.read_bytes() == b"what is left of it"
    with opened(settings, clock) as store:
        assert store.add() == 3 + 1_000_000 + 1
    assert integrity(settings.database_path) == "ok"


@pytest.mark.anyio
async def test_each_restore_is_an_epoch_of_its_own(
    saved: Path, settings: Settings, clock: FakeClock
) -> None:
    epochs = set()
    for loss in (False, False, True):
        async with Reads(settings.database_path, clock) as reads:
            epochs.add(await reads.epoch())
        if loss:
            settings.database_path.write_bytes(b"lost")
        restore(settings, saved, clock)
    async with Reads(settings.database_path, clock) as reads:
        epochs.add(await reads.epoch())
    assert len(epochs) == 4


def test_a_log_left_by_a_kill_belongs_to_the_old_database_only(
    saved: Path, settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    def killed() -> int:
        database = Database(settings, SystemClock())
        store = Store(settings, SystemClock(), database)
        store.submit(*[new_job() for _ in range(50)])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with children([killed]) as pids:
        assert exit_codes(pids) == [-signal.SIGKILL]
    assert settings.database_path.with_name("orpheus.db-wal").stat().st_size
    kept = restore(settings, saved, clock).kept
    assert kept is not None
    assert jobs_in(kept) == 63
    assert jobs_in(settings.database_path) == 3
    assert integrity(settings.database_path) == "ok"


class TestRefuses:
    def test_while_a_pool_runs(self, saved: Path, settings: Settings, clock: FakeClock) -> None:
        before = settings.database_path.read_bytes()

        def master() -> int:
            FileLock(settings.locks_dir / "pool-images.lock").acquire()
            os.write(ready, b"!")
            signal.pause()
            return 0

        wait, ready = os.pipe()
        with children([master]) as pids:
            os.read(wait, 1)
            with pytest.raises(TemporaryError, match=f"pool images runs, as process {pids[0]}"):
                restore(settings, saved, clock)
        assert settings.database_path.read_bytes() == before

    @pytest.mark.parametrize("mode", ["ro", "rw"])
    def test_while_anything_has_the_database_open(
        self, saved: Path, settings: Settings, clock: FakeClock, mode: str
    ) -> None:
        before = settings.database_path.read_bytes()

        def reader() -> int:
            path = f"{settings.database_path.as_uri()}?mode={mode}"
            connection = sqlite3.connect(path, uri=True)
            connection.execute("SELECT count(*) FROM jobs").fetchall()
            os.write(ready, b"!")
            signal.pause()
            return 0

        wait, ready = os.pipe()
        with children([reader]) as pids:
            os.read(wait, 1)
            with pytest.raises(TemporaryError, match=f"in use by process {pids[0]}"):
                restore(settings, saved, clock)
        assert settings.database_path.read_bytes() == before

    def test_another_users_database(
        self, saved: Path, settings: Settings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, _: path != settings.database_path)
        with pytest.raises(ConfigurationError, match="another user's"):
            restore(settings, saved, clock)

    @pytest.mark.parametrize(
        ("what", "reason"),
        [
            ("missing", "is not a file"),
            ("garbage", "file is not a database"),
            ("empty", "not a database of Orpheus"),
            ("another's", "not a database of Orpheus"),
            ("newer", "newer than this Orpheus"),
            ("damaged", "damaged|malformed"),
            ("itself", "the database itself"),
        ],
    )
    def test_what_is_no_backup(
        self, saved: Path, settings: Settings, clock: FakeClock, what: str, reason: str
    ) -> None:
        before = settings.database_path.read_bytes()
        source = saved.with_name("bad.db")
        if what == "garbage":
            source.write_bytes(b"never a database" * 100)
        elif what == "empty":
            source.write_bytes(b"")
        elif what == "another's":
            with closing(sqlite3.connect(source)) as connection:
                connection.execute("CREATE TABLE theirs (x)")
        elif what == "itself":
            source = settings.database_path
        elif what != "missing":
            shutil.copy(saved, source)
            with closing(sqlite3.connect(source)) as connection:
                if what == "newer":
                    connection.execute(f"PRAGMA user_version = {latest_version() + 1}")
            if what == "damaged":
                with source.open("r+b") as file:
                    file.seek(5 * 4096)
                    file.write(b"\xff" * 4096 * 4)
        with pytest.raises(ConfigurationError, match=reason):
            restore(settings, source, clock)
        assert settings.database_path.read_bytes() == before
        assert not list(settings.data_dir.glob(".orpheus-*"))


class TestKilled:
    """A kill at any step leaves the old database or the whole new one, and a log to neither."""

    STEPS = ("_stage", "_fold", "_make_ready", "_interrupt", "_swap", "link", "publish", "replace")

    @pytest.mark.parametrize("step", STEPS)
    def test_at(self, saved: Path, settings: Settings, clock: FakeClock, step: str) -> None:
        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def main() -> int:
            if step == "publish":
                partial_module.PartialFile.publish = die  # type: ignore[assignment]
            elif step in ("link", "replace"):
                setattr(os, step, die)
            else:
                setattr(restore_module, step, die)
            restore(settings, saved, SystemClock())
            return 0

        with children([main]) as pids:
            assert exit_codes(pids) == [-signal.SIGKILL]
        assert jobs_in(settings.database_path) == 13
        assert integrity(settings.database_path) == "ok"
        restore(settings, saved, clock)
        assert jobs_in(settings.database_path) == 3
        assert not list(settings.data_dir.glob(".orpheus-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_restored_by_root_it_stays_the_property_of_whoever_runs_it(
    saved: Path, settings: Settings, clock: FakeClock
) -> None:
    os.chown(settings.database_path, 1234, 1235)
    restore(settings, saved, clock)
    status = settings.database_path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 1235, 0o600)


def test_a_copy_with_its_log_beside_it_is_restored_with_it(
    saved: Path, settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    """As a file-system snapshot or Litestream leaves it."""
    with open_store(tmp_path / "other", clock) as store:
        store.submit(*[new_job() for _ in range(7)])
        source = tmp_path / "snapshot.db"
        for suffix in ("", "-wal"):
            origin = store.settings.database_path
            shutil.copy(origin.with_name(origin.name + suffix), f"{source}{suffix}")
    assert restore(settings, source, clock).contents.jobs == 7
    assert meta(settings.database_path)["database_id"] != meta(saved)["database_id"]
