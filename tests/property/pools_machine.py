"""Drives two pools through anything that may happen to their processes, in any order.

Workers are real lanes, scoreboards and outboxes of the real kind, and maintenance does its real
duties; only the processes are missing, so that one step of one of them can come after any step of
another. Time moves when the test says so.
"""

from __future__ import annotations

import tempfile
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.ipc.locks import FileLock
from orpheus.ipc.scoreboard import DEAD
from orpheus.maintenance.give_back import GiveBack
from orpheus.maintenance.outboxes import Outboxes
from orpheus.maintenance.pool import Pool
from orpheus.maintenance.recovery import (
    reclaim_other_pools,
    settle_dead_slots,
    settle_previous_runs,
)
from orpheus.maintenance.renewals import Renewals
from orpheus.store import control
from orpheus.worker.sync_lane import SyncLane
from tests.property.checks import Memory, Replay, check_all
from tests.support.pools import PoolBench, begin, pool_bench
from tests.support.stores import Store, migrated_bytes

NAMES = ("main", "mail")
WORKERS = 2
SIGKILL = 9

picks = st.integers(min_value=0, max_value=1_000_000)
ends = st.sampled_from((Outcome.DONE, Outcome.DONE, Outcome.FAILED, Outcome.FAILED_PERMANENT))


class _NeverCalled:
    def __call__(self, claim: Claim) -> FinishedAttempt:
        raise AssertionError("the machine itself runs the jobs, step by step")


@dataclass
class ModelWorker:
    """One worker process: its lane, its lock, the claims in its hand and what it runs."""

    lane: SyncLane
    lock: FileLock
    hand: deque[Claim] = field(default_factory=deque)
    running: Claim | None = None


@dataclass
class ModelPool:
    """One run of a pool: what its master and its maintenance would hold."""

    pool: Pool
    outboxes: Outboxes
    give_back: GiveBack
    renewals: Renewals
    workers: list[ModelWorker | None]
    recovered: bool = False


class PoolsMachine(RuleBasedStateMachine):
    """Two pools of two workers on one data folder."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.bench: PoolBench = self._stack.enter_context(
            pool_bench(folder, durability="normal", template=migrated_bytes())
        )
        self.bench.database.connection.execute("PRAGMA synchronous = OFF")
        self.store = Store(self.bench.settings, self.bench.clock, self.bench.database)
        self.replay, self.memory = Replay(self.store), Memory()
        self.runs = 0
        self.pools: list[ModelPool] = []
        # What user code did: attempt -> how it ended, or None while it runs or if it never ended.
        self.ran: dict[int, Outcome | None] = {}
        self.crashed: set[int] = set()

    def teardown(self) -> None:
        try:
            if self.pools:
                self.everything_is_settled_in_the_end()
        finally:
            for one in self.pools:
                for worker in one.workers:
                    if worker is not None:
                        worker.lane.close()
                        worker.lock.close()
            self._stack.close()

    # --- pools and workers ------------------------------------------------------------------------

    @initialize(count=st.integers(2, 6))
    def start(self, count: int) -> None:
        self.pools = [self.new_run(name) for name in NAMES]
        self.bench.submit(count, max_crashes=3)

    def new_run(self, name: str) -> ModelPool:
        self.runs += 1
        pool = self.bench.pool(name, self.runs)
        one = ModelPool(pool, Outboxes(pool), GiveBack(pool), Renewals(pool), [])
        one.workers = [self.new_worker(pool, index) for index in range(WORKERS)]
        return one

    def new_worker(self, pool: Pool, index: int) -> ModelWorker:
        pool.board.slots[index].reset()
        pid = 30_000 + self.runs * 100 + len(self.store.rows("SELECT id FROM workers"))
        lane = self.bench.lane(pool, _NeverCalled(), index, room=3, pid=pid)
        return ModelWorker(lane, self.bench.lock_of(lane))

    def living(self) -> list[tuple[ModelPool, ModelWorker]]:
        return [(pool, one) for pool in self.pools for one in pool.workers if one is not None]

    def pick(self, pick: int) -> tuple[ModelPool, ModelWorker]:
        living = self.living()
        return living[pick % len(living)]

    def some_live(self) -> bool:
        return bool(self.living())

    # --- a worker's steps -------------------------------------------------------------------------

    @rule(count=st.integers(1, 4), delay=st.sampled_from((None, None, SECOND_US)))
    def submit(self, count: int, delay: int | None) -> None:
        self.bench.submit(count, delay=delay, max_retries=1, backoff_base=0)

    @precondition(some_live)
    @rule(pick=picks, steps=st.integers(1, 6), room=st.integers(1, 4), outcome=ends)
    def work(self, pick: int, steps: int, room: int, outcome: Outcome) -> None:
        """Some steps of one worker's loop, up to any point of it."""
        _, worker = self.pick(pick)
        for _ in range(steps):
            if worker.running is not None:
                self.finish_one(worker, outcome)
            elif worker.hand:
                self.start_next(worker)
            else:
                self.turn(worker, room)

    @rule(pick=picks, room=st.integers(3, 4))
    def begin_a_batch(self, pick: int, room: int) -> None:
        """One job runs, and others wait behind it."""
        self.bench.submit(room)
        if self.some_live():
            self.work(pick, 2, room, Outcome.DONE)

    def turn(self, worker: ModelWorker, room: int) -> None:
        """Settle what is finished and claim."""
        result = worker.lane._turn(room)
        assert result is not None
        assert result.settled.lost == ()
        worker.hand = deque(result.claims)

    def start_next(self, worker: ModelWorker) -> None:
        slot = worker.lane.slot
        slot.claimed = len(worker.hand)
        claim = worker.hand.popleft()
        if not worker.lane._start(claim):
            worker.lane._give_back.append(claim.attempt_id)
            return
        others = [one.running.job_id for _, one in self.living() if one.running is not None]
        assert claim.job_id not in others, "two attempts of a job run at once"
        assert claim.attempt_id not in self.ran, "an attempt was run twice"
        assert self.store.state(claim.job_id) == "in_progress"
        begin(slot, claim, self.bench)
        worker.running = claim
        self.ran[claim.attempt_id] = None

    def finish_one(self, worker: ModelWorker, outcome: Outcome) -> None:
        claim = worker.running
        assert claim is not None
        now = self.bench.clock.now()
        error = None
        if outcome is not Outcome.DONE:
            error = AttemptError("ValueError", "no", outcome)
        result = "1" if outcome is Outcome.DONE else None
        worker.lane.slot.armed = 0
        worker.lane._finish(
            FinishedAttempt(claim.attempt_id, outcome, now, now, result, error=error)
        )
        self.ran[claim.attempt_id] = outcome
        worker.running = None

    # --- deaths -----------------------------------------------------------------------------------

    @precondition(some_live)
    @rule(pick=picks)
    def die(self, pick: int) -> None:
        """A process ends at any moment; the master has reaped it and says so."""
        pool, worker = self.pick(pick)
        slot = worker.lane.slot
        self.bury(pool, worker)
        slot.exit_status, slot.state = SIGKILL, DEAD

    def bury(self, pool: ModelPool, worker: ModelWorker) -> None:
        if worker.running is not None:
            self.crashed.add(worker.running.attempt_id)
        worker.lock.close()
        worker.lane.close()
        pool.workers[pool.workers.index(worker)] = None

    @rule(pick=picks, by_the_other=st.booleans())
    def a_whole_pool_dies(self, pick: int, by_the_other: bool) -> None:
        """Master and all: the other pool finds it when the leases have run out, or its next run
        finds what the last one left."""
        index = pick % len(self.pools)
        dead, other = self.pools[index], self.pools[1 - index]
        for worker in list(dead.workers):
            if worker is not None:
                self.bury(dead, worker)
        if by_the_other:
            self.clock_on(40)
            reclaim_other_pools(other.pool, may_kill=False)
        self.pools[index] = self.new_run(dead.pool.name)
        settle_previous_runs(self.pools[index].pool)

    # --- maintenance ------------------------------------------------------------------------------

    def clock_on(self, seconds: float) -> None:
        self.bench.clock.ahead += seconds

    @rule(pick=picks)
    def settle_the_dead(self, pick: int) -> None:
        one = self.pools[pick % len(self.pools)]
        settle_dead_slots(one.pool)
        for index, worker in enumerate(one.workers):
            if worker is None:
                one.workers[index] = self.new_worker(one.pool, index)

    @rule(pick=picks)
    def settle_outboxes(self, pick: int) -> None:
        self.clock_on(0.03)
        self.pools[pick % len(self.pools)].outboxes.settle()

    @rule(pick=picks)
    def give_back(self, pick: int) -> None:
        self.clock_on(1.5)
        self.pools[pick % len(self.pools)].give_back.run()

    @rule(pick=picks)
    def renew(self, pick: int) -> None:
        one = self.pools[pick % len(self.pools)]
        one.renewals.renew()
        one.renewals.mark_running()
        one.renewals.relay_cancels()

    @rule(pick=picks, seconds=st.sampled_from((1, 20, 3600)))
    def a_pool_stalls(self, pick: int, seconds: int) -> None:
        """Leases run out while their workers live: that alone takes nothing from them."""
        self.begin_a_batch(pick, 2)
        open_before = self.store.rows("SELECT id FROM attempts WHERE outcome IS NULL ORDER BY id")
        dead = [slot for one in self.pools for slot in one.pool.board.slots if slot.state == DEAD]
        self.clock_on(seconds)
        reclaim_other_pools(self.pools[pick % len(self.pools)].pool, may_kill=False)
        if not dead:
            assert open_before == self.store.rows(
                "SELECT id FROM attempts WHERE outcome IS NULL ORDER BY id"
            )

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        rows = self.store.rows(
            "SELECT id FROM jobs WHERE state NOT IN ('done', 'failed') ORDER BY id"
        )
        if rows:
            with self.store.write() as tx:
                control.cancel(tx, rows[pick % len(rows)][0])

    # --- always, and in the end -------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        if self.pools:
            check_all(self.store, self.replay, self.memory)

    def everything_is_settled_in_the_end(self) -> None:
        """Every worker finishes what it has; then the record agrees with what really ran."""
        for _, worker in self.living():
            while worker.hand or worker.running or worker.lane._unsettled():
                if worker.running is not None:
                    self.finish_one(worker, Outcome.DONE)
                elif worker.hand:
                    self.start_next(worker)
                else:
                    self.turn(worker, 0)
        for one in self.pools:
            settle_dead_slots(one.pool)
        self.everything_holds()
        recorded = dict(self.store.rows("SELECT id, outcome FROM attempts"))
        assert None not in recorded.values(), "an attempt was left open"
        for attempt_id, outcome in self.ran.items():
            assert recorded[attempt_id] == (outcome.value if outcome else "crashed")
        for attempt_id in recorded.keys() - self.ran.keys():
            assert recorded[attempt_id] == "interrupted", "an end is recorded of what never ran"
