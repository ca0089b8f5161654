"""Jobs that say a great deal while whoever reads the programs' output is gone, or has stopped."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.faults.test_log_reader import Piped

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "stopped"])
def test_they_end_in_their_first_attempt(tmp_path: Path, gone: bool) -> None:
    system = Piped(tmp_path)
    system.environment |= {
        "PYTHONPATH": str(ROOT),
        "ORPHEUS_HANDLERS": "orpheus.handlers.samples,tests.worker.bad_jobs",
        "ORPHEUS_LEASE_SECONDS": "1",
    }
    fcntl.fcntl(system.reader, fcntl.F_SETPIPE_SZ, 4096)
    with system, system.client() as client:
        if gone:
            os.close(system.reader)
        jobs = [
            {"type": "prints", "payload": {"megabytes": 20}},
            {"type": "chatters", "payload": {"lines": 20_000}},
            # Longer than a lease, which somebody must renew meanwhile.
            {"type": "sleep", "payload": {"seconds": 2}},
        ]
        for job in client.submit_many(jobs * 2):
            ended = client.wait(job["id"], timeout=60)
            assert ended["state"] == "done"
            assert [attempt["outcome"] for attempt in ended["attempts"]] == ["done"]
        assert system.ends == {"api": [], "main": []}
    if not gone:
        os.close(system.reader)
    os.close(system.writer)
