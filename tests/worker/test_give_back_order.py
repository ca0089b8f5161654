"""Protocol B, its order: an attempt is announced before the revoke word is read."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from orpheus.domain.attempt import Claim
from orpheus.domain.outcome import FinishedAttempt
from orpheus.ipc.scoreboard import Slot
from orpheus.maintenance.give_back import GiveBack
from tests.support.pools import PoolBench, begin, done


class ReadThenActed:
    """A slot in which something happens right after a look at the revoke word."""

    def __init__(self, slot: Slot, after: Callable[[], None]) -> None:
        object.__setattr__(self, "_inner", (slot, after))

    def __getattr__(self, name: str) -> Any:
        slot, after = self._inner
        value = getattr(slot, name)
        if name == "revoke_from":
            after()
        return value

    def __setattr__(self, name: str, value: int) -> None:
        setattr(self._inner[0], name, value)


def test_what_a_worker_goes_on_to_after_its_look_is_not_taken(bench: PoolBench) -> None:
    """Maintenance decides while the first job runs, and acts after the look for the second."""
    pool = bench.pool()
    slot = pool.board.slots[0]
    jobs = bench.submit(3)
    ran: Counter[int] = Counter()
    acted: list[bool] = []

    def run(claim: Claim) -> FinishedAttempt:
        ran[claim.job_id] += 1
        begin(slot, claim, bench)
        slot.armed = 0
        return done(claim, bench)

    def act() -> None:
        if len(ran) != 1 or acted:
            return
        acted.append(True)
        (first,) = bench.query("SELECT id FROM attempts WHERE job_id = ?", jobs[0])[0]
        GiveBack(pool)._give_back(slot, first)
        sibling = bench.lane(pool, run, index=1)
        result = sibling._turn(10)
        assert result is not None
        sibling._work(deque(result.claims))
        sibling._turn(0)

    lane = bench.lane(pool, run, slot=ReadThenActed(slot, act))
    result = lane._turn(10)
    assert result is not None
    lane._work(deque(result.claims))
    lane._turn(0)
    assert acted
    assert ran == Counter(dict.fromkeys(jobs, 1))


def test_what_a_worker_skipped_it_gives_back_itself(bench: PoolBench) -> None:
    """Maintenance found, after it wrote the word, that the worker had gone on, and took none."""
    pool = bench.pool()
    slot = pool.board.slots[0]
    jobs = bench.submit(3)

    def run(claim: Claim) -> FinishedAttempt:
        slot.revoke_from = claim.attempt_id + 1
        return done(claim, bench)

    lane = bench.lane(pool, run)
    result = lane._turn(10)
    assert result is not None
    lane._work(deque(result.claims))
    lane._turn(0)
    assert bench.states() == dict(zip(jobs, ["done", "pending", "pending"], strict=True))
    assert bench.query("SELECT count(*) FROM attempts WHERE outcome IS NULL") == [(0,)]
