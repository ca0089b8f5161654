"""Counters, totals, activity and events change with the state, in the same transaction or not."""

from __future__ import annotations

import pytest

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Outcome
from orpheus.domain.histogram import LABELS
from orpheus.domain.job import JobState
from orpheus.store import control
from orpheus.store.claim import claim
from orpheus.store.submit import submit
from tests.support.clock import FakeClock
from tests.support.stores import Store, new_job


class TestOneTransaction:
    """A state that changed without its figures, or the reverse, would never be noticed again."""

    def test_that_fails_leaves_none_of_them(self, store: Store) -> None:
        store.submit(new_job(), new_job())
        worker = store.worker()
        before = store.dump()

        def fail() -> None:
            with store.write() as tx:
                submit(tx, [new_job(tags=("a",)), new_job(delay=5)], 10)
                claim(tx, worker.identity, 1)
                control.cancel(tx, 2)
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            fail()
        assert store.dump() == before

    def test_that_fails_at_its_last_write_leaves_none_of_them(self, store: Store) -> None:
        """The counter's own check stops a wrong count, and everything that came with it."""
        store.add()
        before = store.dump()

        def fail() -> None:
            with store.write() as tx:
                submit(tx, [new_job()], 10)
                tx.counters.move("default", "echo", JobState.DONE, None)

        store.database.connection.execute(
            "INSERT INTO counters (queue, type, state, n) VALUES ('default', 'echo', 'done', 0)"
        )
        with pytest.raises(Exception, match="CHECK constraint failed"):
            fail()
        store.database.connection.execute("DELETE FROM counters WHERE state = 'done'")
        assert store.dump() == before

    def test_that_succeeds_has_all_of_them(self, store: Store, clock: FakeClock) -> None:
        store.add(queue="mail", type="send")
        assert store.counters() == {("mail", "send", "pending"): 1}
        assert store.rows("SELECT name, queue, type, value FROM totals WHERE queue <> ''") == [
            ("jobs_submitted", "mail", "send", 1.0)
        ]
        assert store.rows("SELECT second, submitted FROM activity") == [
            (clock.now() // SECOND_US, 1)
        ]
        assert store.rows(
            "SELECT at, event, job_id, type, queue, state, attempt, reason, data FROM events"
        ) == [
            (clock.now(), "job.pending", 1, "send", "mail", "pending", 0, "submitted", None)
        ]  # fmt: skip


class TestCounters:
    def test_follow_a_job_through_its_life(self, store: Store) -> None:
        store.submit(new_job(), new_job(delay=9))
        worker = store.worker()
        seen = [store.counters()]
        claimed = worker.claim_one()
        seen.append(store.counters())
        worker.finish(claimed.attempt_id)
        seen.append(store.counters())
        with store.write() as tx:
            control.delete(tx, claimed.job_id)
        seen.append(store.counters())
        late = ("default", "echo", "scheduled")
        assert seen == [
            {("default", "echo", state): 1, late: 1} for state in ("pending", "in_progress", "done")
        ] + [{late: 1}]
        assert store.counters() == store.recount()

    def test_are_kept_per_queue_and_type(self, store: Store) -> None:
        store.submit(new_job(queue="a"), new_job(queue="a", type="t"), new_job(queue="b"))
        assert store.counters() == {
            ("a", "echo", "pending"): 1,
            ("a", "t", "pending"): 1,
            ("b", "echo", "pending"): 1,
        }


class TestTotals:
    def test_attempts_and_ends_are_counted(self, store: Store) -> None:
        store.submit(new_job(), new_job(), new_job(max_retries=0))
        worker = store.worker()
        for outcome in (Outcome.DONE, Outcome.CANCELLED, Outcome.FAILED):
            worker.finish(worker.claim_one().attempt_id, outcome)
        assert store.total("jobs_submitted") == 3
        for label in ("done", "cancelled", "failed"):
            assert store.total("jobs_finished", label) == 1
            assert store.total("attempts", label) == 1

    def test_durations_fall_into_one_bucket_each(self, store: Store, clock: FakeClock) -> None:
        store.add()
        attempt_id = store.worker().claim_one().attempt_id
        due = clock.now()
        worker = store.worker()
        worker.finish(attempt_id, started_at=due + SECOND_US, at=due + 3 * SECOND_US)
        buckets = {label: store.total("wait_seconds_bucket", label) for label in LABELS}
        assert {label: n for label, n in buckets.items() if n} == {"1.0": 1}
        assert store.total("run_seconds_bucket", "2.5") == 1
        assert (store.total("wait_seconds_sum"), store.total("run_seconds_sum")) == (1, 2)
        assert (store.total("wait_seconds_count"), store.total("run_seconds_count")) == (1, 1)

    def test_a_clock_set_back_makes_no_negative_duration(
        self, store: Store, clock: FakeClock
    ) -> None:
        store.add()
        worker = store.worker()
        attempt_id = worker.claim_one().attempt_id
        worker.finish(attempt_id, started_at=clock.now() - 5, at=clock.now() - 9)
        assert (store.total("wait_seconds_sum"), store.total("run_seconds_sum")) == (0, 0)

    def test_never_fall(self, store: Store) -> None:
        store.add()
        worker = store.worker()
        worker.finish(worker.claim_one().attempt_id)
        with store.write() as tx:
            control.delete(tx, 1)
        assert store.total("jobs_submitted") == 1
        assert store.total("jobs_finished", "done") == 1

    def test_waiting_for_the_gate_is_published_with_other_writes(
        self, store: Store, clock: FakeClock
    ) -> None:
        store.add()
        first = store.total("gate_wait_seconds_count")
        store.add()
        assert store.total("gate_wait_seconds_count") == first
        clock.advance(6)
        store.add()
        assert store.total("gate_wait_seconds_count") == first + 2

    def test_a_look_that_writes_nothing_publishes_nothing(
        self, store: Store, clock: FakeClock
    ) -> None:
        clock.advance(60)
        before = store.dump()
        with store.write():
            pass
        assert store.dump() == before


def test_activity_is_summed_per_second(store: Store, clock: FakeClock) -> None:
    store.add()
    store.submit(new_job(), new_job())
    clock.advance(1)
    worker = store.worker()
    worker.finish(worker.claim_one().attempt_id)
    with store.write() as tx:
        control.cancel(tx, 2)
    second = clock.now() // SECOND_US
    assert store.rows("SELECT * FROM activity ORDER BY second") == [
        (second - 1, 3, 0, 0, 0),
        (second, 0, 1, 0, 1),
    ]


class TestEvents:
    def test_are_numbered_without_gaps_across_rollbacks(self, store: Store) -> None:
        store.add()

        def fail() -> None:
            with store.write() as tx:
                submit(tx, [new_job()], 10)
                tx.flush()
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            fail()
        store.add()
        assert [row[0] for row in store.rows("SELECT seq FROM events")] == [1, 2]

    def test_keep_the_order_of_what_happened(self, store: Store) -> None:
        with store.write() as tx:
            submit(tx, [new_job(), new_job()], 10)
            control.cancel(tx, 2)
            control.retry(tx, 2)
        assert store.rows("SELECT job_id, event, reason FROM events ORDER BY seq") == [
            (1, "job.pending", "submitted"),
            (2, "job.pending", "submitted"),
            (2, "job.cancelled", "cancel"),
            (2, "job.pending", "by_hand"),
        ]
