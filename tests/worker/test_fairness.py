"""Batches are invisible: nobody waits for a job that another worker could run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.support.system import System

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("fairness"), {"GRACE_SECONDS": "1"}) as system:
        yield system


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def tiny(n: int) -> dict[str, object]:
    return {"type": "sum_range", "payload": {"n": n}}


def test_tiny_jobs_behind_a_slow_one_are_done_by_the_idle_worker(system: System) -> None:
    with system.client() as client:
        # Many tiny jobs teach both workers to claim many at once.
        warm_up = client.submit_many([tiny(n) for n in range(3000)])
        client.wait(warm_up[-1]["id"], timeout=30)
        slow = {"type": "sleep", "payload": {"seconds": 10}, "priority": 1}
        first, *rest = client.submit_many([slow, *(tiny(n) for n in range(200))])
        jobs = [client.wait(one["id"], timeout=20) for one in rest]
        assert client.get(first["id"])["state"] == "in_progress"
        client.cancel(first["id"])
    finished = max(moment(job["finished_at"]) for job in jobs)
    assert finished - moment(jobs[0]["created_at"]) < 2
    assert {job["state"] for job in jobs} == {"done"}
    # What was claimed and given back shows no trace: nothing was started twice.
    assert all(len(job["attempts"]) == 1 for job in jobs)


def test_a_delayed_job_starts_at_its_time_on_an_idle_pool(system: System) -> None:
    late = []
    with system.client() as client:
        ids = [client.submit("sum_range", {"n": n}, delay=0.3 + 0.05 * n)["id"] for n in range(10)]
        for id_ in ids:
            job = client.wait(id_, timeout=20)
            late.append(moment(job["started_at"]) - moment(job["run_at"]))
    assert min(late) >= 0
    # No speed is promised here, only that nobody polls for it: a poll comes every two seconds.
    assert sorted(late)[len(late) // 2] < 0.5


def test_one_job_on_an_idle_system_is_settled_at_once(system: System) -> None:
    with system.client() as client:
        for n in range(5):
            client.submit("sum_range", {"n": n})
        job = client.wait(client.submit("sum_range", {"n": 7})["id"], timeout=10)
    # Its end is its own, not that of a batch it was claimed with.
    assert moment(job["finished_at"]) - moment(job["created_at"]) < 1
