"""`orpheus doctor`: each fault becomes a line that says what to do, and nothing is changed."""

from __future__ import annotations

import configparser
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.cli.doctor import data_folder, database, locks, supervisor
from orpheus.cli.doctor.finding import Finding
from orpheus.clock import SECOND_NS, SystemClock
from orpheus.ipc.locks import FileLock, Turnstile
from orpheus.ipc.process import start_time
from orpheus.store import workers
from tests.support.clock import FakeClock
from tests.support.stores import Store, children, new_job, open_store, settings_at
from tests.support.system import System

CLOCK = SystemClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, CLOCK) as store:
        store.submit(new_job(), new_job())
        yield store


def levels(findings: Iterator[Finding]) -> dict[str, str]:
    """The worst level of each check."""
    order = ("ok", "warning", "problem")
    worst: dict[str, str] = {}
    for finding in findings:
        worst[finding.check] = max(worst.get(finding.check, "ok"), finding.level, key=order.index)
        assert (finding.level == "ok") == (finding.advice == ""), finding
        assert (finding.level == "problem") == (finding.exit_code != 0), finding
    return worst


class TestDatabase:
    def test_all_is_well(self, store: Store) -> None:
        found = levels(database.check(store.settings, CLOCK))
        assert set(found.values()) == {"ok"}
        assert set(found) == {
            "engine", "integrity", "schema", "counters", "leases", "write-ahead log"
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("statement", "check"),
        [
            ("UPDATE counters SET n = n + 1", "counters"),
            ("DELETE FROM counters", "counters"),
            ("PRAGMA user_version = 99", "schema"),
            ("PRAGMA user_version = 0", "schema"),
        ],
    )
    def test_what_is_wrong_inside(self, store: Store, statement: str, check: str) -> None:
        with store.write() as tx:
            tx.connection.execute(statement)
        assert levels(database.check(store.settings, CLOCK))[check] == "problem"

    @pytest.mark.parametrize("content", [b"no database at all" * 999, b"SQLite format 3\0" * 999])
    def test_what_is_no_database(self, tmp_path: Path, content: bytes) -> None:
        settings = settings_at(tmp_path)
        settings.database_path.write_bytes(content)
        findings = list(database.check(settings, CLOCK))
        assert levels(iter(findings))["integrity"] == "problem"
        assert max(finding.exit_code for finding in findings) == 78

    def test_a_damaged_page(self, tmp_path: Path) -> None:
        with open_store(tmp_path, CLOCK) as store:
            store.submit(*[new_job(payload='{"x": "' + "a" * 2000 + '"}') for _ in range(100)])
            settings = store.settings
        with settings.database_path.open("r+b") as file:
            file.seek(40 * 4096)
            file.write(b"\xff" * 4096)
        assert levels(database.check(settings, CLOCK))["integrity"] == "problem"

    def test_leases_of_the_dead(self, store: Store) -> None:
        store.worker().claim(1)
        with store.write() as tx:
            tx.connection.execute("UPDATE workers SET start_time = ?", (start_time(os.getpid()),))
        assert levels(database.check(store.settings, CLOCK))["leases"] == "ok"
        with store.write() as tx:
            tx.connection.execute("UPDATE workers SET start_time = 1")
        assert levels(database.check(store.settings, CLOCK))["leases"] == "warning"
        assert levels(database.check(store.settings, FakeClock()))["leases"] == "warning"

    def test_leases_of_a_worker_that_ended(self, store: Store) -> None:
        worker = store.worker()
        worker.claim(1)
        with store.write() as tx:
            workers.end(tx, worker.id, crashed=True, exit_=None)
        assert levels(database.check(store.settings, CLOCK))["leases"] == "warning"

    def test_nothing_is_made_beside_a_database_at_rest(self, tmp_path: Path) -> None:
        with open_store(tmp_path, CLOCK) as store:
            settings = store.settings
        before = sorted(settings.data_dir.rglob("*"))
        assert set(levels(database.check(settings, CLOCK)).values()) == {"ok"}
        assert sorted(settings.data_dir.rglob("*")) == before

    @pytest.mark.parametrize(
        ("version", "races"),
        [
            ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False), ((3, 50, 6), True),
            ((3, 50, 7), False), ((3, 51, 2), True), ((3, 51, 3), False), ((3, 52, 0), True),
            ((3, 53, 0), False), ((3, 6, 23), False),
        ],
    )  # fmt: skip
    def test_the_engines_with_the_race(self, version: tuple[int, int, int], races: bool) -> None:
        assert database.has_reset_race(version) is races


class TestLocks:
    def test_all_is_well(self, store: Store) -> None:
        assert set(levels(locks.check(store.settings, CLOCK)).values()) == {"ok"}

    def test_a_process_stopped_in_the_gate_and_one_that_died_there(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)

        def main() -> int:
            Turnstile(settings.locks_dir / "turn", settings.gate_path).acquire()
            os.kill(os.getpid(), signal.SIGSTOP)
            return 0

        with children([main]) as pids:
            os.waitpid(pids[0], os.WUNTRACED)
            (gate,) = [f for f in locks.check(settings, CLOCK) if f.check == "gate"]
            assert (gate.level, gate.exit_code) == ("problem", 75)
            assert f"kill -CONT {pids[0]}" in gate.advice
        (gate,) = [f for f in locks.check(settings, CLOCK) if f.check == "gate"]
        assert gate.level == "ok"
        assert "died inside" in gate.message

    def test_who_stays_long_in_the_gate(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = settings_at(tmp_path)
        turnstile = Turnstile(settings.locks_dir / "turn", settings.gate_path)
        turnstile.acquire()
        assert levels(locks.check(settings, CLOCK))["gate"] == "ok"
        monkeypatch.setattr(locks, "_LONG_HOLD_NS", -SECOND_NS)
        assert levels(locks.check(settings, CLOCK))["gate"] == "warning"
        turnstile.release()
        turnstile.close()

    def test_a_master_that_is_stopped(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)

        def main() -> int:
            FileLock(settings.locks_dir / "pool-main.lock").acquire()
            os.kill(os.getpid(), signal.SIGSTOP)
            return 0

        with children([main]) as pids:
            os.waitpid(pids[0], os.WUNTRACED)
            assert levels(locks.check(settings, CLOCK))["pool"] == "problem"
        assert levels(locks.check(settings, CLOCK))["pool"] == "ok"

    def test_a_stranger_with_the_write_lock(self, tmp_path: Path) -> None:
        with open_store(tmp_path, CLOCK) as store:
            settings = store.settings

        def main() -> int:
            connection = sqlite3.connect(settings.database_path, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            os.write(ready, b"!")
            signal.pause()
            return 0

        wait, ready = os.pipe()
        with children([main]) as pids:
            os.read(wait, 1)
            findings = [f for f in locks.check(settings, CLOCK) if f.check == "write lock"]
        assert findings[0].level == "warning"
        assert f"process {pids[0]} " in findings[0].message


class TestDataFolder:
    MOUNTS = (
        "21 1 8:1 / / rw - overlay overlay rw",
        "22 21 8:2 / /srv rw shared:1 - ext4 /dev/sda2 rw",
        "23 22 0:3 / /srv/with\\040space rw - nfs4 host:/x rw",
        "24 21 0:4 / /srv/over rw - tmpfs tmpfs rw",
        "25 21 0:4 / /srv/over rw master:2 - fuse.sshfs host: rw",
        "malformed",
    )

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/", "overlay"), ("/srvx", "overlay"), ("/srv", "ext4"), ("/srv/a/b", "ext4"),
            ("/srv/with space/var", "nfs4"), ("/srv/over/x", "fuse.sshfs"),
        ],
    )  # fmt: skip
    def test_the_kind_of_file_system(self, path: str, kind: str) -> None:
        assert data_folder.file_system_of(Path(path), self.MOUNTS) == kind

    @pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs", "overlay", "tmpfs"])
    def test_the_kinds_that_will_not_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        settings = settings_at(tmp_path)
        monkeypatch.setattr(data_folder, "_read_mounts", lambda: [f"1 0 8:1 / / rw - {kind} x rw"])
        assert levels(data_folder.check(settings))["file system"] == "warning"

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_at(tmp_path)
        for floor, level in (("_FREE_LITTLE", "warning"), ("_FREE_FLOOR", "problem")):
            monkeypatch.setattr(data_folder, floor, 1 << 60)
            assert levels(data_folder.check(settings))["disk"] == level

    def test_a_file_others_may_read(self, store: Store) -> None:
        assert levels(data_folder.check(store.settings))["data folder"] == "ok"
        store.settings.database_path.chmod(0o644)
        assert levels(data_folder.check(store.settings))["data folder"] == "warning"

    def test_no_folder(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path).model_copy(update={"data_dir": tmp_path / "none"})
        assert levels(data_folder.check(settings)) == {"data folder": "warning"}
        assert levels(database.check(settings, CLOCK))["database"] == "warning"
        assert set(levels(locks.check(settings, CLOCK)).values()) == {"ok"}


class TestSupervisor:
    @pytest.mark.parametrize(
        ("section", "name", "value"),
        [
            ("program:orpheus-worker", "stopwaitsecs", "20"),
            ("program:orpheus-worker", "stopasgroup", "true"),
            ("program:orpheus-worker", "killasgroup", None),
            ("program:orpheus-worker", "stopsignal", "KILL"),
            ("program:orpheus-api", "autorestart", "true"),
            ("program:orpheus-api", "exitcodes", None),
        ],
    )
    def test_settings_that_kill_jobs(
        self, tmp_path: Path, project_root: Path, section: str, name: str, value: str | None
    ) -> None:
        parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
        parser.read(project_root / "supervisord.conf", encoding="utf-8")
        path = tmp_path / "supervisord.conf"
        for changed in (False, True):
            if changed and value is None:
                parser.remove_option(section, name)
            elif changed and value is not None:
                parser.set(section, name, value)
            with path.open("w", encoding="utf-8") as file:
                parser.write(file)
            findings = list(supervisor.check(settings_at(tmp_path)))
            assert levels(iter(findings))["supervisor"] == ("warning" if changed else "ok")
        (finding,) = [finding for finding in findings if finding.level == "warning"]
        assert section in finding.message
        assert name in finding.message

    def test_a_longer_drain_needs_a_longer_wait(self, tmp_path: Path, project_root: Path) -> None:
        text = (project_root / "supervisord.conf").read_text(encoding="utf-8")
        (tmp_path / "supervisord.conf").write_text(text, encoding="utf-8")
        settings = settings_at(tmp_path, drain_seconds=100)
        assert levels(supervisor.check(settings))["supervisor"] == "warning"

    def test_none_or_a_broken_one(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)
        assert levels(supervisor.check(settings))["supervisor"] == "ok"
        (tmp_path / "supervisord.conf").write_text("nonsense", encoding="utf-8")
        assert levels(supervisor.check(settings))["supervisor"] == "problem"


def test_the_command(tmp_path: Path) -> None:
    system = System(tmp_path)
    assert system.run("doctor").returncode == 0
    assert system.run("migrate").returncode == 0
    before = sorted(system.data_dir.rglob("*"))
    done = system.run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)
    assert {finding["level"] for finding in findings} <= {"ok", "warning"}
    assert sorted(system.data_dir.rglob("*")) == before
    (system.data_dir / "orpheus.db").write_bytes(b"\0" * 4096)
    done = system.run("doctor")
    assert done.returncode == 78
    assert "orpheus restore" in done.stdout


def test_it_takes_no_gate(store: Store) -> None:
    """With the gate held by somebody, it answers all the same."""
    with store.database.gate.held():
        done = subprocess.run(
            [sys.executable, "-m", "orpheus.cli.main", "doctor"],
            cwd=store.settings.root,
            env={"PATH": "/usr/bin:/bin", "ORPHEUS_DATA_DIR": str(store.settings.data_dir)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is inside" in done.stdout
