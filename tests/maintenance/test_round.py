"""One round of maintenance: what it does without being told, whoever rings or not."""

from __future__ import annotations

from collections import deque

from orpheus.maintenance.loop import Loop
from orpheus.maintenance.pool import Pool
from tests.support.pools import PoolBench, done


def test_results_that_wait_in_an_outbox_are_settled(
    bench: PoolBench, pool: Pool, maintenance: Loop
) -> None:
    lane = bench.lane(pool, lambda claim: done(claim, bench))
    (job,) = bench.submit(1)
    result = lane._turn(1)
    assert result is not None
    lane._work(deque(result.claims))
    # Its worker is busy with another job by now.
    bench.clock.ahead += 0.03
    maintenance._round()
    assert bench.states() == {job: "done"}
    lane.close()


def test_jobs_that_fall_due_are_promoted_while_all_workers_are_busy(
    bench: PoolBench, maintenance: Loop
) -> None:
    (job,) = bench.submit(1, delay=1_000_000)
    maintenance._round()
    assert bench.states() == {job: "scheduled"}
    bench.clock.ahead += 1.1
    maintenance._round()
    assert bench.states() == {job: "pending"}
