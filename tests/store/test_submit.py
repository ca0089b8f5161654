"""Submit: all or none, in order, with the unique key's holder instead of a second job."""

from __future__ import annotations

import json

import pytest

from orpheus.clock import SECOND_US
from orpheus.errors import RequestError
from orpheus.store.submit import submit
from tests.support.clock import FakeClock
from tests.support.stores import Store, new_job


def test_a_job_is_stored_as_asked(store: Store, clock: FakeClock) -> None:
    job_id = store.add(
        type="resize", queue="images", lane="async", payload='{"a":1}', priority=-7,
        max_retries=1, max_crashes=2, backoff_base=5, backoff_cap=50, timeout=9,
        unique_key="k", tags=("x", "y"), meta='{"m":2}', ref="r",
    )  # fmt: skip
    job = store.job(job_id)
    assert {name: job[name] for name in ("type", "queue", "lane", "payload", "priority")} == {
        "type": "resize", "queue": "images", "lane": "async", "payload": '{"a":1}', "priority": -7,
    }  # fmt: skip
    assert (job["max_retries"], job["max_crashes"], job["timeout"]) == (1, 2, 9)
    assert (job["backoff_base"], job["backoff_cap"]) == (5, 50)
    assert (job["unique_key"], job["ref"], job["meta"]) == ("k", "r", '{"m":2}')
    assert json.loads(job["tags"]) == ["x", "y"]
    assert (job["state"], job["attempt"], job["retries"], job["crashes"]) == ("pending", 0, 0, 0)
    assert job["created_at"] == job["run_at"] == clock.now()
    assert store.rows("SELECT tag, job_id FROM tags") == [("x", job_id), ("y", job_id)]
    assert store.rows("SELECT name, paused FROM queues") == [("images", 0)]


def test_a_tag_given_twice_is_one(store: Store) -> None:
    store.add(tags=("x", "x"))
    assert store.rows("SELECT tag FROM tags") == [("x",)]


def test_a_batch_gets_ascending_ids_in_its_order(store: Store) -> None:
    submitted = store.submit(*(new_job(ref=name, priority=p) for name, p in (("a", 1), ("b", 9))))
    assert [(one.id, one.ref, one.state) for one in submitted] == [
        (1, "a", "pending"),
        (2, "b", "pending"),
    ]
    assert store.rows("SELECT ref FROM jobs ORDER BY id") == [("a",), ("b",)]


class TestWhenToRun:
    @pytest.mark.parametrize("delay", [1, 10 * SECOND_US])
    def test_a_delay_schedules(self, store: Store, clock: FakeClock, delay: int) -> None:
        job = store.job(store.add(delay=delay))
        assert (job["state"], job["run_at"]) == ("scheduled", clock.now() + delay)
        assert store.events() == [("job.scheduled", "submitted")]

    def test_a_delay_of_nothing_is_now(self, store: Store, clock: FakeClock) -> None:
        job = store.job(store.add(delay=0))
        assert (job["state"], job["run_at"]) == ("pending", clock.now())

    def test_a_time_to_come_schedules(self, store: Store, clock: FakeClock) -> None:
        job = store.job(store.add(run_at=clock.now() + 5))
        assert (job["state"], job["run_at"]) == ("scheduled", clock.now() + 5)

    @pytest.mark.parametrize("ago", [0, 1, 10**15])
    def test_a_time_gone_by_is_now(self, store: Store, clock: FakeClock, ago: int) -> None:
        """Kept as it was given, it would overtake the jobs that wait."""
        job = store.job(store.add(run_at=clock.now() - ago))
        assert (job["state"], job["run_at"]) == ("pending", clock.now())

    def test_the_event_says_when(self, store: Store) -> None:
        store.add(delay=SECOND_US)
        assert store.rows("SELECT data ->> 'run_at' FROM events") == [
            ("2023-11-14T22:13:21.000000Z",)
        ]


class TestUniqueKey:
    def test_finds_the_active_holder(self, store: Store) -> None:
        first = store.add(unique_key="k")
        (second,) = store.submit(new_job(unique_key="k", type="other", ref="mine"))
        assert (second.id, second.deduplicated, second.ref) == (first, True, "mine")
        assert len(store.rows("SELECT id FROM jobs")) == 1
        assert len(store.events()) == 1

    def test_holds_while_scheduled_and_in_progress(self, store: Store) -> None:
        store.add(unique_key="late", delay=5)
        store.add(unique_key="running")
        store.worker().claim_one()
        late, running = store.submit(new_job(unique_key="late"), new_job(unique_key="running"))
        assert (late.deduplicated, late.state) == (True, "scheduled")
        assert (running.deduplicated, running.state) == (True, "in_progress")

    def test_is_free_once_the_holder_has_ended(self, store: Store) -> None:
        first = store.add(unique_key="k")
        worker = store.worker()
        worker.finish(worker.claim_one().attempt_id)
        assert store.add(unique_key="k") != first

    def test_counts_within_a_batch(self, store: Store) -> None:
        one, two, other = store.submit(
            new_job(unique_key="k", ref="1"), new_job(unique_key="k", ref="2"), new_job()
        )
        assert (one.deduplicated, two.deduplicated, other.deduplicated) == (False, True, False)
        assert (two.id, two.ref) == (one.id, "2")
        assert other.id == one.id + 1

    def test_counts_within_a_transaction(self, store: Store) -> None:
        with store.write() as tx:
            (one,) = submit(tx, [new_job(unique_key="k")], 10)
            (two,) = submit(tx, [new_job(unique_key="k")], 10)
        assert (two.id, two.deduplicated) == (one.id, True)


class TestQueueFull:
    def test_a_batch_too_many_is_refused_whole(self, store: Store) -> None:
        store.submit(new_job(), new_job(delay=5), max_pending=4)
        before = store.dump()
        with pytest.raises(RequestError) as caught:
            store.submit(*[new_job()] * 3, max_pending=4)
        assert caught.value.code == "queue_full"
        assert store.dump() == before
        store.submit(*[new_job()] * 2, max_pending=4)

    def test_what_runs_takes_no_room(self, store: Store) -> None:
        store.add()
        store.worker().claim_one()
        assert store.submit(new_job(), max_pending=1)

    def test_what_is_deduplicated_needs_no_room(self, store: Store) -> None:
        store.submit(new_job(unique_key="k"), max_pending=1)
        (again,) = store.submit(new_job(unique_key="k"), max_pending=1)
        assert again.deduplicated

    def test_earlier_submits_of_the_transaction_count(self, store: Store) -> None:
        with store.write() as tx:
            submit(tx, [new_job()], 2)
            submit(tx, [new_job()], 2)
            with pytest.raises(RequestError):
                submit(tx, [new_job()], 2)
        assert len(store.rows("SELECT id FROM jobs")) == 2
        assert store.counters() == store.recount()


class TestIds:
    def test_a_rolled_back_submit_burns_none(self, store: Store) -> None:
        store.add()

        def fail() -> None:
            with store.write() as tx:
                submit(tx, [new_job()], 10)
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            fail()
        assert store.add() == 2

    def test_of_a_deleted_job_is_never_given_again(self, store: Store) -> None:
        store.add()
        with store.write() as tx:
            tx.connection.execute("DELETE FROM jobs")
        assert store.add() == 2
