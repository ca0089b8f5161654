"""The one table of legal state transitions.

SQL guards, `docs/states.md` and the tests are checked against it. A transition that is not here
does not exist.
"""

from __future__ import annotations

from orpheus.domain.job import JobState

_S = JobState

# (from, to) -> the reasons an event of this transition may carry. None is "not yet a job".
TRANSITIONS: dict[tuple[JobState | None, JobState], frozenset[str]] = {
    (None, _S.SCHEDULED): frozenset({"submitted"}),
    (None, _S.BLOCKED): frozenset({"submitted"}),
    (None, _S.PENDING): frozenset({"submitted"}),
    (_S.SCHEDULED, _S.PENDING): frozenset({"due", "by_hand"}),
    (_S.BLOCKED, _S.PENDING): frozenset({"parents_done"}),
    (_S.BLOCKED, _S.SCHEDULED): frozenset({"parents_done"}),
    (_S.PENDING, _S.IN_PROGRESS): frozenset({"claimed"}),
    (_S.IN_PROGRESS, _S.DONE): frozenset({"done"}),
    (_S.IN_PROGRESS, _S.FAILED): frozenset({"permanent", "retries_used_up", "crashes_used_up"}),
    (_S.IN_PROGRESS, _S.CANCELLED): frozenset({"cancel"}),
    (_S.IN_PROGRESS, _S.SCHEDULED): frozenset({"retry", "crashed"}),
    (_S.IN_PROGRESS, _S.PENDING): frozenset({"interrupted", "released", "crashed"}),
    (_S.SCHEDULED, _S.CANCELLED): frozenset({"cancel"}),
    (_S.BLOCKED, _S.CANCELLED): frozenset({"cancel", "parent_failed"}),
    (_S.PENDING, _S.CANCELLED): frozenset({"cancel"}),
    (_S.FAILED, _S.PENDING): frozenset({"by_hand"}),
    (_S.CANCELLED, _S.PENDING): frozenset({"by_hand"}),
}


def is_legal(before: JobState | None, after: JobState) -> bool:
    """Whether a job may go from one state (None: submitted) to another."""
    return (before, after) in TRANSITIONS
