"""The whole way: submit, back up under load, lose everything, restore, and go on."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.stores import integrity
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

BATCH = [{"type": "sum_range", "payload": {"n": 1}}] * 200
SLOW = [{"type": "sleep", "payload": {"seconds": 0.5}}] * 3


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def first_frames(system: System, query: str, count: int) -> list[dict[str, Any]]:
    address = f"ws://127.0.0.1:{system.port}/ws{query}"
    with connect(address, compression=None) as socket:
        return [json.loads(socket.recv(timeout=10)) for _ in range(count)]


def kill_everything(system: System) -> None:
    for process in (*system.pools.values(), system.api):
        assert process is not None
        process.kill()
        process.wait(10)
    system.pools.clear()
    system.api = None


def test_every_job_of_the_backup_is_there_and_ends_once(tmp_path: Path) -> None:
    target = tmp_path / "saved" / "orpheus.db"
    target.parent.mkdir()
    with System(tmp_path / "system") as system:
        assert system.api is not None
        database = system.data_dir / "orpheus.db"
        with system.client() as client:
            for _ in range(5):
                client.submit_many(BATCH)
            acknowledged = [job["id"] for job in client.submit_many(SLOW)]
            eventually(lambda: client.get(acknowledged[0])["state"] == "in_progress", timeout=30)
            copying = system.spawn("backup", str(target))
            while copying.poll() is None:
                client.submit_many(BATCH)
            assert copying.returncode == 0, system.log()
            later = [job["id"] for job in client.submit_many(BATCH)]
        well = system.run("doctor")
        assert well.returncode == 0, well.stdout
        assert "problem" not in well.stdout
        for part in ("main runs, as process", f"api             process {system.api.pid}"):
            assert part in well.stdout
        saved = {id_ for (id_,) in rows(target, "SELECT id FROM jobs")}
        assert saved >= set(acknowledged)
        assert not saved & set(later)
        assert integrity(target) == "ok"
        assert rows(target, "SELECT 1 FROM attempts WHERE outcome IS NULL")

        refused = system.run("restore", str(target))
        assert refused.returncode == 75, refused.stderr
        assert "pool main runs" in refused.stderr
        (before,) = first_frames(system, "", 1)
        kill_everything(system)
        # The writer ends by itself when its API is gone.
        done = eventually(lambda: _restored(system, target), timeout=20)
        assert rows(Path(done["kept"]), "SELECT count(*) FROM jobs")[0][0] > len(saved)

        system.start()

        def all_ended() -> bool:
            sql = "SELECT count(*) FROM jobs WHERE finished_at IS NULL"
            return rows(database, sql) == [(0,)]

        eventually(all_ended, timeout=40)
        assert {id_ for (id_,) in rows(database, "SELECT id FROM jobs")} == saved
        assert rows(database, "SELECT DISTINCT state FROM jobs") == [("done",)]
        ends = rows(
            database,
            "SELECT job_id FROM attempts WHERE outcome <> 'interrupted' "
            "GROUP BY job_id HAVING count(*) <> 1",
        )
        assert not ends
        hello, reset = first_frames(system, f"?since={before['seq']}&epoch={before['epoch']}", 2)
        assert hello["epoch"] != before["epoch"]
        assert reset == {"type": "reset", "seq": hello["seq"]}
        with system.client() as client:
            assert client.submit("sum_range", {"n": 1})["id"] > max(later)


def _restored(system: System, source: Path) -> dict[str, Any]:
    done = system.run("restore", str(source), "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.long
def test_a_backup_killed_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    rng = Random(3)
    target = tmp_path / "saved" / "orpheus.db"
    target.parent.mkdir()
    with System(tmp_path / "system") as system, system.client() as client:
        for _ in range(100):
            client.submit_many(BATCH)
        killed = count = 0
        for _ in range(40):
            client.submit_many(BATCH)
            before = count
            copying = system.spawn("backup", str(target), "--force")
            # Half of it is starting Python.
            try:
                copying.wait(rng.uniform(0.2, 0.7))
            except subprocess.TimeoutExpired:
                copying.kill()
                copying.wait(10)
                killed += 1
            if target.exists():
                assert integrity(target) == "ok"
                count = rows(target, "SELECT count(*) FROM jobs")[0][0]
                assert count >= before
            hidden = [path for path in target.parent.iterdir() if path != target]
            assert len(hidden) <= 1
        assert 5 < killed < 40
