"""What follows an attempt: the only place that decides it, for settle and reclaim alike."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from orpheus.domain.attempt import Outcome
from orpheus.domain.job import JobState
from orpheus.domain.retry import backoff_delay


@dataclass(frozen=True, slots=True)
class Budgets:
    """What a job has spent and may spend. Backoff in microseconds."""

    retries: int
    crashes: int
    max_retries: int
    max_crashes: int
    backoff_base: int
    backoff_cap: int
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state of the job, why, and what the attempt has spent.

    `delay` (microseconds) is set where the next state is scheduled.
    """

    state: JobState
    reason: str
    retries: int
    crashes: int
    delay: int | None = None


def decide(outcome: Outcome, budgets: Budgets, rng: Random) -> Decision:
    """The next state of a job whose open attempt ended with `outcome`.

    `failed` and `timed_out` spend a retry, `crashed` a crash, `interrupted` nothing. A job that
    was asked to cancel ends `cancelled` unless its attempt ended `done`.
    """
    retries, crashes = budgets.retries, budgets.crashes
    if outcome is Outcome.DONE:
        return Decision(JobState.DONE, "done", retries, crashes)
    if outcome is Outcome.CRASHED:
        crashes = min(crashes + 1, budgets.max_crashes)
    if budgets.cancel_requested or outcome is Outcome.CANCELLED:
        return Decision(JobState.CANCELLED, "cancel", retries, crashes)
    if outcome is Outcome.FAILED_PERMANENT:
        return Decision(JobState.FAILED, "permanent", retries, crashes)
    if outcome is Outcome.INTERRUPTED:
        return Decision(JobState.PENDING, "interrupted", retries, crashes)
    if outcome is Outcome.CRASHED:
        if crashes >= budgets.max_crashes:
            return Decision(JobState.FAILED, "crashes_used_up", retries, crashes)
        if crashes == 1:
            # A first death may well be the machine's doing (a kill, the OOM killer): no wait.
            return Decision(JobState.PENDING, "crashed", retries, crashes)
        delay = backoff_delay(crashes - 1, budgets.backoff_base, budgets.backoff_cap, rng)
        return Decision(JobState.SCHEDULED, "crashed", retries, crashes, delay)
    if retries >= budgets.max_retries:
        return Decision(JobState.FAILED, "retries_used_up", retries, crashes)
    delay = backoff_delay(retries + 1, budgets.backoff_base, budgets.backoff_cap, rng)
    return Decision(JobState.SCHEDULED, "retry", retries + 1, crashes, delay)
