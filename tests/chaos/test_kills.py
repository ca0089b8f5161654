"""Acknowledged jobs end once, whatever process dies or stands still while they run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from orpheus.client.http import OrpheusHTTPError, ServerUnreachable
from tests.chaos.harness import Chaos, History, gone
from tests.support.system import System
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.processes

KILLS = ["kill worker", "kill worker", "kill worker", "kill maintenance", "kill writer"]
BLOWS = [*KILLS, "kill api", "kill master", "kill everything"]
# The last one takes ten seconds to be noticed; tests/api has it by itself.
STOPS = ["stop worker", "stop maintenance", "stop writer"]


def system_for_chaos(folder: Path, **environment: str) -> System:
    settings = {"LEASE_SECONDS": "4", "LOG_LEVEL": "warning", **environment}
    system = System(folder, settings, handlers="orpheus.handlers.samples,tests.chaos.handlers")
    system.environment["PYTHONPATH"] = str(ROOT)
    return system


def submit(
    system: System,
    first: int,
    jobs: int,
    trace: Path,
    rng: Random,
    tend: Callable[[], object] = lambda: None,
) -> dict[int, str]:
    """Submit jobs in batches, under keys, until acknowledged; ids to right results.

    `tend` starts again what ended meanwhile, as supervisord would.
    """
    acknowledged: dict[int, str] = {}
    for start in range(first, first + jobs, 100):
        numbers = range(start, min(start + 100, first + jobs))
        payloads = [
            {"n": n, "path": str(trace), "milliseconds": rng.choice([0, 1, 5, 20, 40])}
            for n in numbers
        ]
        batch = [{"type": "double", "payload": payload} for payload in payloads]
        items = _until_answered(system, batch, f"batch-{start}", tend)
        acknowledged.update(
            {item["id"]: str(2 * n) for item, n in zip(items, numbers, strict=True)}
        )
    return acknowledged


def _until_answered(
    system: System, batch: list[dict[str, Any]], key: str, tend: Callable[[], object]
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    while True:
        try:
            with system.client() as client:
                return client.submit_many(batch, idempotency_key=key)
        except (ServerUnreachable, OrpheusHTTPError) as error:
            if isinstance(error, OrpheusHTTPError) and error.status != 503:
                raise
            if time.monotonic() > deadline:
                raise
            tend()
            time.sleep(0.05)


def drained(system: System) -> bool:
    try:
        with system.client() as client:
            counts = client.stats()["jobs"]
    except (ServerUnreachable, OrpheusHTTPError):
        return False
    return not any(counts[state] for state in ("pending", "scheduled", "in_progress"))


def attack(
    folder: Path, jobs: int, blows: list[str], seed: int, pause: float
) -> tuple[Chaos, History, dict[int, str]]:
    """Run jobs under attack until all have ended."""
    print(f"seed {seed}, blows {blows}")
    trace = folder / "trace.txt"
    rng = Random(seed)
    system = system_for_chaos(folder)
    with system:
        chaos = Chaos(system, seed)
        acknowledged = submit(system, 0, jobs // 2, trace, rng)
        waiting = list(blows)
        submitted = False
        deadline = time.monotonic() + 55 + 3 * len(blows)
        next_blow = time.monotonic()
        while time.monotonic() < deadline:
            chaos.tend()
            if waiting and time.monotonic() >= next_blow:
                if chaos.strike(waiting[0]):
                    waiting.pop(0)
                    next_blow = time.monotonic() + rng.uniform(0.5, 1.5) * pause
                continue
            if not submitted:
                acknowledged |= _second_half(system, chaos, jobs, trace, rng)
                submitted = True
            if not waiting and not chaos.stopped_that_live() and drained(system):
                break
            time.sleep(0.02)
        else:
            pytest.fail(f"inconclusive: not drained; {system.log()[-3000:]}")
    return chaos, History(system.data_dir / "orpheus.db", trace), acknowledged


def _second_half(
    system: System, chaos: Chaos, jobs: int, trace: Path, rng: Random
) -> dict[int, str]:
    """Submitted between blows: the API may be down at first."""
    for _ in range(400):
        chaos.tend()
        try:
            with system.client() as client:
                client.health()
            break
        except (ServerUnreachable, OrpheusHTTPError):
            time.sleep(0.05)
    return submit(system, jobs // 2, jobs - jobs // 2, trace, rng, chaos.tend)


@pytest.mark.timeout(180)
def test_no_job_is_lost_run_twice_at_once_or_ended_twice_under_kills(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    rng = Random(seed)
    blows = ["kill worker"] * 6 + BLOWS
    rng.shuffle(blows)
    chaos, history, acknowledged = attack(tmp_path, 1000, blows, seed, pause=0.25)
    assert history.problems(acknowledged, chaos.kills) == []
    recoveries = history.recoveries(chaos.kills)
    print(f"recoveries: {[round(1000 * one) for one in recoveries]} ms")


@pytest.mark.timeout(180)
def test_what_stands_still_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    chaos, history, acknowledged = attack(tmp_path, 600, STOPS[:2], 7, pause=1.0)
    assert history.problems(acknowledged, chaos.kills) == []
    assert chaos.stopped_that_live() == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_five_thousand_jobs_under_every_blow(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    blows = ["kill worker"] * 25 + BLOWS * 3 + STOPS
    Random(seed).shuffle(blows)
    chaos, history, acknowledged = attack(tmp_path, 5000, blows, seed, pause=0.4)
    assert history.problems(acknowledged, chaos.kills) == []
    recoveries = history.recoveries(chaos.kills)
    print(f"{len(recoveries)} recoveries, p50 {1000 * median(recoveries):.0f} ms")
    assert median(recoveries) <= 0.1


def test_a_dead_master_leaves_no_orphan(tmp_path: Path) -> None:
    with system_for_chaos(tmp_path) as system:
        chaos = Chaos(system, 1)
        with system.client() as client:
            client.submit("sleep", {"seconds": 30})
        eventually(lambda: _running(system), timeout=10)
        before = chaos.look()
        assert len(before.workers) == 2
        chaos.strike("kill master")
        pids = [*before.workers, before.maintenance or 0]
        eventually(lambda: all(gone(pid) for pid in pids), timeout=5)


def _running(system: System) -> bool:
    with system.client() as client:
        return bool(client.stats()["jobs"]["in_progress"])
