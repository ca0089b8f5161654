"""What handlers say: log lines, and progress as the job's latest value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orpheus.domain.event import JOB_PROGRESS
from orpheus.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line; `at` in microseconds, `fields` a JSON object as text."""

    job_id: int
    attempt: int
    at: int
    level: str
    message: str
    fields: str = "{}"
    stream: str = "log"


@dataclass(frozen=True, slots=True)
class Progress:
    """The latest progress of an attempt; `progress` is the contract's object as JSON text."""

    job_id: int
    attempt_id: int
    progress: str


def append(tx: Transaction, lines: Sequence[LogLine]) -> None:
    """Store lines in order; those of a job deleted meanwhile are dropped."""
    tx.connection.executemany(
        "INSERT INTO logs (job_id, attempt, at, level, stream, message, fields)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM jobs WHERE id = ?1)",
        [
            (line.job_id, line.attempt, line.at, line.level, line.stream, line.message, line.fields)
            for line in lines
        ],
    )


def set_progress(tx: Transaction, progress: Sequence[Progress]) -> None:
    """Set the progress of jobs, fenced: only their latest attempt may speak.

    It may have ended meanwhile, since the last word of a job is stored a little after its end.
    """
    for one in progress:
        row = tx.connection.execute(
            "UPDATE jobs SET progress = ?1 WHERE id = ?2 AND attempt = ("
            " SELECT number FROM attempts WHERE id = ?3 AND job_id = ?2)"
            " RETURNING type, queue, state, attempt",
            (one.progress, one.job_id, one.attempt_id),
        ).fetchone()
        if row is not None:
            type_, queue, state, attempt = row
            tx.events.job(
                JOB_PROGRESS,
                one.job_id,
                type_,
                queue,
                state,
                attempt,
                data=f'{{"progress":{one.progress}}}',
            )
