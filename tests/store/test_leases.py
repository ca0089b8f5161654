"""Between claim and settle: leases renewed, given back, reclaimed; and what is due promoted."""

from __future__ import annotations

import json
from random import Random

import pytest

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Outcome
from orpheus.store import control, workers
from orpheus.store.promote import next_due, promote
from orpheus.store.reclaim import Death, reclaim
from orpheus.store.renew import mark_started, renew
from orpheus.store.settle import Batch
from orpheus.store.turn import turn
from tests.support.clock import FakeClock
from tests.support.stores import LEASE_NS, Store, TinyWorker, finished, new_job


@pytest.fixture
def worker(store: Store) -> TinyWorker:
    return store.worker()


class TestRelease:
    def test_is_as_if_there_had_been_no_claim(self, store: Store, worker: TinyWorker) -> None:
        job_id = store.add()
        before = store.job(job_id)
        claimed = worker.claim_one()
        assert worker.release(claimed.attempt_id) == 1
        assert store.job(job_id) == before
        assert store.rows("SELECT id FROM attempts") == []
        assert store.events(job_id)[-1] == ("job.pending", "released")

    def test_returns_the_number_and_the_worker_before(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        job_id = store.add()
        worker.finish(worker.claim_one().attempt_id, Outcome.INTERRUPTED)
        other = store.worker()
        assert other.claim_one().number == 2
        other.release(2)
        job = store.job(job_id)
        assert (job["attempt"], job["worker"]) == (1, worker.identity.name)
        assert other.claim_one().number == 2

    def test_of_a_job_to_be_cancelled_cancels_it(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        job_id = store.add()
        attempt_id = worker.claim_one().attempt_id
        with store.write() as tx:
            control.cancel(tx, job_id)
        clock.advance(1)
        assert worker.release(attempt_id) == 1
        job = store.job(job_id)
        assert (job["state"], job["attempt"], job["finished_at"]) == ("cancelled", 0, clock.now())
        assert store.events(job_id)[-1] == ("job.cancelled", "cancel")
        assert store.total("jobs_finished", "cancelled") == 1

    def test_is_fenced(self, store: Store, worker: TinyWorker) -> None:
        store.submit(new_job(), new_job(), new_job())
        mine, ended, kept = (one.attempt_id for one in worker.claim(3))
        worker.finish(ended)
        other = store.worker()
        assert other.release(mine) == 0
        assert worker.release(ended, mine, mine, 999) == 1
        assert store.rows("SELECT id FROM attempts WHERE outcome IS NULL") == [(kept,)]
        assert store.state(2) == "done"


class TestRenew:
    def test_extends_the_open_attempts_of_the_workers_named(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        store.submit(*[new_job()] * 3)
        other = store.worker()
        worker.claim(2)
        other.claim_one()
        clock.advance(10)
        with store.write() as tx:
            assert renew(tx, [worker.id], LEASE_NS) == 2
        late = clock.monotonic() + LEASE_NS
        early = late - 10 * 10**9
        assert store.rows("SELECT worker_id, lease_expires FROM attempts ORDER BY id") == [
            (worker.id, late), (worker.id, late), (other.id, early),
        ]  # fmt: skip
        beats = dict(store.rows("SELECT id, heartbeat_at FROM workers"))
        assert beats[worker.id] - beats[other.id] == 10 * SECOND_US

    def test_does_not_revive_what_was_taken_back(self, store: Store, worker: TinyWorker) -> None:
        store.add()
        worker.claim_one()
        worker.die()
        with store.write() as tx:
            assert renew(tx, [worker.id], LEASE_NS) == 0

    def test_marks_what_runs_once(self, store: Store, worker: TinyWorker) -> None:
        store.add()
        attempt_id = worker.claim_one().attempt_id
        with store.write() as tx:
            assert mark_started(tx, {attempt_id: 5, 999: 5}) == 1
            assert mark_started(tx, {attempt_id: 6}) == 0
        assert store.value("SELECT started_at FROM attempts") == 5
        assert store.job(1)["started_at"] == 5

    def test_a_mark_survives_an_end_that_knows_no_start(
        self, store: Store, worker: TinyWorker
    ) -> None:
        store.add()
        attempt_id = worker.claim_one().attempt_id
        with store.write() as tx:
            mark_started(tx, {attempt_id: 5})
        worker.finish(attempt_id, Outcome.INTERRUPTED, started_at=None)
        assert store.value("SELECT started_at FROM attempts") == 5


class TestReclaim:
    def test_what_ran_crashed_and_what_waited_was_interrupted(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        store.submit(*[new_job()] * 3)
        _, ran, _ = worker.claim(3)
        assert worker.die(ran.attempt_id, exit_="exit 3").moved == 3
        assert store.rows("SELECT outcome, exit FROM attempts ORDER BY id") == [
            ("interrupted", "exit 3"), ("crashed", "exit 3"), ("interrupted", "exit 3"),
        ]  # fmt: skip
        assert [store.job(i)["crashes"] for i in (1, 2, 3)] == [0, 1, 0]
        error = json.loads(store.job(ran.job_id)["error"])
        assert (error["type"], error["kind"]) == ("WorkerDied", "crashed")
        assert error["message"].endswith("(exit 3)")
        assert store.total("leases_reclaimed", "worker_died") == 3

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [
            (Outcome.CRASHED, "pending"),
            (Outcome.TIMED_OUT, "scheduled"),
            (Outcome.INTERRUPTED, "pending"),
            (Outcome.CANCELLED, "cancelled"),
        ],
    )
    def test_as_what_it_is_recorded(
        self, store: Store, worker: TinyWorker, outcome: Outcome, state: str
    ) -> None:
        job_id = store.add()
        worker.die(worker.claim_one().attempt_id, outcome)
        assert store.state(job_id) == state
        assert store.value("SELECT outcome FROM attempts") == outcome

    def test_takes_only_what_is_open_and_only_of_this_worker(
        self, store: Store, worker: TinyWorker
    ) -> None:
        store.submit(*[new_job()] * 3)
        other = store.worker()
        worker.finish(worker.claim_one().attempt_id)
        worker.claim_one()
        other.claim_one()
        assert worker.die().moved == 1
        assert [store.state(i) for i in (1, 2, 3)] == ["done", "pending", "in_progress"]

    def test_of_nothing_is_nothing(self, store: Store, worker: TinyWorker) -> None:
        with store.write() as tx:
            assert reclaim(tx, worker.id, Death("worker_died"), Random(1)).moved == 0
        assert store.total("leases_reclaimed", "worker_died") == 0


class TestExpired:
    def test_are_leases_that_ran_out_and_workers_of_another_boot(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        store.add()
        store.worker()
        worker.claim_one()
        with store.write() as tx:
            assert workers.expired(tx, "boot-1") == set()
        clock.advance(15.1)
        with store.write() as tx:
            assert workers.expired(tx, "boot-1") == {worker.id}
        clock.reboot()
        with store.write() as tx:
            assert workers.expired(tx, "boot-2") == {1, 2}

    def test_a_wall_clock_set_wrong_expires_nothing(
        self, store: Store, worker: TinyWorker, clock: FakeClock
    ) -> None:
        store.add()
        worker.claim_one()
        clock.jump(365 * 86400)
        with store.write() as tx:
            assert workers.expired(tx, "boot-1") == set()


class TestPromote:
    def test_what_is_due_becomes_pending_earliest_first(
        self, store: Store, clock: FakeClock
    ) -> None:
        store.submit(*(new_job(delay=delay * SECOND_US) for delay in (3, 1, 9, 2)))
        with store.write() as tx:
            assert promote(tx) == 0
        clock.advance(5)
        with store.write() as tx:
            assert promote(tx, limit=2) == 2
        assert [store.state(i) for i in (1, 2, 3, 4)] == [
            "scheduled", "pending", "scheduled", "pending",
        ]  # fmt: skip
        assert store.events(2)[-1] == ("job.pending", "due")

    def test_next_due_is_the_earliest(self, store: Store, clock: FakeClock) -> None:
        connection = store.database.connection
        assert next_due(connection) is None
        store.submit(new_job(delay=9), new_job(delay=4), new_job())
        assert next_due(connection) == clock.now() + 4


def test_a_turn_settles_releases_promotes_and_claims_in_one_commit(
    store: Store, worker: TinyWorker, clock: FakeClock
) -> None:
    store.submit(new_job(), new_job(), new_job(delay=SECOND_US), new_job(delay=99 * SECOND_US))
    done, unstarted = worker.claim(2)
    clock.advance(2)
    batch = Batch.of([finished(done.attempt_id)])
    with store.write() as tx:
        result = turn(tx, worker.identity, batch, [unstarted.attempt_id], 5, Random(1))
    assert [claim.job_id for claim in result.claims] == [2, 3]
    assert (result.settled.moved, result.promoted) == (1, 1)
    assert not result.more
    assert store.rows("SELECT DISTINCT at FROM events WHERE seq > 7") == [(clock.now(),)]


def test_a_turn_tells_whether_others_should_look(store: Store, worker: TinyWorker) -> None:
    store.submit(*[new_job()] * 3)

    def more(room: int) -> bool:
        with store.write() as tx:
            return turn(tx, worker.identity, Batch.of([]), [], room, Random(1)).more

    assert more(2)
    # Claims nothing on purpose, as a worker does that stops: there may be something.
    assert more(0)
    assert not more(1)
    assert not more(1)
