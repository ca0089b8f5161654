"""How jobs end in real workers: retries with their waits, permanent failures, crashes, cancels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

import pytest

from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("endings"), {"GRACE_SECONDS": "1"}) as system:
        yield system


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_transient_failure_is_retried_three_times_with_growing_waits(system: System) -> None:
    with system.client() as client:
        job = client.submit("fail", {"message": "no", "permanent": False})
        ended = client.wait(job["id"], timeout=30)
    assert (ended["state"], ended["retries"], ended["error"]["kind"]) == ("failed", 3, "failed")
    attempts = ended["attempts"]
    assert [one["outcome"] for one in attempts] == ["failed"] * 4
    waits = [moment(b["started_at"]) - moment(a["finished_at"]) for a, b in pairwise(attempts)]
    for wait, base in zip(waits, (1, 2, 4), strict=True):
        # Above the smear there is only what it takes to wake up.
        assert 0.8 * base <= wait <= 1.2 * base + 0.2


def test_a_permanent_failure_is_not_retried(system: System) -> None:
    with system.client() as client:
        job = client.submit("fail", {"message": "never", "permanent": True})
        ended = client.wait(job["id"], timeout=30)
    assert (ended["state"], ended["error"]["kind"]) == ("failed", "failed_permanent")
    assert len(ended["attempts"]) == 1


@pytest.mark.parametrize(("how", "exit_"), [("exit", "exit 3"), ("segv", "SIGSEGV")])
def test_a_job_that_kills_its_worker_fails_after_three_crashes_and_others_go_on(
    system: System, how: str, exit_: str
) -> None:
    with system.client() as client:
        job = client.submit("crash", {"how": how})
        others = [client.submit("sum_range", {"n": n})["id"] for n in range(30)]
        ended = client.wait(job["id"], timeout=60)
        assert (ended["state"], ended["crashes"], ended["error"]["kind"]) == (
            "failed",
            3,
            "crashed",
        )
        crashed = [one for one in ended["attempts"] if one["outcome"] == "crashed"]
        assert len(crashed) == 3
        assert {one["exit"] for one in crashed} == {exit_}
        for n, other in enumerate(others):
            assert client.wait(other, timeout=30)["result"] == {"sum": n * (n + 1) // 2}


def test_a_running_job_is_cancelled_by_the_soft_stop(system: System) -> None:
    with system.client() as client:
        job = client.submit("sleep", {"seconds": 60})
        eventually(lambda: client.get(job["id"])["started_at"] is not None, timeout=20)
        client.cancel(job["id"])
        ended = client.wait(job["id"], timeout=20)
    assert (ended["state"], ended["error"]["kind"]) == ("cancelled", "cancelled")


def test_a_timeout_raises_in_the_handler_before_anything_is_killed(system: System) -> None:
    with system.client() as client:
        job = client.submit("sleep", {"seconds": 60}, timeout=0.5, max_retries=0)
        ended = client.wait(job["id"], timeout=20)
    assert (ended["state"], ended["error"]["kind"]) == ("failed", "timed_out")
    assert ended["attempts"][0]["exit"] is None


def test_output_and_progress_of_a_running_job_are_seen(system: System) -> None:
    with system.client() as client:
        job = client.submit("countdown", {"steps": 5})
        assert client.wait(job["id"], timeout=30)["state"] == "done"
        eventually(lambda: client.get(job["id"])["progress"]["value"] == 1, timeout=5)
        eventually(lambda: len(client.logs(job["id"])) >= 5, timeout=5)


def test_a_coroutine_handler_runs_in_a_sync_worker(system: System) -> None:
    with system.client() as client:
        ended = client.wait(client.submit("asleep", {"seconds": 0.1})["id"], timeout=20)
    assert ended["state"] == "done"
