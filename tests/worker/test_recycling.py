"""Workers are replaced after so many jobs or with so much memory, and no job notices."""

from __future__ import annotations

import resource
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from orpheus.clock import SystemClock
from orpheus.worker.descriptors import open_descriptors
from orpheus.worker.recycling import Recycling
from tests.support.system import System
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]


def test_limits_differ_by_a_tenth_from_worker_to_worker() -> None:
    clock = SystemClock()
    first = set()
    for seed in range(200):
        recycling = Recycling(1000, 0, clock, Random(seed))
        first.add(next(n for n in range(800, 1300) if recycling.due(n)))
    assert 900 <= min(first) < 950 < 1050 < max(first) <= 1100


def test_without_limits_nobody_leaves() -> None:
    assert Recycling(0, 0, SystemClock(), Random()).due(10**9) is None


def test_a_limit_below_what_a_new_worker_needs_is_ignored() -> None:
    assert Recycling(0, 1, SystemClock(), Random()).due(1) is None


def test_files_that_jobs_leave_open_count_too(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(open_descriptors())
    recycling = Recycling(0, 0, SystemClock(), Random())
    assert recycling.due(1) is None
    files = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 200, hard))
    try:
        recycling._next_look = 0
        assert recycling.due(1) is None
        files = [(tmp_path / "file").open("w") for _ in range(110)]
        recycling._next_look = 0
        assert "open files" in str(recycling.due(1))
    finally:
        for file in files:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.processes
@pytest.mark.timeout(90)
def test_a_recycled_worker_is_followed_at_once_and_no_job_is_run_twice(tmp_path: Path) -> None:
    settings = {"PROCESSES": "1", "RECYCLE_JOBS": "20", "RECYCLE_RSS_MB": "200"}
    system = System(tmp_path, settings, handlers="tests.worker.bad_jobs")
    system.environment["PYTHONPATH"] = str(ROOT)
    with system, system.client() as client:
        client.wait(client.submit("leaks", {"megabytes": 250})["id"], timeout=20)
        eventually(lambda: "MB of memory" in system.log())

        jobs = client.submit_many([{"type": "change", "payload": {"what": "folder"}}] * 70)
        began = time.monotonic()
        ended = [client.wait(job["id"], timeout=60) for job in jobs]
        took = time.monotonic() - began
        assert {(job["state"], job["retries"], job["crashes"]) for job in ended} == {("done", 0, 0)}
        assert all([one["outcome"] for one in job["attempts"]] == ["done"] for job in ended)
        # No worker ran more than its limit, which is 20 give or take a tenth.
        assert max(Counter(job["result"] for job in ended).values()) <= 22
        # With the waits of a crash loop, it would be 0.1, 0.2, 0.4 … more.
        assert took < 20
        assert not [one for one in client.workers() if one["state"] == "crashed"]
