"""Drives the store through anything that may happen, in any order, on a fake clock."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.job import FINAL, WAITING, JobState
from orpheus.errors import RequestError
from orpheus.store import control, prune, queues
from orpheus.store.promote import promote
from orpheus.store.reclaim import Death, reclaim
from orpheus.store.renew import mark_started, renew
from orpheus.store.transaction import Transaction
from tests.property.checks import SPENDS_RETRY, Memory, Replay, check_all
from tests.support.clock import FakeClock
from tests.support.stores import LEASE_NS, Store, TinyWorker, migrated_bytes, new_job, open_store

QUEUES = ("default", "mail")
WORKERS = 3

picks = st.integers(min_value=0, max_value=1_000_000)
outcomes = st.sampled_from(Outcome)
jobs = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from((0, 0, 0, 5, -5)),
        "max_retries": st.integers(0, 2),
        "max_crashes": st.integers(1, 3),
    },
    optional={
        "delay": st.sampled_from((0, 1, 60 * SECOND_US)),
        "unique_key": st.just("a"),
        "lane": st.sampled_from(("sync", "async")),
        "tags": st.sampled_from((("red",), ("red", "blue", "red"))),
        "backoff_base": st.sampled_from((0, 10 * SECOND_US)),
    },
)


class StoreMachine(RuleBasedStateMachine):
    """A store, three workers, and what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.clock = FakeClock()
        self.store: Store = self._stack.enter_context(
            open_store(Path(folder), self.clock, unsynced=True, template=migrated_bytes())
        )
        self.replay = Replay(self.store)
        self.memory = Memory()
        self.workers: list[TinyWorker] = []
        self.held: dict[int, tuple[TinyWorker, Claim]] = {}
        self.lost: dict[int, TinyWorker] = {}
        self.newest_attempt = 0

    def teardown(self) -> None:
        self._stack.close()

    @initialize(batch=st.lists(jobs, min_size=2, max_size=4))
    def start(self, batch: list[dict[str, Any]]) -> None:
        self.workers = [self.new_worker() for _ in range(WORKERS)]
        self.submit_all(batch)

    def new_worker(self) -> TinyWorker:
        return self.store.worker(lanes=("sync", "async") if len(self.workers) == 1 else ("sync",))

    # --- picking --------------------------------------------------------------------------------

    def pick_held(self, pick: int) -> tuple[TinyWorker, Claim]:
        return list(self.held.values())[pick % len(self.held)]

    def pick_job(self, pick: int, ended: bool = False) -> dict[str, Any]:
        """Any job, or one that has ended if there is one."""
        rows = self.store.rows("SELECT id, finished_at FROM jobs ORDER BY id")
        ids = [row[0] for row in rows if row[1] is not None or not ended] or [rows[0][0]]
        return self.store.job(ids[pick % len(ids)])

    def has_jobs(self) -> bool:
        return bool(self.store.rows("SELECT 1 FROM jobs LIMIT 1"))

    def let_go(self, attempt_id: int) -> None:
        """The worker that held it may come back with it, too late."""
        self.lost[attempt_id] = self.held.pop(attempt_id)[0]

    # --- jobs come and run ------------------------------------------------------------------------

    @rule(batch=st.lists(jobs, min_size=1, max_size=3))
    def submit(self, batch: list[dict[str, Any]]) -> None:
        self.submit_all(batch)

    def submit_all(self, batch: list[dict[str, Any]]) -> None:
        holders = dict(
            self.store.rows(
                "SELECT unique_key, id FROM jobs WHERE unique_key IS NOT NULL"
                " AND state IN ('scheduled', 'blocked', 'pending', 'in_progress')"
            )
        )
        submitted = self.store.submit(*(new_job(**values) for values in batch))
        for values, one in zip(batch, submitted, strict=True):
            key = values.get("unique_key")
            assert one.deduplicated == (key in holders)
            if one.deduplicated:
                assert one.id == holders[key]
                continue
            if key is not None:
                holders[key] = one.id
            late = values.get("delay", 0) > 0
            assert one.state == (JobState.SCHEDULED if late else JobState.PENDING)

    @rule(pick=picks, room=st.integers(1, 4))
    def claim(self, pick: int, room: int) -> None:
        self.claim_for(self.workers[pick % WORKERS], room)

    @rule(pick=picks, outcomes=st.lists(outcomes, min_size=1, max_size=3))
    def work(self, pick: int, outcomes: list[Outcome]) -> None:
        """Time passes, what is due is run, and it ends: the usual way of a job in one step."""
        self.clock.advance(400)
        with self.store.write() as tx:
            promote(tx)
        worker = self.workers[pick % WORKERS]
        for claim, outcome in zip(self.claim_for(worker, len(outcomes)), outcomes, strict=False):
            self.settle_one(worker, claim, outcome)

    def claim_for(self, worker: TinyWorker, room: int) -> list[Claim]:
        marks = ", ".join(f"'{lane}'" for lane in worker.identity.lanes)
        expected = [
            row[0]
            for row in self.store.rows(
                f"SELECT j.id FROM jobs AS j JOIN queues AS q ON q.name = j.queue"
                f" WHERE state = 'pending' AND paused = 0 AND lane IN ({marks})"
                " ORDER BY priority DESC, run_at, j.id LIMIT ?",
                (room,),
            )
        ]
        claims = worker.claim(room)
        assert [claim.job_id for claim in claims] == expected
        for claim in claims:
            assert claim.attempt_id > self.newest_attempt, "an attempt id was used again"
            self.newest_attempt = claim.attempt_id
            self.held[claim.attempt_id] = (worker, claim)
        return claims

    @precondition(lambda self: self.held)
    @rule(pick=picks, outcome=outcomes)
    def settle(self, pick: int, outcome: Outcome) -> None:
        self.settle_one(*self.pick_held(pick), outcome)

    def settle_one(self, worker: TinyWorker, claim: Claim, outcome: Outcome) -> None:
        before = self.store.job(claim.job_id)
        settled = worker.finish(claim.attempt_id, outcome)
        self.let_go(claim.attempt_id)
        assert settled.lost == ()
        assert self.store.state(claim.job_id) == expected_state(outcome, before)
        after = self.store.job(claim.job_id)
        assert after["retries"] - before["retries"] == spent_retries(outcome, before)
        assert after["crashes"] - before["crashes"] == (outcome is Outcome.CRASHED)
        assert (after["result"] is not None) == (outcome is Outcome.DONE)
        if after["state"] == "scheduled":
            assert after["run_at"] >= self.clock.now()

    @precondition(lambda self: self.lost)
    @rule(pick=picks, outcome=outcomes, newest=st.booleans())
    def come_back_too_late(self, pick: int, outcome: Outcome, newest: bool) -> None:
        """A stale attempt changes nothing, whatever is tried with it, but is counted."""
        stale = list(self.lost.items())
        attempt_id, worker = stale[-1] if newest else stale[pick % len(stale)]
        self.clock.advance(0.001)  # never the very same end twice
        before = self.everything()
        fenced = self.store.total("fenced_writes")
        assert worker.release(attempt_id) == 0
        with self.store.write() as tx:
            assert mark_started(tx, {attempt_id: tx.now}) == 0
        assert worker.finish(attempt_id, outcome).lost == (attempt_id,)
        assert self.everything() == before
        assert self.store.total("fenced_writes") == fenced + 1

    def everything(self) -> list[str]:
        return [line for line in self.store.dump() if '"totals"' not in line]

    @rule(pick=picks)
    def renew(self, pick: int) -> None:
        worker = self.workers[pick % WORKERS]
        mine = [claim for holder, claim in self.held.values() if holder is worker]
        with self.store.write() as tx:
            extended = renew(tx, [worker.id], LEASE_NS)
            mark_started(tx, {claim.attempt_id: tx.now for claim in mine[:1]})
        assert extended == len(mine)
        expires = self.store.rows(
            "SELECT DISTINCT lease_expires FROM attempts WHERE worker_id = ? AND outcome IS NULL",
            (worker.id,),
        )
        assert expires == ([(self.clock.monotonic() + LEASE_NS,)] if mine else [])

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def give_back(self, pick: int) -> None:
        worker, claim = self.pick_held(pick)
        before = self.store.job(claim.job_id)
        others = [other for other in self.workers if other is not worker]
        assert others[0].release(claim.attempt_id) == 0
        assert worker.release(claim.attempt_id) == 1
        self.let_go(claim.attempt_id)
        after = self.store.job(claim.job_id)
        assert after["attempt"] == before["attempt"] - 1
        assert after["state"] == ("cancelled" if before["cancel_requested"] else "pending")
        assert (after["retries"], after["crashes"]) == (before["retries"], before["crashes"])

    @rule(
        pick=picks,
        room=st.integers(0, 3),
        running=st.sampled_from((True, True, False)),
        outcome=st.sampled_from((Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.INTERRUPTED)),
    )
    def crash(self, pick: int, room: int, running: bool, outcome: Outcome) -> None:
        """A worker dies, perhaps right after a claim: what ran spends what its end costs, what
        waited behind it nothing."""
        index = pick % WORKERS
        worker = self.workers[index]
        self.claim_for(worker, room)
        mine = [claim for holder, claim in self.held.values() if holder is worker]
        before = {claim.job_id: self.store.job(claim.job_id) for claim in mine}
        ran = mine[pick % len(mine)] if running and mine else None
        settled = worker.die(ran.attempt_id if ran else None, outcome)
        assert settled.moved == len(mine)
        for claim in mine:
            end = outcome if claim is ran else Outcome.INTERRUPTED
            assert self.store.state(claim.job_id) == expected_state(end, before[claim.job_id])
            self.let_go(claim.attempt_id)
        self.workers[index] = self.new_worker()

    @rule()
    def reboot(self) -> None:
        """The machine dies: nobody knows what ran, so nothing is spent."""
        self.clock.reboot()
        for worker in self.workers:
            with self.store.write() as tx:
                reclaim(tx, worker.id, Death("other_boot"), self.store.rng)
        for attempt_id in list(self.held):
            self.let_go(attempt_id)
        self.workers = [self.new_worker() for _ in range(WORKERS)]
        assert self.store.rows("SELECT id FROM attempts WHERE outcome IS NULL") == []

    # --- time -----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.5, 15, 120)), jump=st.sampled_from((0, 0, -3600, 3600)))
    def let_time_pass(self, seconds: float, jump: float) -> None:
        """And now and then somebody sets the wall clock."""
        self.clock.advance(seconds)
        self.clock.jump(jump)

    @rule(limit=st.integers(1, 3))
    def promote(self, limit: int) -> None:
        due = self.store.value(
            "SELECT count(*) FROM jobs WHERE state = 'scheduled' AND run_at <= ?",
            (self.clock.now(),),
        )
        with self.store.write() as tx:
            assert promote(tx, limit) == min(due, limit)

    # --- people ---------------------------------------------------------------------------------

    def attempt_to(
        self, verb: Callable[[Transaction, int], object], job_id: int, refusal: str | None
    ) -> None:
        """Do it, or be refused with that code and change nothing."""
        if refusal is None:
            with self.store.write() as tx:
                verb(tx, job_id)
            return
        before = self.store.dump()
        with pytest.raises(RequestError) as caught, self.store.write() as tx:
            verb(tx, job_id)
        assert caught.value.code == refusal
        assert self.store.dump() == before

    @precondition(has_jobs)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        job = self.pick_job(pick)
        refused = job["state"] in ("done", "failed")
        self.attempt_to(control.cancel, job["id"], "invalid_state" if refused else None)
        after = self.store.job(job["id"])
        if job["state"] in WAITING:
            assert after["state"] == "cancelled"
        elif job["state"] == "in_progress":
            assert (after["state"], after["cancel_requested"]) == ("in_progress", 1)
        else:
            assert after == job

    @precondition(has_jobs)
    @rule(pick=picks, ended=st.sampled_from((True, True, False)))
    def retry_by_hand(self, pick: int, ended: bool) -> None:
        job = self.pick_job(pick, ended)
        refusal = None
        if job["state"] in ("done", "in_progress", "blocked"):
            refusal = "invalid_state"
        elif job["state"] in ("failed", "cancelled") and self.store.rows(
            "SELECT 1 FROM jobs WHERE unique_key = ? AND state IN"
            " ('scheduled', 'blocked', 'pending', 'in_progress')",
            (job["unique_key"],),
        ):
            refusal = "unique_conflict"
        self.attempt_to(control.retry, job["id"], refusal)
        if refusal is None:
            after = self.store.job(job["id"])
            assert (after["state"], after["attempt"]) == ("pending", job["attempt"])
            if job["state"] in FINAL:
                assert (after["retries"], after["crashes"]) == (0, 0)

    @precondition(has_jobs)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        job = self.pick_job(pick)
        refusal = None if job["state"] in FINAL else "invalid_state"
        self.attempt_to(control.delete, job["id"], refusal)

    @rule(queue=st.sampled_from(QUEUES), paused=st.sampled_from((False, False, True)))
    def pause_or_resume(self, queue: str, paused: bool) -> None:
        with self.store.write() as tx:
            (queues.pause if paused else queues.resume)(tx, queue)

    @rule(state=st.sampled_from(sorted(FINAL)))
    def prune(self, state: JobState) -> None:
        """What ended long ago goes, and old events with it."""
        with self.store.write() as tx:
            before = tx.now - 1000 * SECOND_US
            prune.prune_jobs(tx, state, before)
            prune.prune_rest(tx)
        assert (
            self.store.rows(
                "SELECT id FROM jobs WHERE state = ? AND finished_at < ?", (state, before)
            )
            == []
        )
        self.replay.read_on()
        with self.store.write() as tx:
            prune.prune_events(tx, keep=3)
        assert self.store.value("SELECT count(*) FROM events") <= 3

    # --- always ---------------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        check_all(self.store, self.replay, self.memory)


def expected_state(outcome: Outcome, job: dict[str, Any]) -> str:
    """What the design says follows an attempt, told a second time and differently."""
    if outcome is Outcome.DONE:
        return "done"
    if job["cancel_requested"] or outcome is Outcome.CANCELLED:
        return "cancelled"
    if outcome is Outcome.FAILED_PERMANENT:
        return "failed"
    if outcome in SPENDS_RETRY:
        return "scheduled" if job["retries"] < job["max_retries"] else "failed"
    if outcome is Outcome.CRASHED:
        if job["crashes"] + 1 == job["max_crashes"]:
            return "failed"
        return "pending" if job["crashes"] == 0 else "scheduled"
    return "pending"


def spent_retries(outcome: Outcome, job: dict[str, Any]) -> int:
    """A retry is spent by being granted one; one that is not granted costs nothing."""
    granted = expected_state(outcome, job) == "scheduled"
    return int(outcome in SPENDS_RETRY and granted)
