"""What must hold of the store after every step, whatever happened before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from orpheus.domain.attempt import Outcome
from orpheus.domain.event import EVENTS, STATE_EVENTS
from orpheus.domain.job import FINAL, JobState
from orpheus.domain.transitions import TRANSITIONS
from tests.support.stores import Store

SPENDS_RETRY = (Outcome.FAILED, Outcome.TIMED_OUT)
_NOT_ENDED = ("scheduled", "blocked", "pending", "in_progress")


@dataclass
class Replay:
    """The jobs as the events tell them, read on from where the last step ended."""

    store: Store
    seq: int = 0
    states: dict[int, JobState] = field(default_factory=dict)
    kinds: dict[int, tuple[str, str]] = field(default_factory=dict)
    submitted: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    pruned: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def read_on(self) -> None:
        rows = self.store.rows(
            "SELECT seq, event, job_id, type, queue, state, attempt, reason,"
            " data ->> 'queue', data ->> 'type', data ->> 'state', data ->> 'count'"
            " FROM events WHERE seq > ? ORDER BY seq",
            (self.seq,),
        )
        for seq, event, job_id, type_, queue, state, attempt, reason, *pruned in rows:
            assert seq == self.seq + 1, "a gap in the feed"
            self.seq = seq
            assert event in EVENTS
            if event in STATE_EVENTS.values():
                assert event == f"job.{state}"
                self._moved(job_id, JobState(state), reason)
                self.kinds[job_id] = (queue, type_)
            elif event == "job.deleted":
                assert self.states.pop(job_id) in FINAL
            elif event == "jobs.pruned":
                *key, count = pruned
                self.pruned[tuple(key)] += count
            elif event == "job.cancel_requested":
                assert self.states[job_id] is JobState.IN_PROGRESS
            assert job_id is None or attempt >= 0
        self._forget_pruned()

    def _moved(self, job_id: int, after: JobState, reason: str) -> None:
        before = self.states.get(job_id)
        reasons = TRANSITIONS.get((before, after))
        assert reasons is not None, f"{before} -> {after} is no legal transition"
        assert reason in reasons, f"{before} -> {after} must not be because of {reason}"
        self.states[job_id] = after
        self.submitted += before is None
        if after in FINAL:
            self.finished[after] += 1

    def _forget_pruned(self) -> None:
        """A prune tells numbers, not ids: those gone must be as many of each kind as it says."""
        kept = {row[0] for row in self.store.rows("SELECT id FROM jobs")}
        gone = [job_id for job_id in self.states if job_id not in kept]
        kinds = Counter((*self.kinds[job_id], self.states.pop(job_id).value) for job_id in gone)
        assert kinds == self.pruned
        self.pruned.clear()


@dataclass
class Memory:
    """What was true before, to see that it still is."""

    closed: dict[int, tuple[Any, ...]] = field(default_factory=dict)


def check_all(store: Store, replay: Replay, memory: Memory) -> None:
    replay.read_on()
    check_counters(store)
    check_states(store, replay)
    check_attempts(store)
    check_closed_attempts(store, memory)
    check_budgets(store)
    check_unique_keys(store)
    check_totals(store, replay)


def check_counters(store: Store) -> None:
    assert store.counters() == store.recount()


def check_states(store: Store, replay: Replay) -> None:
    """Replaying the events rebuilds every job's state."""
    assert {row[0]: row[1] for row in store.rows("SELECT id, state FROM jobs")} == replay.states


def check_attempts(store: Store) -> None:
    """At most one open attempt, exactly while the job is in progress; numbers without gaps."""
    rows = store.rows(
        "SELECT j.state, j.attempt, j.worker, count(a.id), coalesce(min(a.number), 0),"
        " coalesce(max(a.number), 0), total(a.id IS NOT NULL AND a.outcome IS NULL),"
        " max(CASE WHEN a.number = j.attempt THEN a.worker END)"
        " FROM jobs AS j LEFT JOIN attempts AS a ON a.job_id = j.id GROUP BY j.id"
    )
    for state, attempt, worker, count, least, most, unfinished, last_worker in rows:
        assert unfinished == (state == "in_progress")
        assert attempt == count == most
        assert least == min(1, count)
        assert worker == last_worker
    assert store.rows("SELECT id FROM attempts WHERE job_id NOT IN (SELECT id FROM jobs)") == []
    assert store.rows("SELECT tag FROM tags WHERE job_id NOT IN (SELECT id FROM jobs)") == []


def check_closed_attempts(store: Store, memory: Memory) -> None:
    """How an attempt ended is never changed again."""
    closed = {
        row[0]: row
        for row in store.rows(
            "SELECT id, job_id, number, worker, outcome, started_at, finished_at, error, exit"
            " FROM attempts WHERE outcome IS NOT NULL"
        )
    }
    for attempt_id, row in memory.closed.items():
        assert closed.get(attempt_id, row) == row
    memory.closed = closed


def check_budgets(store: Store) -> None:
    assert (
        store.rows(
            "SELECT id FROM jobs WHERE retries > max_retries OR crashes > max_crashes"
            " OR (crashes = max_crashes AND state NOT IN ('failed', 'cancelled'))"
        )
        == []
    )


def check_unique_keys(store: Store) -> None:
    marks = ", ".join(f"'{state}'" for state in _NOT_ENDED)
    assert (
        store.rows(
            f"SELECT unique_key FROM jobs WHERE state IN ({marks})"
            " AND unique_key IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
        )
        == []
    )


def check_totals(store: Store, replay: Replay) -> None:
    """The figures that only rise agree with what the feed told, also of jobs long deleted."""
    assert store.total("jobs_submitted") == replay.submitted
    ended = {state: n for state in FINAL if (n := store.total("jobs_finished", state))}
    assert ended == replay.finished
