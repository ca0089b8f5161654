"""What people do to jobs, and what they are refused; and queues paused by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orpheus.domain.attempt import Outcome
from orpheus.errors import RequestError
from orpheus.store import control, queues
from orpheus.store.transaction import Transaction
from tests.support.clock import FakeClock
from tests.support.stores import Store, TinyWorker


@pytest.fixture
def worker(store: Store) -> TinyWorker:
    return store.worker()


Verb = Callable[[Transaction, int], object]


def act(store: Store, verb: Verb, job_id: int) -> object:
    with store.write() as tx:
        return verb(tx, job_id)


def refused(store: Store, verb: Verb, job_id: int) -> str:
    """The code of the refusal, which must have changed nothing."""
    before = store.dump()
    with pytest.raises(RequestError) as caught:
        act(store, verb, job_id)
    assert store.dump() == before
    return caught.value.code


def job_in(store: Store, worker: TinyWorker, state: str) -> int:
    """A job in a state, come there as jobs do."""
    job_id = store.add(delay=5 if state == "scheduled" else None, max_retries=0)
    if state == "blocked":
        with store.write() as tx:
            tx.connection.execute("UPDATE jobs SET state = 'blocked', parents_left = 1")
            tx.connection.execute("UPDATE counters SET state = 'blocked'")
        return job_id
    if state in ("in_progress", "done", "failed"):
        attempt_id = worker.claim_one().attempt_id
        if state != "in_progress":
            worker.finish(attempt_id, Outcome.DONE if state == "done" else Outcome.FAILED)
    elif state == "cancelled":
        act(store, control.cancel, job_id)
    assert store.state(job_id) == state
    return job_id


@pytest.mark.parametrize("verb", [control.cancel, control.retry, control.delete])
def test_an_unknown_job_is_not_found(store: Store, verb: Verb) -> None:
    assert refused(store, verb, 1) == "not_found"


class TestCancel:
    @pytest.mark.parametrize("state", ["scheduled", "blocked", "pending"])
    def test_a_waiting_job_ends(
        self, store: Store, worker: TinyWorker, clock: FakeClock, state: str
    ) -> None:
        job_id = job_in(store, worker, state)
        assert act(store, control.cancel, job_id) is False
        job = store.job(job_id)
        assert (job["state"], job["finished_at"]) == ("cancelled", clock.now())
        assert job["parents_left"] == 0
        assert store.events(job_id)[-1] == ("job.cancelled", "cancel")
        assert store.counters() == store.recount()

    def test_a_running_job_is_asked_once(self, store: Store, worker: TinyWorker) -> None:
        job_id = job_in(store, worker, "in_progress")
        assert act(store, control.cancel, job_id) is True
        assert act(store, control.cancel, job_id) is True
        job = store.job(job_id)
        assert (job["state"], job["cancel_requested"]) == ("in_progress", 1)
        assert store.events(job_id).count(("job.cancel_requested", "cancel")) == 1

    def test_a_cancelled_job_stays_as_it_is(self, store: Store, worker: TinyWorker) -> None:
        job_id = job_in(store, worker, "cancelled")
        before = store.dump()
        assert act(store, control.cancel, job_id) is False
        assert store.dump() == before

    @pytest.mark.parametrize("state", ["done", "failed"])
    def test_an_ended_job_is_refused(self, store: Store, worker: TinyWorker, state: str) -> None:
        assert refused(store, control.cancel, job_in(store, worker, state)) == "invalid_state"


class TestRetry:
    @pytest.mark.parametrize("state", ["failed", "cancelled"])
    def test_an_ended_job_gets_its_budgets_back_and_keeps_its_numbers(
        self, store: Store, worker: TinyWorker, clock: FakeClock, state: str
    ) -> None:
        job_id = store.add(max_retries=1, max_crashes=1)
        worker.die(worker.claim_one().attempt_id)
        if state == "cancelled":
            with store.write() as tx:
                control.retry(tx, job_id)
                control.cancel(tx, job_id)
        assert store.state(job_id) == state
        clock.advance(1)
        assert act(store, control.retry, job_id) is True
        job = store.job(job_id)
        assert (job["state"], job["retries"], job["crashes"], job["attempt"]) == (
            "pending",
            0,
            0,
            1,
        )
        assert (job["finished_at"], job["run_at"], job["cancel_requested"]) == (
            None,
            clock.now(),
            0,
        )
        assert store.events(job_id)[-1] == ("job.pending", "by_hand")
        assert store.worker().claim_one().number == 2

    def test_a_job_cancelled_while_it_ran_can_run_again(
        self, store: Store, worker: TinyWorker
    ) -> None:
        job_id = job_in(store, worker, "in_progress")
        act(store, control.cancel, job_id)
        worker.finish(1, Outcome.CANCELLED)
        act(store, control.retry, job_id)
        worker.finish(worker.claim_one().attempt_id)
        assert store.state(job_id) == "done"

    def test_a_scheduled_job_is_due_now_and_keeps_what_it_spent(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        job_id = store.add()
        worker.finish(worker.claim_one().attempt_id, Outcome.FAILED)
        assert act(store, control.retry, job_id) is True
        job = store.job(job_id)
        assert (job["state"], job["retries"], job["run_at"]) == ("pending", 1, clock.now())

    def test_a_pending_job_is_left_as_it_is(self, store: Store, worker: TinyWorker) -> None:
        job_id = job_in(store, worker, "pending")
        before = store.dump()
        assert act(store, control.retry, job_id) is False
        assert store.dump() == before

    @pytest.mark.parametrize("state", ["done", "in_progress", "blocked"])
    def test_others_are_refused(self, store: Store, worker: TinyWorker, state: str) -> None:
        assert refused(store, control.retry, job_in(store, worker, state)) == "invalid_state"

    def test_a_key_with_a_new_holder_is_refused(self, store: Store, worker: TinyWorker) -> None:
        job_id = store.add(unique_key="k")
        act(store, control.cancel, job_id)
        holder = store.add(unique_key="k")
        assert refused(store, control.retry, job_id) == "unique_conflict"
        act(store, control.cancel, holder)
        assert act(store, control.retry, job_id) is True


class TestDelete:
    @pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
    def test_takes_all_that_belongs_to_the_job(
        self, store: Store, worker: TinyWorker, state: str
    ) -> None:
        job_id = job_in(store, worker, state)
        kept = store.add(tags=("red",))
        with store.write() as tx:
            tx.connection.execute("UPDATE jobs SET tags = '[\"red\"]' WHERE id = ?", (job_id,))
            tx.connection.execute("INSERT INTO tags VALUES ('red', ?)", (job_id,))
            tx.connection.execute(
                "INSERT INTO logs (job_id, attempt, at, level, stream, message)"
                " VALUES (?, 1, 1, 'info', 'log', 'hello')",
                (job_id,),
            )
        act(store, control.delete, job_id)
        assert store.rows("SELECT id FROM jobs") == [(kept,)]
        assert store.rows("SELECT tag, job_id FROM tags") == [("red", kept)]
        assert store.rows("SELECT id FROM attempts") == []
        assert store.rows("SELECT seq FROM logs") == []
        assert store.events(job_id)[-1] == ("job.deleted", "by_hand")
        assert store.counters() == store.recount()

    @pytest.mark.parametrize("state", ["scheduled", "blocked", "pending", "in_progress"])
    def test_what_has_not_ended_is_refused(
        self, store: Store, worker: TinyWorker, state: str
    ) -> None:
        assert refused(store, control.delete, job_in(store, worker, state)) == "invalid_state"


class TestQueues:
    def test_pausing_and_resuming_is_told_once(self, store: Store) -> None:
        for verb in (queues.pause, queues.pause, queues.resume, queues.resume):
            with store.write() as tx:
                verb(tx, "mail")
        assert store.rows("SELECT event, queue FROM events") == [
            ("queue.paused", "mail"), ("queue.resumed", "mail"),
        ]  # fmt: skip
        assert store.rows("SELECT name, paused FROM queues") == [("mail", 0)]

    def test_a_queue_paused_before_its_first_job_holds_it(
        self, store: Store, worker: TinyWorker
    ) -> None:
        with store.write() as tx:
            queues.pause(tx, "mail")
        store.add(queue="mail")
        assert worker.claim(1) == []
        assert store.rows("SELECT name, paused FROM queues") == [("mail", 1)]
