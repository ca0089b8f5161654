"""The disk fails under one process of a running system: supervisord's restart is all it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.harness import Chaos
from tests.faults.strace import SYNCS, WRITES, failing
from tests.faults.supervised import Supervised
from tests.support.stores import integrity
from tests.support.waiting import eventually

pytestmark = [pytest.mark.processes, pytest.mark.long]

CASES = [
    (who, calls, when)
    for who in ("writer", "worker", "maintenance")
    for calls in (SYNCS, WRITES)
    for when in ("1", "3", "1+")
]


@pytest.mark.parametrize(("who", "calls", "when"), CASES)
def test_every_acknowledged_job_ends_once(tmp_path: Path, who: str, calls: str, when: str) -> None:
    with Supervised(tmp_path, {"PROCESSES": "1", "LEASE_SECONDS": "2"}) as system:
        database = system.data_dir / "orpheus.db"
        files = [database, database.with_name("orpheus.db-wal")]
        job_ids = [system.submits()]
        found = eventually(lambda: _pid(system, who)) or 0
        with failing(found, calls, when, files):
            for _ in range(30):
                system.tend()
                status, body = system.post()
                assert status in (0, 201, 503), (status, body)
                if status == 201:
                    job_ids.append(body["id"])
        job_ids.append(system.submits())
        for job_id in job_ids:
            system.ends_done(job_id, within=40)
        assert set(system.ends["api"]) <= {75}
        assert set(system.ends["main"]) <= {75}
        ends = "SELECT count(*) FROM attempts WHERE outcome = 'done' GROUP BY job_id"
        assert {count for (count,) in system.rows(ends)} == {1}
    assert integrity(database) == "ok"


def _pid(system: Supervised, who: str) -> int | None:
    found = Chaos(system, 0).look()
    if who == "worker":
        return found.workers[0] if found.workers else None
    pid: int | None = getattr(found, who)
    return pid
