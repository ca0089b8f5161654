"""Settle: what becomes of a job when its attempt ends, and of an attempt that ends too late."""

from __future__ import annotations

import json

import pytest

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Outcome
from orpheus.domain.outcome import AttemptError
from orpheus.store import control
from orpheus.store.promote import promote
from tests.support.clock import FakeClock
from tests.support.stores import Store, TinyWorker, finished


@pytest.fixture
def worker(store: Store) -> TinyWorker:
    return store.worker()


def run(store: Store, worker: TinyWorker, clock: FakeClock, outcome: Outcome) -> int:
    """Claim the next job, however late it is due, and end it; returns its id."""
    clock.advance(400)
    with store.write() as tx:
        promote(tx)
    claimed = worker.claim_one()
    worker.finish(claimed.attempt_id, outcome)
    return claimed.job_id


class TestOutcomes:
    def test_done(self, store: Store, worker: TinyWorker, clock: FakeClock) -> None:
        job_id = store.add()
        started, ended = clock.now() + 5, clock.now() + 9
        claimed = worker.claim_one()
        settled = worker.finish(
            claimed.attempt_id, at=ended, started_at=started, result='{"sum":3}'
        )
        assert (settled.lost, settled.moved) == ((), 1)
        job = store.job(job_id)
        assert (job["state"], job["result"], job["error"]) == ("done", '{"sum":3}', None)
        assert (job["started_at"], job["finished_at"]) == (started, ended)
        assert store.rows("SELECT outcome, started_at, finished_at, error FROM attempts") == [
            ("done", started, ended, None)
        ]
        assert store.events(job_id)[-1] == ("job.done", "done")

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
    def test_failures_are_retried_until_the_budget_is_spent(
        self, store: Store, worker: TinyWorker, clock: FakeClock, outcome: Outcome
    ) -> None:
        job_id = store.add(max_retries=2)
        assert run(store, worker, clock, outcome) == job_id
        job = store.job(job_id)
        assert (job["state"], job["retries"], job["attempt"]) == ("scheduled", 1, 1)
        assert 0.8 * SECOND_US <= job["run_at"] - clock.now() <= 1.2 * SECOND_US
        run(store, worker, clock, outcome)
        assert 1.6 * SECOND_US <= store.job(job_id)["run_at"] - clock.now() <= 2.4 * SECOND_US
        run(store, worker, clock, outcome)
        job = store.job(job_id)
        assert (job["state"], job["retries"], job["attempt"]) == ("failed", 2, 3)
        assert json.loads(job["error"])["kind"] == outcome
        assert store.events(job_id)[-1] == ("job.failed", "retries_used_up")

    def test_a_permanent_failure_is_not_retried(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        job_id = store.add(max_retries=2)
        run(store, worker, clock, Outcome.FAILED_PERMANENT)
        job = store.job(job_id)
        assert (job["state"], job["retries"], job["attempt"]) == ("failed", 0, 1)
        assert store.events(job_id)[-1] == ("job.failed", "permanent")

    def test_the_third_crash_ends_the_job(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        job_id = store.add(max_crashes=3)
        states = []
        for _ in range(3):
            run(store, worker, clock, Outcome.CRASHED)
            states.append(store.state(job_id))
        assert states == ["pending", "scheduled", "failed"]
        job = store.job(job_id)
        assert (job["crashes"], job["retries"], job["attempt"]) == (3, 0, 3)

    def test_an_interruption_spends_nothing(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        job_id = store.add(max_retries=0, max_crashes=1)
        for _ in range(5):
            run(store, worker, clock, Outcome.INTERRUPTED)
        job = store.job(job_id)
        assert (job["state"], job["attempt"]) == ("pending", 5)
        assert (job["retries"], job["crashes"]) == (0, 0)

    def test_cancelled(self, store: Store, worker: TinyWorker, clock: FakeClock) -> None:
        job_id = store.add()
        run(store, worker, clock, Outcome.CANCELLED)
        assert store.state(job_id) == "cancelled"

    @pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.DONE])
    def test_a_cancel_request_ends_whatever_is_not_done(
        self, store: Store, worker: TinyWorker, outcome: Outcome
    ) -> None:
        job_id = store.add()
        claimed = worker.claim_one()
        with store.write() as tx:
            assert control.cancel(tx, job_id)
        worker.finish(claimed.attempt_id, outcome)
        assert store.job(job_id)["state"] == "cancelled"

    def test_done_outruns_a_cancel_request(self, store: Store, worker: TinyWorker) -> None:
        job_id = store.add()
        claimed = worker.claim_one()
        with store.write() as tx:
            control.cancel(tx, job_id)
        worker.finish(claimed.attempt_id)
        assert store.state(job_id) == "done"

    def test_success_clears_the_error_of_the_attempt_before(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        job_id = store.add()
        run(store, worker, clock, Outcome.FAILED)
        assert store.job(job_id)["error"]
        run(store, worker, clock, Outcome.DONE)
        assert store.job(job_id)["error"] is None
        assert store.value("SELECT error FROM attempts WHERE number = 1")

    def test_the_event_says_why_but_not_where(self, store: Store, worker: TinyWorker) -> None:
        job_id = store.add()
        error = AttemptError("ValueError", "x" * 2000, "failed", "Traceback")
        worker.finish(worker.claim_one().attempt_id, Outcome.FAILED, error=error)
        (data,) = store.rows("SELECT data FROM events ORDER BY seq DESC LIMIT 1")[0]
        event = json.loads(data)
        assert event["error"] == {"type": "ValueError", "message": "x" * 500, "kind": "failed"}
        assert "run_at" in event
        stored = json.loads(store.job(job_id)["error"])
        assert (stored["message"], stored["traceback"]) == ("x" * 2000, "Traceback")

    def test_a_batch_is_settled_at_once(self, store: Store, worker: TinyWorker) -> None:
        for _ in range(3):
            store.add()
        claims = worker.claim(3)
        settled = worker.settle(
            finished(claims[2].attempt_id),
            finished(claims[0].attempt_id, Outcome.INTERRUPTED),
            finished(claims[1].attempt_id, Outcome.FAILED_PERMANENT),
        )
        assert (settled.lost, settled.moved, settled.pending) == ((), 3, 1)
        assert [store.state(i) for i in (1, 2, 3)] == ["pending", "failed", "done"]

    def test_an_outcome_told_twice_in_a_batch_counts_once(
        self, store: Store, worker: TinyWorker
    ) -> None:
        store.add()
        one = finished(worker.claim_one().attempt_id)
        assert worker.settle(one, one).moved == 1
        assert store.total("attempts", "done") == 1


class TestFencing:
    @pytest.fixture
    def stale(self, store: Store, worker: TinyWorker) -> int:
        """An attempt that was taken from its worker; the job runs again elsewhere."""
        store.add()
        attempt_id = worker.claim_one().attempt_id
        worker.die()
        store.worker().claim_one()
        return attempt_id

    @pytest.mark.parametrize("outcome", Outcome)
    def test_a_stale_attempt_changes_nothing(
        self, store: Store, worker: TinyWorker, stale: int, outcome: Outcome, clock: FakeClock
    ) -> None:
        clock.advance(1)
        before = [line for line in store.dump() if '"totals"' not in line]
        assert worker.finish(stale, outcome).lost == (stale,)
        assert [line for line in store.dump() if '"totals"' not in line] == before
        assert store.total("fenced_writes") == 1

    def test_an_unknown_attempt_is_lost(self, store: Store, worker: TinyWorker) -> None:
        assert worker.finish(12345).lost == (12345,)

    def test_one_that_was_given_back_is_lost(self, store: Store, worker: TinyWorker) -> None:
        store.add()
        attempt_id = worker.claim_one().attempt_id
        worker.release(attempt_id)
        assert worker.finish(attempt_id).lost == (attempt_id,)
        assert store.state(1) == "pending"

    def test_one_that_the_other_side_settled_the_same_is_not_lost(
        self, store: Store, worker: TinyWorker
    ) -> None:
        """Maintenance has settled it out of the worker's outbox."""
        store.add()
        one = finished(worker.claim_one().attempt_id, at=77)
        assert worker.settle(one).moved == 1
        before = store.dump()
        again = worker.settle(one)
        assert (again.lost, again.moved) == ((), 0)
        assert store.dump() == before

    def test_good_ones_of_the_batch_are_settled_all_the_same(
        self, store: Store, worker: TinyWorker, stale: int
    ) -> None:
        store.add()
        other = store.worker()
        good = other.claim_one().attempt_id
        settled = other.settle(finished(stale), finished(good))
        assert (settled.lost, settled.moved) == ((stale,), 1)
        assert store.state(2) == "done"
