"""What travels: jobs to the writer, outcomes through the outbox; and the names of events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus.domain.attempt import Outcome
from orpheus.domain.event import EVENTS, STATE_EVENTS
from orpheus.domain.histogram import BUCKETS, LABELS, bucket_label
from orpheus.domain.job import JobState, NewJob
from orpheus.domain.outcome import AttemptError, FinishedAttempt

whole = st.integers(0, 2**62)
maybe_text = st.none() | st.text()
jobs = st.builds(
    NewJob,
    type=st.text(), queue=st.text(), lane=st.sampled_from(["sync", "async"]), payload=st.text(),
    priority=st.integers(-100, 100), run_at=st.none() | whole, delay=st.none() | whole,
    unique_key=maybe_text, tags=st.lists(st.text()).map(tuple), ref=maybe_text,
)  # fmt: skip
errors = st.builds(
    AttemptError, type=st.text(), message=st.text(), kind=st.text(), traceback=maybe_text
)
ends = st.builds(
    FinishedAttempt,
    attempt_id=whole, outcome=st.sampled_from(Outcome), started_at=st.none() | whole,
    finished_at=whole, result=maybe_text, error=st.none() | errors, exit=maybe_text,
)  # fmt: skip


@given(jobs)
def test_a_job_survives_the_wire(job: NewJob) -> None:
    assert NewJob.from_wire(json.loads(json.dumps(job.to_wire()))) == job


def test_a_job_of_another_version_is_refused() -> None:
    job = NewJob("t", "q", "sync", "{}")
    with pytest.raises(ValueError, match="argument"):
        NewJob.from_wire(job.to_wire()[:-1])


@given(ends)
def test_an_outcome_survives_the_outbox(finished: FinishedAttempt) -> None:
    assert FinishedAttempt.decode(finished.encode()) == finished


def test_an_outcome_is_ascii_whatever_the_handler_said() -> None:
    error = AttemptError("E", "half a pair: \ud800, and ü", "failed")
    finished = FinishedAttempt(1, Outcome.FAILED, None, 2, error=error)
    assert finished.encode().isascii()
    assert FinishedAttempt.decode(finished.encode()) == finished
    assert error.to_json().isascii()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'[1,"no such",null,1,null,null,null]'])
def test_bytes_that_are_no_outcome_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        FinishedAttempt.decode(data)


def test_an_error_is_the_contracts_object() -> None:
    assert json.loads(AttemptError("E", "m", "crashed").to_json()) == {
        "type": "E", "message": "m", "kind": "crashed", "traceback": None,
    }  # fmt: skip


def test_every_state_has_an_event() -> None:
    assert {STATE_EVENTS[state] for state in JobState} <= EVENTS
    assert STATE_EVENTS[JobState.IN_PROGRESS] == "job.in_progress"
    told = {"job.progress", "job.cancel_requested", "job.deleted", "jobs.pruned"}
    told |= {"worker.started", "worker.stopped", "worker.crashed"}
    told |= {"queue.paused", "queue.resumed"}
    assert EVENTS - set(STATE_EVENTS.values()) == told


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (3600, "3600.0"), (3601, "+Inf")],
)
def test_a_duration_has_one_bucket(seconds: float, label: str) -> None:
    assert bucket_label(seconds) == label


def test_buckets_ascend() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))
    assert len(LABELS) == len(BUCKETS) + 1


def test_values_are_frozen() -> None:
    values: tuple[Any, ...] = (
        NewJob("t", "q", "sync", "{}"),
        FinishedAttempt(1, Outcome.DONE, None, 2),
        AttemptError("E", "m", "failed"),
    )
    for value in values:
        with pytest.raises((AttributeError, TypeError)):
            value.type = "other"
