"""Acknowledged jobs end once, whatever process dies or stands still while they run."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.chaos.blows import SECOND_POOL, Planned, planned, schedule
from tests.chaos.harness import Chaos
from tests.chaos.report import too_slow
from tests.chaos.systems import system_for_chaos
from tests.chaos.wave import Verdict, run_wave
from tests.support.processes import alive
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

# One of each that the system itself has to replace.
KILLS = ["kill maintenance", "kill writer", "kill api", "kill master", "kill everything"]


def passes(folder: Path, plan: list[Planned], seed: int, supervised: bool = False) -> Verdict:
    print(f"seed {seed}: {', '.join(map(str, plan))}")
    verdict = run_wave(folder, plan, seed, supervised)
    assert (verdict.inconclusive, verdict.problems) == ("", [])
    assert verdict.blows.total() == len(plan)
    assert verdict.counts["attempts done"] > 100
    print(verdict.counts, verdict.times)
    return verdict


@pytest.mark.timeout(180)
def test_nothing_is_lost_or_run_twice_at_once_under_kills_and_stops(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    rng = Random(seed)
    blows = [*["kill worker"] * 8, *KILLS]
    rng.shuffle(blows)
    # First, so that the time until they are replaced is used by the others.
    blows = ["stop worker", "stop maintenance", *SECOND_POOL, *blows]
    verdict = passes(tmp_path, planned(rng, blows, 0.25), seed)
    assert verdict.counts["attempts crashed"]


@pytest.mark.supervisor
@pytest.mark.timeout(180)
def test_supervisord_starts_again_what_was_killed_or_stopped_by_command(tmp_path: Path) -> None:
    blows = ["supervisorctl orpheus-worker", "kill worker", "kill master"]
    passes(tmp_path, planned(Random(1), blows, 0.2), seed=1, supervised=True)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_long_wave_of_every_blow_is_in_time(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    verdict = passes(tmp_path, schedule(Random(seed), 100, 10, 0.3), seed)
    assert too_slow(verdict.times) == []


def test_a_dead_master_leaves_no_orphan(tmp_path: Path) -> None:
    with system_for_chaos(tmp_path) as system:
        chaos = Chaos(system, 1)
        with system.client() as client:
            client.submit("sleep", {"seconds": 30})
        eventually(lambda: _running(system), timeout=10)
        # The job may run before the other worker is ready.
        eventually(lambda: len(chaos.look().workers) == 2, timeout=10)
        before = chaos.look()
        chaos.strike("kill master")
        pids = [*before.workers, before.maintenance or 0]
        eventually(lambda: all(not alive(pid) for pid in pids), timeout=5)


def _running(system: System) -> bool:
    with system.client() as client:
        return bool(client.stats()["jobs"]["in_progress"])
