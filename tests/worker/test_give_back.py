"""Protocol B: claims behind a slow job are given back, and none is ever run twice for it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest

from orpheus.domain.attempt import Claim
from orpheus.domain.outcome import FinishedAttempt
from orpheus.ipc.scoreboard import Slot
from orpheus.maintenance.give_back import GiveBack
from orpheus.maintenance.pool import Pool
from orpheus.store.release import release
from orpheus.worker.sync_lane import SyncLane
from tests.support.pools import PoolBench, begin, done


class Interposed:
    """A slot that calls the test right after one of its words was written."""

    def __init__(self, slot: Slot, word: str, after: Callable[[int], None]) -> None:
        object.__setattr__(self, "_inner", (slot, word, after))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner[0], name)

    def __setattr__(self, name: str, value: int) -> None:
        slot, word, after = self._inner
        setattr(slot, name, value)
        if name == word:
            after(value)


def run_all(bench: PoolBench, pool: Pool, ran: Counter[int], index: int = 1) -> None:
    """Let another worker run whatever is claimable now."""

    def run(claim: Claim) -> FinishedAttempt:
        ran[claim.job_id] += 1
        return done(claim, bench)

    sibling = bench.lane(pool, run, index=index, room=100)
    sibling.stopping = False
    while sibling._may_claim():
        result = sibling._turn(100)
        assert result is not None
        for claim in result.claims:
            sibling._finish(run(claim))
    sibling._turn(0)


def slow_first(
    bench: PoolBench, pool: Pool, ran: Counter[int], during: Callable[[], None]
) -> Callable[[Claim], FinishedAttempt]:
    """User code whose first job takes more than a second, in which `during` happens."""
    first: list[int] = []

    def run(claim: Claim) -> FinishedAttempt:
        ran[claim.job_id] += 1
        slot = pool.board.slots[0]
        begin(slot, claim, bench)
        if not first:
            first.append(claim.job_id)
            bench.clock.ahead += 1.5
            during()
        slot.armed = 0
        return done(claim, bench)

    return run


def work(lane: SyncLane, times: int = 1) -> None:
    """Let the worker claim and run, then settle, as its loop does."""
    for _ in range(times):
        result = lane._turn(lane.room.size)
        assert result is not None
        lane._work(deque(result.claims))
    while lane._unsettled():
        lane._turn(0)


def test_claims_behind_a_slow_job_run_on_a_free_worker_meanwhile(bench: PoolBench) -> None:
    pool = bench.pool()
    ran: Counter[int] = Counter()
    jobs = bench.submit(6)

    def during() -> None:
        GiveBack(pool).run()
        run_all(bench, pool, ran)
        assert [ran[job] for job in jobs] == [1] * 6
        assert [bench.states()[job] for job in jobs[1:]] == ["done"] * 5

    lane = bench.lane(pool, slow_first(bench, pool, ran, during))
    work(lane)
    assert ran == Counter(dict.fromkeys(jobs, 1))
    assert set(bench.states().values()) == {"done"}
    # A claim given back takes its number with it: each job shows one attempt, number 1.
    assert bench.query("SELECT DISTINCT number FROM attempts") == [(1,)]


def test_a_worker_that_skipped_revoked_claims_takes_new_ones_afterwards(bench: PoolBench) -> None:
    pool = bench.pool()
    ran: Counter[int] = Counter()
    jobs = bench.submit(4)
    lane = bench.lane(pool, slow_first(bench, pool, ran, lambda: GiveBack(pool).run()))
    work(lane, times=4)
    assert ran == Counter(dict.fromkeys(jobs, 1))
    assert pool.board.slots[0].revoke_from == 0


def test_a_fast_job_gives_nothing_back(bench: PoolBench) -> None:
    pool = bench.pool()
    bench.submit(3)

    def run(claim: Claim) -> FinishedAttempt:
        begin(pool.board.slots[0], claim, bench)
        GiveBack(pool).run()
        assert pool.board.slots[0].revoke_from == 0
        return done(claim, bench)

    work(bench.lane(pool, run))
    assert set(bench.states().values()) == {"done"}


# Where maintenance may wake from a pause, having decided while the first job ran.
MOMENTS = ["before the token", "after the token", "while the second runs"]


def paused_until(
    bench: PoolBench,
    moment: str,
    ran: Counter[int],
    give_back: Callable[[Pool, int, list[int]], None],
) -> None:
    """Run three jobs; maintenance decides during the first and acts at `moment` of the second."""
    pool = bench.pool()
    slot = pool.board.slots[0]
    jobs = bench.submit(3)
    acted: list[bool] = []

    def act() -> None:
        if acted:
            return
        acted.append(True)
        first, *waiting = [
            row[0] for row in bench.query("SELECT id FROM attempts WHERE worker_id = 1 ORDER BY id")
        ]
        give_back(pool, first, waiting)
        run_all(bench, pool, ran)

    def run(claim: Claim) -> FinishedAttempt:
        ran[claim.job_id] += 1
        begin(slot, claim, bench)
        bench.clock.ahead += 1.5
        if moment == "while the second runs" and claim.job_id == jobs[1]:
            act()
        slot.armed = 0
        return done(claim, bench)

    second = bench.query("SELECT seq + 2 FROM sqlite_sequence WHERE name = 'attempts'") or [(2,)]

    def after_token(value: int) -> None:
        is_second = value == second[0][0]
        was_first = value == 0 and len(ran) == 1
        if (moment == "after the token" and is_second) or (
            moment == "before the token" and was_first
        ):
            act()

    lane = bench.lane(pool, run, slot=Interposed(slot, "token", after_token))
    work(lane)
    run_all(bench, pool, ran, index=2)
    assert acted
    assert set(bench.states().values()) == {"done"}


def by_protocol(pool: Pool, running: int, _waiting: list[int]) -> None:
    GiveBack(pool)._give_back(pool.board.slots[0], running)


def by_time(pool: Pool, _running: int, waiting: list[int]) -> None:
    """The simpler form: what was claimed a second ago and has not started is taken."""
    with pool.write() as tx:
        release(tx, pool.board.slots[0].worker_id, waiting)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_paused_give_back_never_takes_what_the_worker_starts(
    bench: PoolBench, moment: str
) -> None:
    ran: Counter[int] = Counter()
    paused_until(bench, moment, ran, by_protocol)
    assert set(ran.values()) == {1}


def test_the_simpler_form_by_time_runs_a_job_twice(bench: PoolBench) -> None:
    ran: Counter[int] = Counter()
    paused_until(bench, "after the token", ran, by_time)
    assert max(ran.values()) == 2
