"""Prune: what is old goes, in small steps, and the figures follow."""

from __future__ import annotations

import json

import pytest

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Outcome
from orpheus.domain.job import JobState
from orpheus.store import prune
from tests.support.clock import FakeClock
from tests.support.stores import Store, new_job

ENDS = {
    JobState.DONE: Outcome.DONE,
    JobState.FAILED: Outcome.FAILED_PERMANENT,
    JobState.CANCELLED: Outcome.CANCELLED,
}


def end_jobs(store: Store, outcome: Outcome, n: int = 1, **values: object) -> None:
    store.submit(*(new_job(**values) for _ in range(n)))
    worker = store.worker()
    for claimed in worker.claim(n):
        worker.finish(claimed.attempt_id, outcome)


@pytest.mark.parametrize("state", ENDS)
def test_each_state_has_its_own_age(store: Store, clock: FakeClock, state: JobState) -> None:
    for outcome in ENDS.values():
        end_jobs(store, outcome, tags=("red",))
    clock.advance(10)
    for outcome in ENDS.values():
        end_jobs(store, outcome)
    with store.write() as tx:
        assert prune.prune_jobs(tx, state, tx.now - 10 * SECOND_US + 1) is False
    left = sorted(row[0] for row in store.rows("SELECT state FROM jobs"))
    assert left == sorted([*ENDS, *(other for other in ENDS if other is not state)])
    assert store.counters() == store.recount()
    assert len(store.rows("SELECT job_id FROM tags")) == 2
    assert len(store.rows("SELECT id FROM attempts")) == 5


def test_nothing_old_is_nothing_told(store: Store) -> None:
    end_jobs(store, Outcome.DONE)
    before = store.dump()
    with store.write() as tx:
        assert prune.prune_jobs(tx, JobState.DONE, tx.now) is False
    assert store.dump() == before


def test_jobs_go_in_small_steps_oldest_first(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "_AT_ONCE", 2)
    for _ in range(5):
        end_jobs(store, Outcome.DONE)
        clock.advance(1)
    left = []
    more = True
    while more:
        with store.write() as tx:
            more = prune.prune_jobs(tx, JobState.DONE, tx.now)
        left.append([row[0] for row in store.rows("SELECT id FROM jobs ORDER BY id")])
    assert left == [[3, 4, 5], [5], []]


def test_a_prune_is_told_by_queue_and_type(store: Store, clock: FakeClock) -> None:
    end_jobs(store, Outcome.DONE, n=2, queue="mail", type="send")
    end_jobs(store, Outcome.DONE)
    clock.advance(1)
    with store.write() as tx:
        prune.prune_jobs(tx, JobState.DONE, tx.now)
    rows = store.rows("SELECT queue, data FROM events WHERE event = 'jobs.pruned'")
    told = {queue: json.loads(data) for queue, data in rows}
    assert told == {
        "mail": {"queue": "mail", "type": "send", "state": "done", "count": 2},
        "default": {"queue": "default", "type": "echo", "state": "done", "count": 1},
    }
    assert store.counters() == {}


class TestEvents:
    def test_the_newest_are_kept(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prune, "_EVENTS_AT_ONCE", 4)
        store.submit(*[new_job()] * 9)
        with store.write() as tx:
            assert prune.prune_events(tx, keep=3) == 2
        with store.write() as tx:
            assert prune.prune_events(tx, keep=3) == 0
        assert store.rows("SELECT seq FROM events") == [(7,), (8,), (9,)]

    def test_numbers_go_on_after_all_are_gone(self, store: Store) -> None:
        """Resuming by number would else deliver other events under old numbers."""
        store.submit(new_job(), new_job())
        with store.write() as tx:
            prune.prune_events(tx, keep=0)
        assert store.rows("SELECT seq FROM events") == []
        store.add()
        assert store.rows("SELECT seq FROM events") == [(3,)]


def test_seconds_of_activity_are_kept_for_an_hour(store: Store, clock: FakeClock) -> None:
    store.add()
    clock.advance(3600)
    store.add()
    with store.write() as tx:
        prune.prune_rest(tx)
    assert len(store.rows("SELECT second FROM activity")) == 2
    clock.advance(1)
    with store.write() as tx:
        prune.prune_rest(tx)
    assert store.rows("SELECT second FROM activity") == [(clock.now() // SECOND_US - 1,)]
