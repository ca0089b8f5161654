"""The two programs under supervisorctl: stop, start and restart cost no job anything."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.checkout import Checkout
from tests.support.waiting import eventually

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def checkout(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """One running checkout for this module: each of its tests leaves it running."""
    made = Checkout(project_root, tmp_path_factory.mktemp("programs") / "checkout")
    try:
        started = made.start()
        assert started.returncode == 0, started.stderr
        yield made
    finally:
        made.close()


def all_gone(checkout: Checkout, pids: set[int]) -> bool:
    return not pids & checkout.processes().keys()


def test_each_program_stops_starts_and_restarts(checkout: Checkout) -> None:
    for name in ("orpheus-api", "orpheus-worker"):
        for action, state in (("stop", "STOPPED"), ("start", "RUNNING"), ("restart", "RUNNING")):
            done = checkout.supervisorctl(action, name)
            assert "ERROR" not in done.stdout, done.stdout
            assert state in checkout.supervisorctl("status", name).stdout
    with checkout.client() as client:
        eventually(lambda: client.health()["checks"]["workers"]["count"] == 2, timeout=20)
        job = client.submit("wordcount", {"text": "after all that"})
        assert client.wait(job["id"], timeout=20)["result"] == {"count": 3}


def test_a_restart_during_jobs_loses_none_and_spends_no_retry(checkout: Checkout) -> None:
    with checkout.client() as client:
        many = [{"type": "sleep", "payload": {"seconds": 0.1}} for _ in range(100)]
        ids = [job["id"] for job in client.submit_many(many)]
        eventually(lambda: client.stats()["jobs"]["in_progress"] > 0)
        restarted = checkout.supervisorctl("restart", "orpheus-worker")
        assert "ERROR" not in restarted.stdout, restarted.stdout
        jobs = [client.wait(job_id, timeout=60) for job_id in ids]
    assert {job["state"] for job in jobs} == {"done"}
    assert {(job["retries"], job["crashes"]) for job in jobs} == {(0, 0)}


def test_a_killed_program_takes_its_children_along_and_comes_back(checkout: Checkout) -> None:
    """Its children have process groups of their own, so no signal to its group reaches them."""
    for name in ("orpheus-api", "orpheus-worker"):
        before = checkout.supervisorctl("pid", name).stdout.strip()
        children = checkout.children(int(before))
        assert children
        assert checkout.supervisorctl("signal", "KILL", name).returncode == 0

        def is_back(name: str = name, before: str = before) -> bool:
            status = checkout.supervisorctl("status", name).stdout
            return "RUNNING" in status and before not in status

        eventually(is_back, timeout=30)
        eventually(partial(all_gone, checkout, children))
    with checkout.client() as client:
        job = client.submit("wordcount", {"text": "back again"})
        assert client.wait(job["id"], timeout=30)["result"] == {"count": 2}
