"""Numbers about the whole: counts, ages, workers, totals.

Functions on a read snapshot, called by `store.reads`. They read counters and short indexes, never
history.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from orpheus.clock import SECOND_US
from orpheus.store.reads_pool import Snapshot

# Jumps from one (queue, lane, priority) to the next through the claim index; the first entry of
# each is its oldest job. A million waiting jobs cost as much as one.
_OLDEST_PENDING = """
WITH RECURSIVE heads(id) AS (
    SELECT (SELECT id FROM jobs WHERE state = 'pending'
            ORDER BY queue, lane, priority DESC, run_at, id LIMIT 1)
    UNION ALL
    SELECT coalesce(
        (SELECT j.id FROM jobs AS j
         WHERE j.state = 'pending' AND j.queue = head.queue AND j.lane = head.lane
           AND j.priority < head.priority
         ORDER BY j.priority DESC, j.run_at, j.id LIMIT 1),
        (SELECT j.id FROM jobs AS j
         WHERE j.state = 'pending' AND j.queue = head.queue AND j.lane > head.lane
         ORDER BY j.lane, j.priority DESC, j.run_at, j.id LIMIT 1),
        (SELECT j.id FROM jobs AS j
         WHERE j.state = 'pending' AND j.queue > head.queue
         ORDER BY j.queue, j.lane, j.priority DESC, j.run_at, j.id LIMIT 1))
    FROM heads JOIN jobs AS head ON head.id = heads.id
)
SELECT jobs.queue, min(jobs.run_at) AS run_at FROM heads JOIN jobs ON jobs.id = heads.id
GROUP BY jobs.queue
"""

_RUNNING = """
SELECT attempts.worker_id, attempts.job_id, attempts.number, attempts.started_at, jobs.type
FROM attempts JOIN jobs ON jobs.id = attempts.job_id
WHERE attempts.outcome IS NULL AND attempts.started_at IS NOT NULL
ORDER BY attempts.worker_id, attempts.id
"""


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue; `waiting` maps a state to its number of jobs, `oldest` is the run_at (µs)."""

    name: str
    paused: bool
    states: dict[str, int]
    oldest: int | None


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker's row and the attempts whose handler runs in it now."""

    row: sqlite3.Row
    running: list[sqlite3.Row]

    @property
    def state(self) -> str:
        state: str = self.row["state"]
        return "running" if state == "idle" and self.running else state


@dataclass(frozen=True, slots=True)
class Summary:
    """What `GET /stats` shows, without the sizes of files."""

    states: dict[str, int]
    last_minute: dict[str, int]
    oldest: int | None
    workers: dict[str, int]
    seq: int


async def queue_figures(snapshot: Snapshot, name: str | None = None) -> list[QueueFigures]:
    """All queues that were ever seen, or the one named."""
    paused = {row["name"]: bool(row["paused"]) for row in await _named_queues(snapshot, name)}
    states: dict[str, dict[str, int]] = {queue: {} for queue in paused}
    sql = "SELECT queue, state, sum(n) AS n FROM counters {} GROUP BY queue, state"
    rows = (
        await snapshot.rows(sql.format(""))
        if name is None
        else await snapshot.rows(sql.format("WHERE queue = ?"), (name,))
    )
    for row in rows:
        states.setdefault(row["queue"], {})[row["state"]] = row["n"]
    oldest = await oldest_pending(snapshot)
    return [
        QueueFigures(queue, paused.get(queue, False), states[queue], oldest.get(queue))
        for queue in sorted(states)
    ]


async def _named_queues(snapshot: Snapshot, name: str | None) -> list[sqlite3.Row]:
    if name is None:
        return await snapshot.rows("SELECT name, paused FROM queues")
    return await snapshot.rows("SELECT name, paused FROM queues WHERE name = ?", (name,))


async def oldest_pending(snapshot: Snapshot) -> dict[str, int]:
    """For each queue with pending jobs: since when (µs) the oldest of them is due."""
    return {row["queue"]: row["run_at"] for row in await snapshot.rows(_OLDEST_PENDING)}


async def worker_figures(snapshot: Snapshot, ended: int = 0) -> list[WorkerFigures]:
    """The live workers, oldest first, then the `ended` last ended ones, newest first."""
    running: dict[int, list[sqlite3.Row]] = {}
    for row in await snapshot.rows(_RUNNING):
        running.setdefault(row["worker_id"], []).append(row)
    rows = await snapshot.rows("SELECT * FROM workers WHERE ended_at IS NULL ORDER BY id")
    if ended:
        rows += await snapshot.rows(
            "SELECT * FROM workers WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT ?", (ended,)
        )
    return [WorkerFigures(row, running.get(row["id"], [])) for row in rows]


async def summary(snapshot: Snapshot, now: int) -> Summary:
    """Counts by state, the last minute, the oldest waiting job and the workers."""
    states = {
        row["state"]: row["n"]
        for row in await snapshot.rows("SELECT state, sum(n) AS n FROM counters GROUP BY state")
    }
    minute = await snapshot.one(
        "SELECT total(submitted) AS submitted, total(done) AS done, total(failed) AS failed, "
        "total(cancelled) AS cancelled FROM activity WHERE second > ?",
        (now // SECOND_US - 60,),
    )
    assert minute is not None
    oldest = await oldest_pending(snapshot)
    workers = [worker.state for worker in await worker_figures(snapshot)]
    return Summary(
        states=states,
        last_minute={name: int(minute[name]) for name in minute.keys()},  # noqa: SIM118
        oldest=min(oldest.values(), default=None),
        workers={state: workers.count(state) for state in ("idle", "running")},
        seq=await last_seq(snapshot),
    )


async def last_seq(snapshot: Snapshot) -> int:
    """The newest event number ever given, also after its row was pruned."""
    row = await snapshot.one("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
    return int(row["seq"]) if row else 0
