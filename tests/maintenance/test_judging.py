"""Protocol E: whose leases maintenance extends, and when it may judge those of others."""

from __future__ import annotations

import os

import pytest

from orpheus.ipc.doorbell import Doorbell, maintenance_bell
from orpheus.ipc.scoreboard import DEAD
from orpheus.maintenance import loop
from orpheus.maintenance.loop import Loop
from orpheus.maintenance.output import Output
from orpheus.maintenance.renewals import Renewals
from tests.support.pools import PoolBench, done


def test_leases_of_the_dead_are_not_extended(bench: PoolBench) -> None:
    """Reaped is dead, also while nobody has settled it: should that fail, its leases run out."""
    bench.submit(1)
    pool = bench.pool()
    lane = bench.lane(pool, lambda claim: done(claim, bench))
    lane._turn(1)
    before = bench.query("SELECT lease_expires FROM attempts")
    pool.board.slots[0].state = DEAD
    bench.clock.ahead += 5
    Renewals(pool).renew()
    assert bench.query("SELECT lease_expires FROM attempts") == before
    lane.close()


def test_others_are_judged_only_after_a_lease_of_our_own(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = bench.pool()
    reading, writing = os.pipe()
    bell = Doorbell(maintenance_bell(bench.settings.run_dir, pool.name))
    allowed: list[bool] = []

    def reclaim(_pool: object, may_kill: bool) -> None:
        allowed.append(may_kill)

    monkeypatch.setattr(loop, "reclaim_other_pools", reclaim)
    maintenance = Loop(pool, bell, Output(pool, reading), bench.lifeline)
    for _ in range(5):
        maintenance._renew()
        bench.clock.ahead += bench.settings.lease_seconds / 3 + 0.01
    assert allowed == [False, False, False, True, True]
    bell.close()
    os.close(reading)
    os.close(writing)
