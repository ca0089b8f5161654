"""Who waits ends with its master also where no death signal is: its end of a pipe says so."""

from __future__ import annotations

import os

from orpheus.ipc.doorbell import Doorbell, maintenance_bell
from orpheus.maintenance.loop import Loop
from orpheus.maintenance.output import Output
from tests.support.pools import PoolBench, done


def cut(bench: PoolBench) -> None:
    """From now on the other end is gone, as when the master died."""
    reading, writing = os.pipe()
    os.dup2(reading, bench.lifeline)
    os.close(reading)
    os.close(writing)


def test_an_idle_worker_ends(bench: PoolBench) -> None:
    cut(bench)
    lane = bench.lane(bench.pool(), lambda claim: done(claim, bench))
    lane.run()
    assert lane.stopping
    lane.close()


def test_a_worker_finishes_what_waits_and_ends(bench: PoolBench) -> None:
    jobs = bench.submit(3)
    cut(bench)
    lane = bench.lane(bench.pool(), lambda claim: done(claim, bench))
    lane.run()
    assert bench.states() == dict.fromkeys(jobs, "done")
    lane.close()


def test_maintenance_ends(bench: PoolBench) -> None:
    pool = bench.pool()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    bell = Doorbell(maintenance_bell(bench.settings.run_dir, pool.name))
    cut(bench)
    Loop(pool, bell, Output(pool, reading), bench.lifeline).run()
    bell.close()
    os.close(reading)
    os.close(writing)
