"""The database is removed or replaced under running programs, or damaged before they start."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import (
    EXIT_CONFIGURATION,
    EXIT_TEMPORARY,
    ConfigurationError,
    OrpheusError,
    StoreFailed,
)
from orpheus.settings import Settings
from orpheus.store.backup import backup
from orpheus.store.migrate import migrate
from tests.client.direct_setup import make_folder
from tests.faults.supervised import Supervised
from tests.faults.test_disk_errors import PAYLOAD
from tests.store.writer_peer import started, wire
from tests.support.stores import new_job, open_store, settings_at
from tests.support.waiting import eventually


def remove(path: Path) -> None:
    path.unlink()


def remove_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


ACTS = (remove, remove_log, replace)


@pytest.mark.parametrize("act", ACTS)
def test_the_writer_acknowledges_nothing_more(tmp_path: Path, act: Callable[[Path], None]) -> None:
    settings = settings_at(tmp_path)
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        peer.submit()
        act(settings.database_path)
        peer.send(("submit", {"jobs": [wire()], "idempotency": None}))
        with pytest.raises(EOFError):
            peer.receive()
        assert peer.end() == EXIT_TEMPORARY


def test_nothing_is_written_into_a_ghost(tmp_path: Path) -> None:
    with open_store(tmp_path, SystemClock()) as store:
        store.add()
        replace(store.settings.database_path)
        with pytest.raises(StoreFailed, match="removed or replaced"):
            store.add()
        with pytest.raises(StoreFailed, match="removed or replaced"):
            store.database.check_files()


def test_a_direct_client_goes_over_to_the_new_file(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    with folder.client() as client:
        client.submit("sum_range", {"n": 1})
        saved = tmp_path / "saved.db"
        backup(settings_at(tmp_path, data_dir=str(folder.data_dir)), saved, SystemClock())
        client.submit("sum_range", {"n": 2})
        for suffix in ("-wal", "-shm"):
            Path(f"{folder.database}{suffix}").unlink()
        saved.replace(folder.database)
        with pytest.raises(OrpheusError):
            client.submit("sum_range", {"n": 3})
        assert client.submit("sum_range", {"n": 4})["id"] == 2
    assert folder.rows("SELECT payload FROM jobs") == [('{"n":1}',), ('{"n":4}',)]


def test_a_lost_database_is_not_begun_anew_in_silence(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    migrate(settings, SystemClock())
    settings.database_path.unlink()
    with pytest.raises(ConfigurationError, match=r"is gone.*restore") as caught:
        migrate(settings, SystemClock())
    assert not settings.database_path.exists()
    marker = settings.locks_dir / "database.made"
    assert str(marker) in str(caught.value)
    marker.unlink()
    migrate(settings, SystemClock())


@pytest.mark.processes
def test_a_running_system_goes_over_to_the_new_file_or_stays_down(tmp_path: Path) -> None:
    with Supervised(tmp_path) as system:
        path = system.data_dir / "orpheus.db"
        first = system.submits()
        system.ends_done(first)
        saved = tmp_path / "saved.db"
        assert system.run("backup", str(saved)).returncode == 0
        # By somebody who does not know of `orpheus restore`; the log goes as well.
        shutil.copy(saved, path.with_name("new"))
        path.with_name("new").replace(path)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        system.ends_done(system.submits())
        assert system.ends["api"] == [EXIT_TEMPORARY]
        assert system.rows("SELECT count(*) FROM jobs WHERE state = 'done'") == [(2,)]

        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()

        def all_down() -> bool:
            system.tend()
            status, _ = system.post()
            assert status in (0, 503)
            return system.api is None and not system.pools

        eventually(all_down, timeout=40)
        assert system.ends["api"][-1] == system.ends["main"][-1] == EXIT_CONFIGURATION
        assert "is gone" in system.log()
        assert not path.exists()


def write_at(path: Path, position: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


class TestStartingOnWhatIsThere:
    """`orpheus api` and `orpheus worker` say what is wrong in a line and end with 78."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        with open_store(tmp_path, SystemClock()) as store:
            store.submit(*[new_job(payload=PAYLOAD) for _ in range(100)])
            return store.settings

    @pytest.mark.parametrize(
        ("damage", "says"),
        [
            (lambda path: write_at(path, 0, b"no database" * 20), "not a database"),
            (lambda path: write_at(path, 4096 * 20, os.urandom(4096 * 3)), "damaged"),
            (lambda path: os.truncate(path, 4096 * 40), "malformed|damaged"),
            (make_a_folder, "unable to open"),
        ],
        ids=["header", "page", "cut off", "a folder"],
    )
    def test_damage(self, settings: Settings, damage: Callable[[Path], object], says: str) -> None:
        damage(settings.database_path)
        before = settings.database_path.is_file() and settings.database_path.read_bytes()
        with pytest.raises(ConfigurationError, match=says) as caught:
            migrate(settings, SystemClock())
        assert "restore" in str(caught.value)
        assert before == (settings.database_path.is_file() and settings.database_path.read_bytes())

    @pytest.mark.processes
    def test_both_programs(self, tmp_path: Path) -> None:
        with open_store(tmp_path, SystemClock()) as store:
            store.submit(*[new_job(payload=PAYLOAD) for _ in range(100)])
        write_at(tmp_path / "data" / "orpheus.db", 4096 * 20, os.urandom(4096 * 3))
        system = Supervised(tmp_path)
        for program in ("api", "worker"):
            done = system.run(program)
            assert done.returncode == EXIT_CONFIGURATION, done.stderr
            assert "is damaged" in done.stderr
            assert "Traceback" not in done.stderr


def test_pages_that_go_bad_while_running_end_the_writer(tmp_path: Path) -> None:
    """With 75, as for all that is the disk's; the next start looks closer."""
    with open_store(tmp_path, SystemClock()) as store:
        ids = [one.id for one in store.submit(*[new_job(payload=PAYLOAD) for _ in range(1000)])]
        settings = store.settings
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        write_at(settings.database_path, 4096 * 100, b"\xff" * 4096 * 800)
        peer.send(("cancel", {"id": ids[500]}))
        with pytest.raises(EOFError):
            peer.receive()
        assert peer.end() == EXIT_TEMPORARY
    with started(settings) as peer:
        greeting = peer.receive()
    assert greeting["exit"] == EXIT_CONFIGURATION
    assert "restore" in greeting["error"]
