"""Everything the API reads from the database: asynchronous, read-only, bounded.

Used by the routes, the pages, the feed and the metrics. Rows come back as they are stored; giving
them the contract's shape is `api.schemas`' work. Never takes the gate and never writes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orpheus.clock import Clock, SystemClock
from orpheus.domain.job import FINAL, JobState
from orpheus.store import reads_figures as figures
from orpheus.store.job_shape import JOB
from orpheus.store.reads_figures import QueueFigures, Summary, WorkerFigures
from orpheus.store.reads_jobs import WINDOW, JobFilter, Order, page_query
from orpheus.store.reads_pool import ReadPool

_FINAL = ", ".join(f"'{state}'" for state in sorted(FINAL))
_ENDED_WORKERS = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of jobs; `next` is the id after which the following page starts, None at the end."""

    rows: list[sqlite3.Row]
    next: int | None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after some number, with what is kept and what was given at the same moment.

    `oldest` is the smallest number kept (`newest` + 1 where none is), `newest` the last ever given.
    """

    rows: list[sqlite3.Row]
    oldest: int
    newest: int


@dataclass(frozen=True, slots=True)
class MetricsRows:
    """The stored figures behind `/metrics`, all of one moment."""

    now: int
    queues: list[QueueFigures]
    workers: dict[str, int]
    totals: list[sqlite3.Row]
    seq: int
    main_bytes: int
    wal_bytes: int


class Reads:
    """The reads, on a pool of read-only connections; an async context manager."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._pool = ReadPool(path)
        self._epoch: str | None = None

    async def __aenter__(self) -> Reads:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pool.__aexit__(*error)

    def now(self) -> int:
        """The wall clock the ages are counted against, in microseconds."""
        return self._clock.now()

    # --- jobs -------------------------------------------------------------------------------------

    async def job(self, job_id: int) -> sqlite3.Row | None:
        """A job's columns and `attempts`, a JSON array of arrays as text."""
        return await self._pool.one(JOB, (job_id,))

    async def job_exists(self, job_id: int) -> bool:
        return bool(await self._pool.rows("SELECT 1 FROM jobs WHERE id = ?", (job_id,)))

    async def ended(self, job_ids: Sequence[int]) -> list[int]:
        """Those of `job_ids` that are final or gone."""
        marks = ", ".join("?" * len(job_ids))
        active = await self._pool.rows(
            f"SELECT id FROM jobs WHERE id IN ({marks}) AND state NOT IN ({_FINAL})",  # noqa: S608
            job_ids,
        )
        still = {row["id"] for row in active}
        return [job_id for job_id in job_ids if job_id not in still]

    async def jobs(
        self,
        wanted: JobFilter | None = None,
        limit: int = 50,
        after: int | None = None,
        order: Order = "desc",
    ) -> Page:
        """A page of rows by id: those that match, after the id `after`."""
        wanted = wanted or JobFilter()
        async with self._pool.snapshot() as snapshot:
            few_pending = False
            if JobState.PENDING in wanted.states:
                row = await snapshot.one(
                    "SELECT total(n) AS n FROM counters WHERE state = 'pending'"
                )
                few_pending = row is not None and row["n"] <= WINDOW
            query = page_query(wanted, limit, after, order, few_pending)
            rows = await snapshot.rows(query.page, query.parameters)
            if len(rows) > limit:
                return Page(rows[:limit], rows[limit - 1]["id"])
            if query.edge is None:
                return Page(rows, None)
            edge = await snapshot.one(query.edge, query.parameters)
        return Page(rows, edge["last"] if edge and edge["looked"] >= WINDOW else None)

    async def logs(self, job_id: int, after: int = 0, limit: int = 200) -> list[sqlite3.Row]:
        """Lines of a job's output after the number `after`, oldest first."""
        return await self._pool.rows(
            "SELECT seq, at, attempt, level, stream, message, fields FROM logs "
            "WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (job_id, after, limit),
        )

    async def last_logs(self, job_id: int, limit: int = 200) -> list[sqlite3.Row]:
        """The newest lines of a job's output, oldest first."""
        rows = await self._pool.rows(
            "SELECT seq, at, attempt, level, stream, message, fields FROM logs "
            "WHERE job_id = ? ORDER BY seq DESC LIMIT ?",
            (job_id, limit),
        )
        return rows[::-1]

    # --- figures ----------------------------------------------------------------------------------

    async def queues(self) -> list[QueueFigures]:
        async with self._pool.snapshot() as snapshot:
            return await figures.queue_figures(snapshot)

    async def queue(self, name: str) -> QueueFigures | None:
        async with self._pool.snapshot() as snapshot:
            found = await figures.queue_figures(snapshot, name)
        return found[0] if found else None

    async def workers(self, include_ended: bool = False) -> list[WorkerFigures]:
        """The live workers and, if asked for, the last 100 that ended."""
        async with self._pool.snapshot() as snapshot:
            return await figures.worker_figures(snapshot, _ENDED_WORKERS if include_ended else 0)

    async def stats(self) -> Summary:
        async with self._pool.snapshot() as snapshot:
            return await figures.summary(snapshot, self._clock.now())

    async def live_workers(self) -> int:
        row = await self._pool.one("SELECT count(*) AS n FROM workers WHERE ended_at IS NULL")
        return int(row["n"]) if row else 0

    async def metrics(self) -> MetricsRows:
        main, wal = self.file_sizes()
        async with self._pool.snapshot() as snapshot:
            workers = [worker.state for worker in await figures.worker_figures(snapshot)]
            return MetricsRows(
                now=self._clock.now(),
                queues=await figures.queue_figures(snapshot),
                workers={state: workers.count(state) for state in set(workers)},
                totals=await snapshot.rows("SELECT name, queue, type, label, value FROM totals"),
                seq=await figures.last_seq(snapshot),
                main_bytes=main,
                wal_bytes=wal,
            )

    def file_sizes(self) -> tuple[int, int]:
        """Bytes of the database and of its WAL. By stat only: opening the files ourselves and
        closing them again would drop SQLite's locks on them."""
        return _size(self._path), _size(self._path.with_name(self._path.name + "-wal"))

    # --- events -----------------------------------------------------------------------------------

    async def events_after(self, seq: int, limit: int) -> EventPage:
        """Up to `limit` events after `seq`, and the kept range, from one read transaction."""
        async with self._pool.snapshot() as snapshot:
            rows = await snapshot.rows(
                "SELECT seq, at, event, job_id, type, queue, state, attempt, reason, data "
                "FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
                (seq, limit),
            )
            oldest = await snapshot.one("SELECT min(seq) AS seq FROM events")
            newest = await figures.last_seq(snapshot)
        kept = oldest["seq"] if oldest else None
        return EventPage(rows, newest + 1 if kept is None else kept, newest)

    async def last_seq(self) -> int:
        """The newest event number ever given."""
        row = await self._pool.one("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(row["seq"]) if row else 0

    async def epoch(self) -> str:
        """Names the run of event numbers: another database, restore or boot numbers anew."""
        if self._epoch is None:
            rows = await self._pool.rows("SELECT key, value FROM meta")
            meta = {row["key"]: row["value"] for row in rows}
            facts = f"{meta['database_id']} {meta['restores']} {self._clock.boot_id}"
            self._epoch = hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()
        return self._epoch


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
