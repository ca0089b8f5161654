"""A handler that holds the interpreter for its whole run keeps its lease and harms no other job."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.chaos.systems import system_for_chaos
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes


def rounds_for(seconds: float) -> int:
    """How far `sum(range(n))`, one C call, counts in about that time here."""
    sample = 20_000_000
    started = time.monotonic()
    sum(range(sample))
    return int(sample * seconds / (time.monotonic() - started))


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def hold(folder: Path, seconds: float, lease: str) -> None:
    rounds = rounds_for(seconds)
    trace = folder / "trace.txt"
    with system_for_chaos(folder, LEASE_SECONDS=lease) as system, system.client() as client:
        held = client.submit("hold_gil", {"rounds": rounds, "path": str(trace)})["id"]
        eventually(lambda: trace.exists(), timeout=20)
        delays = tiny_jobs_until(system, held)
        assert client.get(held)["result"] == rounds * (rounds - 1) // 2
        assert len(trace.read_text().splitlines()) == 2
        assert [one["outcome"] for one in client.get(held)["attempts"]] == ["done"]
        delays.sort()
        p99 = delays[int(len(delays) * 0.99)]
        print(f"{len(delays)} tiny jobs meanwhile, submit to done p99 {1000 * p99:.0f} ms")
        assert p99 <= 0.5


def tiny_jobs_until(system: System, held: int) -> list[float]:
    """Submit tiny jobs as long as `held` runs; seconds from created to finished of each."""
    delays = []
    with system.client() as client:
        while client.get(held)["state"] == "in_progress":
            job = client.submit("tiny", {"n": 1})
            ended = client.wait(job["id"], timeout=30)
            assert ended["result"] == 2
            delays.append(moment(ended["finished_at"]) - moment(ended["created_at"]))
    return delays


@pytest.mark.timeout(120)
def test_a_handler_that_holds_the_gil_runs_once_and_hurts_nobody(tmp_path: Path) -> None:
    hold(tmp_path, seconds=4, lease="1")


@pytest.mark.long
@pytest.mark.timeout(180)
def test_thirty_seconds_in_one_c_call_under_a_lease_of_five(tmp_path: Path) -> None:
    hold(tmp_path, seconds=30, lease="5")


@pytest.mark.timeout(120)
def test_it_is_killed_at_its_timeout_and_retried_and_no_other_job_is_hurt(tmp_path: Path) -> None:
    timeout, grace = 1, 0.5
    trace = tmp_path / "trace.txt"
    payload = {"rounds": rounds_for(60), "path": str(trace)}
    with (
        system_for_chaos(tmp_path, GRACE_SECONDS=str(grace)) as system,
        system.client() as client,
    ):
        held = client.submit("hold_gil", payload, timeout=timeout, max_retries=1)["id"]
        others = [client.submit("sleep", {"seconds": 0.2})["id"] for _ in range(10)]
        ended = client.wait(held, timeout=60)
        assert ended["state"] == "failed"
        assert ended["error"]["kind"] == "timed_out"
        assert [one["outcome"] for one in ended["attempts"]] == ["timed_out"] * 2
        for attempt in ended["attempts"]:
            ran = moment(attempt["finished_at"]) - moment(attempt["started_at"])
            assert timeout + grace <= ran <= timeout + grace + 2
            assert attempt["exit"] == "SIGKILL"
        for other in others:
            job = client.wait(other, timeout=30)
            # What waited behind it was given back; nothing else was started and broken off.
            assert (job["state"], job["retries"], job["crashes"]) == ("done", 0, 0)
