"""`orpheus backup`: one whole file beside running writers, or the one that was there before."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import ConfigurationError, StoreFailed, TemporaryError
from orpheus.store import backup as backup_module
from orpheus.store import partial_file as partial_module
from orpheus.store.backup import backup
from tests.support.clock import FakeClock
from tests.support.stores import Store, children, exit_codes, integrity, new_job, open_store

# Enough that a copy takes several steps.
_PADDING = '{"x": "' + "a" * 1000 + '"}'


@pytest.fixture
def full(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    with open_store(tmp_path, clock, unsynced=True) as store:
        for _ in range(10):
            store.submit(*[new_job(payload=_PADDING) for _ in range(100)])
        yield store


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_module, "_STEP_PAGES", 10)


def jobs_in(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])
    finally:
        connection.close()


def test_a_backup_is_one_private_file_with_everything(full: Store, tmp_path: Path) -> None:
    target = tmp_path / "out" / "b.db"
    target.parent.mkdir()
    made = backup(full.settings, target, full.clock)
    assert os.listdir(target.parent) == ["b.db"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert (made.path, made.contents.jobs, made.contents.seq) == (target, 1000, 1000)
    assert jobs_in(target) == 1000
    assert integrity(target) == "ok"
    assert os.listdir(target.parent) == ["b.db"]


@pytest.mark.usefixtures("small_steps")
def test_writes_between_two_steps_neither_get_in_nor_start_it_again(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def write() -> None:
        nonlocal steps
        steps += 1
        full.submit(new_job())

    monkeypatch.setattr(backup_module, "_watch_disk", lambda _: write)
    made = backup(full.settings, tmp_path / "b.db", full.clock)
    assert 20 < steps <= made.bytes // 4096 // 10 + 1
    assert made.contents.jobs == jobs_in(made.path) == 1000
    assert full.value("SELECT count(*) FROM jobs") == 1000 + steps


def test_a_folder_gets_a_dated_file(full: Store) -> None:
    made = backup(full.settings, full.settings.backups_dir, full.clock)
    assert made.path == full.settings.backups_dir / "orpheus-20231114T221320Z.db"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("data/orpheus.db", "in the data folder"),
        ("data/orpheus.db-wal", "in the data folder"),
        ("data/run/x.db", "in the data folder"),
        ("data", "in the data folder"),
        ("link.db", "the database itself"),
        ("nowhere/b.db", "not a folder"),
        ("there.db", "--force"),
    ],
)
def test_refuses_a_destination_that_would_clash(
    full: Store, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "there.db").write_bytes(b"precious")
    os.link(full.settings.database_path, tmp_path / "link.db")
    with pytest.raises(ConfigurationError, match=reason):
        backup(full.settings, tmp_path / name, full.clock, force=name != "there.db")
    assert (tmp_path / "there.db").read_bytes() == b"precious"
    assert full.value("SELECT count(*) FROM jobs") == 1000


def test_force_replaces(full: Store, tmp_path: Path) -> None:
    for _ in range(2):
        backup(full.settings, tmp_path / "b.db", full.clock, force=True)
        full.add()
    assert jobs_in(tmp_path / "b.db") == 1001


def test_without_a_database_there_is_nothing_to_back_up(full: Store, tmp_path: Path) -> None:
    settings = full.settings.model_copy(update={"data_dir": tmp_path / "nowhere"})
    with pytest.raises(ConfigurationError, match="nothing to back up"):
        backup(settings, tmp_path / "b.db", full.clock)
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_database_is_told_and_the_old_backup_kept(
    tmp_path: Path, clock: FakeClock
) -> None:
    with open_store(tmp_path, clock) as store:
        store.submit(*[new_job(payload=_PADDING) for _ in range(200)])
        settings = store.settings
    (tmp_path / "b.db").write_bytes(b"yesterday's")
    with settings.database_path.open("r+b") as file:
        file.seek(30 * 4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(StoreFailed, match=r"(damaged|malformed).*doctor"):
        backup(settings, tmp_path / "b.db", clock, force=True)
    assert (tmp_path / "b.db").read_bytes() == b"yesterday's"
    assert not list(tmp_path.glob(".orpheus-*"))


def test_a_full_disk_is_told_before_and_while_copying(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "_FREE_FLOOR", 1 << 60)
    backup(full.settings, tmp_path / "full-before.db", full.clock)
    usage = shutil.disk_usage(tmp_path)
    answers = iter([usage._replace(free=1 << 61)] * 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: next(answers, usage._replace(free=1 << 59)))
    with pytest.raises(TemporaryError, match="about to fill up"):
        backup(full.settings, tmp_path / "b.db", full.clock)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(TemporaryError, match="make room"):
        backup(full.settings, tmp_path / "b.db", full.clock)
    assert not (tmp_path / "b.db").exists()
    assert not list(tmp_path.glob(".orpheus-*"))


class TestKilled:
    """A kill at any step leaves the old backup or the whole new one."""

    # Before each: mkstemp and lock, each piece, sync, rename, sync of the folder.
    STEPS = ("_create", "watch", "publish", "fsync", "replace", "sync_folder")

    @pytest.mark.parametrize("existing", [True, False], ids=["over an old one", "first"])
    @pytest.mark.parametrize("step", STEPS)
    def test_at(self, tmp_path: Path, step: str, existing: bool) -> None:
        with open_store(tmp_path, SystemClock()) as store:
            store.submit(*[new_job(payload=_PADDING) for _ in range(300)])
            settings = store.settings
        target = tmp_path / "out" / "b.db"
        target.parent.mkdir()
        if existing:
            target.write_bytes(b"yesterday's")

        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def main() -> int:
            if step == "watch":
                backup_module._watch_disk = lambda _: die  # type: ignore[assignment]
            elif step == "publish":
                partial_module.PartialFile.publish = die  # type: ignore[assignment]
            elif step in ("fsync", "replace"):
                setattr(os, step, die)
            else:
                setattr(partial_module, step, die)
            backup(settings, target, SystemClock(), force=True)
            return 0

        with children([main]) as pids:
            assert exit_codes(pids) == [-signal.SIGKILL]
        if step == "sync_folder":
            assert jobs_in(target) == 300
        elif existing:
            assert target.read_bytes() == b"yesterday's"
        else:
            assert not target.exists()
        backup(settings, target, SystemClock(), force=True)
        assert os.listdir(target.parent) == ["b.db"]


def test_many_at_once_each_make_a_whole_one(tmp_path: Path) -> None:
    with open_store(tmp_path, SystemClock()) as store:
        store.submit(*[new_job(payload=_PADDING) for _ in range(300)])
        settings = store.settings

    def main() -> int:
        for _ in range(5):
            backup(settings, tmp_path / "b.db", SystemClock(), force=True)
        return 0

    with children([main] * 3) as pids:
        assert exit_codes(pids) == [0, 0, 0]
    assert jobs_in(tmp_path / "b.db") == 300
    assert not list(tmp_path.glob(".orpheus-*"))
