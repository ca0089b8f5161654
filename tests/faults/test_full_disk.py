"""The disk of a whole running system fills up to the last byte, and has room again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.small_disk import fill, small_disk_at
from tests.faults.supervised import Supervised
from tests.support.stores import integrity
from tests.support.waiting import eventually

pytestmark = [pytest.mark.processes, pytest.mark.long]

# Megabytes: enough for new jobs to be taken at first: they are refused below 256 MiB.
SIZE = 320


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a system whose data folder is a file system of its own."""
    with small_disk_at(tmp_path / "data", SIZE):
        yield tmp_path


def test_nothing_is_lost_and_it_goes_on_by_itself(folder: Path) -> None:
    with Supervised(folder, {"PROCESSES": "1"}) as system, system.client() as client:
        ballast = system.data_dir / "ballast"
        first = system.submits()
        system.ends_done(first)
        ids = [
            job["id"]
            for job in client.submit_many([{"type": "sleep", "payload": {"seconds": 0.5}}] * 3)
        ]
        eventually(lambda: client.get(ids[0])["state"] == "in_progress")
        fill(ballast)
        # The job that ran has ended, and its result found no room.
        eventually(lambda: "results are kept" in system.log(), timeout=20)
        for _ in range(20):
            status, body = system.post()
            assert (status, body["code"]) == (503, "storage_low")
            assert client.get(first)["state"] == "done"
        assert client.health()["checks"]["disk"]["ok"] is False
        ballast.unlink()
        began = time.monotonic()
        ids.append(system.submits(within=10))
        for job_id in ids:
            system.ends_done(job_id, within=20)
        assert time.monotonic() - began < 10
        assert system.rows("SELECT max(number), count(*) FROM attempts") == [(1, len(ids) + 1)]
        # Nobody had to be started again for it.
        assert system.ends == {"api": [], "main": []}
    assert integrity(system.data_dir / "orpheus.db") == "ok"
