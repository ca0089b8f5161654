"""Claim: the right jobs in the right order, each with a lease that nobody else can mistake."""

from __future__ import annotations

import pytest

from orpheus.clock import SECOND_US
from orpheus.store import queues
from orpheus.store.claim import claim, has_claimable
from orpheus.store.promote import promote
from tests.support.clock import FakeClock
from tests.support.stores import LEASE_NS, Store, new_job


def test_order_is_priority_then_due_time_then_id_across_queues(
    store: Store, clock: FakeClock
) -> None:
    store.submit(
        new_job(ref="4", queue="b"), new_job(ref="1", priority=5), new_job(ref="5", queue="a"),
        new_job(ref="2", priority=5, queue="z"), new_job(ref="7", priority=-1),
    )  # fmt: skip
    clock.advance(1)
    store.submit(new_job(ref="3", priority=5), new_job(ref="6"))
    refs = dict(store.rows("SELECT id, ref FROM jobs"))
    claims = store.worker().claim(10)
    assert [refs[one.job_id] for one in claims] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [one.attempt_id for one in claims] == list(range(1, 8))


def test_due_time_decides_between_equal_priorities(store: Store, clock: FakeClock) -> None:
    second = store.add(delay=2 * SECOND_US)
    first = store.add(delay=1 * SECOND_US)
    clock.advance(3)
    with store.write() as tx:
        promote(tx)
    assert [one.job_id for one in store.worker().claim(2)] == [first, second]


def test_room_bounds_a_claim(store: Store) -> None:
    store.submit(*[new_job()] * 5)
    worker = store.worker()
    assert worker.claim(0) == []
    assert worker.claim(-1) == []
    assert [len(worker.claim(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_claim_is_a_lease(store: Store, clock: FakeClock) -> None:
    job_id = store.add(payload='{"n":1}', timeout=7)
    worker = store.worker()
    claimed = worker.claim_one()
    assert (claimed.job_id, claimed.number, claimed.payload, claimed.timeout) == (
        job_id, 1, '{"n":1}', 7,
    )  # fmt: skip
    assert store.rows(
        "SELECT id, number, worker_id, worker, boot_id, lease_expires, claimed_at, started_at,"
        " outcome FROM attempts"
    ) == [
        (
            claimed.attempt_id, 1, worker.id, "main-1", "boot-1",
            clock.monotonic() + LEASE_NS, clock.now(), None, None,
        )
    ]  # fmt: skip
    job = store.job(job_id)
    assert (job["state"], job["attempt"], job["worker"]) == ("in_progress", 1, "main-1")
    assert store.events(job_id)[-1] == ("job.in_progress", "claimed")


def test_no_job_is_claimed_twice(store: Store) -> None:
    store.submit(*[new_job()] * 10)
    one, two = store.worker(), store.worker()
    taken = [c.job_id for c in (*one.claim(4), *two.claim(4), *one.claim(4))]
    assert sorted(taken) == list(range(1, 11))


def test_a_worker_claims_from_its_lanes_only(store: Store) -> None:
    store.add(lane="async", priority=9)
    sync = store.add()
    assert [c.job_id for c in store.worker().claim(5)] == [sync]
    assert [c.lane for c in store.worker(lanes=("sync", "async")).claim(5)] == ["async"]


def test_scheduled_jobs_are_not_claimed(store: Store) -> None:
    store.add(delay=5)
    assert store.worker().claim(5) == []


class TestPausedQueue:
    def test_is_not_claimed_from(self, store: Store) -> None:
        store.add(queue="paused", priority=9)
        other = store.add()
        with store.write() as tx:
            queues.pause(tx, "paused")
        assert [c.job_id for c in store.worker().claim(5)] == [other]
        with store.write() as tx:
            queues.resume(tx, "paused")
        assert len(store.worker().claim(5)) == 1

    def test_is_not_seen_by_a_peek(self, store: Store) -> None:
        store.add()
        connection = store.database.connection
        assert has_claimable(connection, ("sync",))
        assert not has_claimable(connection, ("async",))
        with store.write() as tx:
            queues.pause(tx, "default")
        assert not has_claimable(connection, ("sync",))


class TestAttemptIds:
    """The id of an attempt is the fencing token: used twice, it would let a stale worker in."""

    def test_is_not_burnt_by_a_rollback(self, store: Store) -> None:
        store.add()
        worker = store.worker()

        def fail() -> None:
            with store.write() as tx:
                claim(tx, worker.identity, 1)
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            fail()
        assert store.state(1) == "pending"
        assert worker.claim_one().attempt_id == 1

    def test_is_never_given_again_after_a_release(self, store: Store) -> None:
        store.add()
        worker = store.worker()
        first = worker.claim_one()
        worker.release(first.attempt_id)
        second = worker.claim_one()
        assert (second.attempt_id, second.number) == (first.attempt_id + 1, first.number)

    def test_is_never_given_again_after_a_delete(self, store: Store) -> None:
        store.submit(new_job(), new_job())
        worker = store.worker()
        first = worker.claim_one()
        worker.finish(first.attempt_id)
        with store.write() as tx:
            tx.connection.execute("DELETE FROM jobs WHERE id = ?", (first.job_id,))
        assert store.rows("SELECT id FROM attempts") == []
        assert worker.claim_one().attempt_id == first.attempt_id + 1
