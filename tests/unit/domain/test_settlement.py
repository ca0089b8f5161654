"""What follows an attempt, case by case, and that it never leaves the table of transitions."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus.domain.attempt import Outcome
from orpheus.domain.job import ACTIVE, FINAL, WAITING, JobState
from orpheus.domain.retry import backoff_delay
from orpheus.domain.settlement import Budgets, Decision, decide
from orpheus.domain.transitions import TRANSITIONS, is_legal

SECOND = 1_000_000


def budgets(
    retries: int = 0, crashes: int = 0, max_retries: int = 3, max_crashes: int = 3,
    cancel_requested: bool = False,
) -> Budgets:  # fmt: skip
    return Budgets(
        retries, crashes, max_retries, max_crashes, SECOND, 300 * SECOND, cancel_requested
    )


def after(outcome: Outcome, spent: Budgets) -> Decision:
    return decide(outcome, spent, Random(1))


@pytest.mark.parametrize(
    ("outcome", "spent", "state", "reason", "retries", "crashes"),
    [
        (Outcome.DONE, budgets(), "done", "done", 0, 0),
        (Outcome.DONE, budgets(cancel_requested=True), "done", "done", 0, 0),
        (Outcome.FAILED, budgets(), "scheduled", "retry", 1, 0),
        (Outcome.FAILED, budgets(retries=2), "scheduled", "retry", 3, 0),
        (Outcome.FAILED, budgets(retries=3), "failed", "retries_used_up", 3, 0),
        (Outcome.FAILED, budgets(max_retries=0), "failed", "retries_used_up", 0, 0),
        (Outcome.FAILED, budgets(cancel_requested=True), "cancelled", "cancel", 0, 0),
        (Outcome.TIMED_OUT, budgets(), "scheduled", "retry", 1, 0),
        (Outcome.TIMED_OUT, budgets(retries=3), "failed", "retries_used_up", 3, 0),
        (Outcome.FAILED_PERMANENT, budgets(), "failed", "permanent", 0, 0),
        (Outcome.FAILED_PERMANENT, budgets(cancel_requested=True), "cancelled", "cancel", 0, 0),
        (Outcome.CRASHED, budgets(), "pending", "crashed", 0, 1),
        (Outcome.CRASHED, budgets(crashes=1), "scheduled", "crashed", 0, 2),
        (Outcome.CRASHED, budgets(crashes=2), "failed", "crashes_used_up", 0, 3),
        (Outcome.CRASHED, budgets(max_crashes=1), "failed", "crashes_used_up", 0, 1),
        (Outcome.CRASHED, budgets(cancel_requested=True), "cancelled", "cancel", 0, 1),
        (Outcome.CANCELLED, budgets(), "cancelled", "cancel", 0, 0),
        (Outcome.INTERRUPTED, budgets(retries=3, crashes=2), "pending", "interrupted", 3, 2),
        (Outcome.INTERRUPTED, budgets(cancel_requested=True), "cancelled", "cancel", 0, 0),
    ],
)
def test_decision(
    outcome: Outcome, spent: Budgets, state: str, reason: str, retries: int, crashes: int
) -> None:
    decision = after(outcome, spent)
    assert (decision.state, decision.reason) == (state, reason)
    assert (decision.retries, decision.crashes) == (retries, crashes)
    assert (decision.delay is not None) == (state == "scheduled")


def test_a_second_crash_waits_as_a_first_failure_does() -> None:
    delay = after(Outcome.CRASHED, budgets(crashes=1)).delay
    assert delay is not None
    assert 0.8 * SECOND <= delay <= 1.2 * SECOND


@given(
    outcome=st.sampled_from(Outcome),
    retries=st.integers(0, 5),
    crashes=st.integers(0, 5),
    more_retries=st.integers(0, 5),
    more_crashes=st.integers(1, 5),
    cancel=st.booleans(),
)
def test_every_decision_is_legal_and_within_its_budgets(
    outcome: Outcome, retries: int, crashes: int, more_retries: int, more_crashes: int, cancel: bool
) -> None:
    spent = budgets(retries, crashes, retries + more_retries, crashes + more_crashes, cancel)
    decision = after(outcome, spent)
    reasons = TRANSITIONS[JobState.IN_PROGRESS, decision.state]
    assert decision.reason in reasons
    assert retries <= decision.retries <= spent.max_retries
    assert crashes <= decision.crashes <= spent.max_crashes
    if decision.crashes == spent.max_crashes:
        assert decision.state in FINAL


class TestBackoff:
    @pytest.mark.parametrize(
        ("failure", "delay"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (5000, 300)]
    )
    def test_doubles_up_to_its_cap_within_a_fifth(self, failure: int, delay: int) -> None:
        seen = [backoff_delay(failure, SECOND, 300 * SECOND, Random(seed)) for seed in range(200)]
        assert min(seen) >= 0.8 * delay * SECOND
        assert max(seen) <= 1.2 * delay * SECOND
        assert max(seen) - min(seen) > 0.3 * delay * SECOND

    def test_of_nothing_is_nothing(self) -> None:
        assert backoff_delay(3, 0, 300, Random(1)) == 0


class TestTransitions:
    def test_states_are_waiting_running_or_final(self) -> None:
        assert WAITING | {JobState.IN_PROGRESS} == ACTIVE
        assert set(JobState) == ACTIVE | FINAL

    @pytest.mark.parametrize("state", FINAL)
    def test_final_states_are_left_by_hand_only(self, state: JobState) -> None:
        ways = {to: why for (before, to), why in TRANSITIONS.items() if before is state}
        assert ways in ({}, {JobState.PENDING: {"by_hand"}})

    def test_done_is_never_left(self) -> None:
        assert not any(is_legal(JobState.DONE, state) for state in JobState)

    def test_every_state_is_reached_and_only_pending_ones_are_claimed(self) -> None:
        assert {after for _, after in TRANSITIONS} == set(JobState)
        assert [b for b, a in TRANSITIONS if a is JobState.IN_PROGRESS] == [JobState.PENDING]

    def test_no_job_begins_at_work_or_at_its_end(self) -> None:
        assert {after for before, after in TRANSITIONS if before is None} == WAITING
