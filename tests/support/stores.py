"""A migrated database of its own for a test, and a worker small enough to see through."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from orpheus.clock import SECOND_NS, Clock
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.job import NewJob
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.ipc.process import fork
from orpheus.settings import Settings, load_settings, prepare_data_dir
from orpheus.store import workers
from orpheus.store.claim import WorkerIdentity, claim
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.reclaim import Death, reclaim
from orpheus.store.release import release
from orpheus.store.settle import Batch, settle
from orpheus.store.settled import Settled
from orpheus.store.submit import Submitted, submit
from orpheus.store.transaction import Transaction
from tests.support.clock import FakeClock

LEASE_NS = 15 * SECOND_NS
MAX_PENDING = 1_000_000


def settings_at(folder: Path, **values: object) -> Settings:
    """The settings of a data folder below `folder`, which is made."""
    settings = load_settings({"data_dir": "data", **values}, cwd=folder, environ={})
    prepare_data_dir(settings)
    return settings


def new_job(**values: Any) -> NewJob:
    """A job of type `echo` in the queue `default`, unless said otherwise."""
    return NewJob(**{"type": "echo", "queue": "default", "lane": "sync", "payload": "{}", **values})


def finished(
    attempt_id: int, outcome: Outcome = Outcome.DONE, at: int = 0, **values: Any
) -> FinishedAttempt:
    """The end of an attempt; one that did not end done gets an error."""
    if outcome is Outcome.DONE:
        values.setdefault("result", "{}")
    elif outcome is not Outcome.INTERRUPTED:
        values.setdefault("error", AttemptError("ValueError", "no", outcome, "Traceback ..."))
    return FinishedAttempt(attempt_id, outcome, values.pop("started_at", at), at, **values)


@dataclass
class Store:
    """A database, its clock, and shorthands for what tests ask of them."""

    settings: Settings
    clock: Clock
    database: Database
    rng: Random = field(default_factory=lambda: Random(7))

    @contextmanager
    def write(self, timeout: float | None = None) -> Iterator[Transaction]:
        with self.database.write(timeout) as tx:
            yield tx

    def rows(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        return self.database.connection.execute(sql, parameters).fetchall()

    def value(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first column of the first row."""
        return self.rows(sql, parameters)[0][0]

    def submit(self, *jobs: NewJob, max_pending: int = MAX_PENDING) -> list[Submitted]:
        with self.write() as tx:
            return submit(tx, jobs, max_pending)

    def add(self, **values: Any) -> int:
        """Submit one job and return its id."""
        return self.submit(new_job(**values))[0].id

    def job(self, job_id: int) -> dict[str, Any]:
        cursor = self.database.connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,))
        names = [column[0] for column in cursor.description]
        return dict(zip(names, cursor.fetchone(), strict=True))

    def state(self, job_id: int) -> str:
        return str(self.value("SELECT state FROM jobs WHERE id = ?", (job_id,)))

    def total(self, name: str, label: str = "") -> float:
        """A figure of `totals`, over all queues and types."""
        return float(
            self.value(
                "SELECT total(value) FROM totals WHERE name = ? AND label = ?", (name, label)
            )
        )

    def events(self, job_id: int | None = None) -> list[tuple[str, str | None]]:
        """(event, reason) in order; of one job or of everything."""
        return self.rows(
            "SELECT event, reason FROM events WHERE ?1 IS NULL OR job_id = ?1 ORDER BY seq",
            (job_id,),
        )

    def counters(self) -> dict[tuple[str, str, str], int]:
        """The counters that are not zero."""
        rows = self.rows("SELECT queue, type, state, n FROM counters WHERE n <> 0")
        return {row[:3]: row[3] for row in rows}

    def recount(self) -> dict[tuple[str, str, str], int]:
        """What the counters should say."""
        rows = self.rows("SELECT queue, type, state, count(*) FROM jobs GROUP BY 1, 2, 3")
        return {row[:3]: row[3] for row in rows}

    def dump(self) -> list[str]:
        """Everything stored, to compare before and after."""
        return list(self.database.connection.iterdump())

    def worker(self, pool: str = "main", lanes: tuple[str, ...] = ("sync",)) -> TinyWorker:
        """A registered worker without a process."""
        with self.write() as tx:
            id_, name = workers.register(tx, pool, os.getpid(), 1, self.clock.boot_id, lanes[0])
        identity = WorkerIdentity(id_, name, os.getpid(), self.clock.boot_id, lanes, LEASE_NS)
        return TinyWorker(self, identity)


@dataclass
class TinyWorker:
    """What a worker does to the database, without running anything."""

    store: Store
    identity: WorkerIdentity

    @property
    def id(self) -> int:
        return self.identity.id

    def claim(self, room: int = 1) -> list[Claim]:
        with self.store.write() as tx:
            return claim(tx, self.identity, room)[0]

    def claim_one(self) -> Claim:
        (claimed,) = self.claim(1)
        return claimed

    def finish(self, attempt_id: int, outcome: Outcome = Outcome.DONE, **values: Any) -> Settled:
        values.setdefault("at", self.store.clock.now())
        return self.settle(finished(attempt_id, outcome, **values))

    def settle(self, *ends: FinishedAttempt) -> Settled:
        batch = Batch.of(ends)
        with self.store.write() as tx:
            return settle(tx, batch, self.store.rng)

    def release(self, *attempt_ids: int) -> int:
        with self.store.write() as tx:
            return release(tx, self.id, attempt_ids)

    def die(
        self, running: int | None = None, outcome: Outcome = Outcome.CRASHED, exit_: str = "SIGKILL"
    ) -> Settled:
        """Its process ends and maintenance settles what it left."""
        with self.store.write() as tx:
            settled = reclaim(
                tx,
                self.id,
                Death("worker_died", running, outcome, self.store.clock.now(), exit_),
                self.store.rng,
            )
            workers.end(tx, self.id, crashed=True, exit_=exit_)
        return settled


@contextmanager
def open_store(
    folder: Path,
    clock: Clock | None = None,
    unsynced: bool = False,
    template: bytes | None = None,
    **values: object,
) -> Iterator[Store]:
    """A migrated database in a folder; with a fake clock unless one is given.

    `unsynced` gives up durability, which no test in one process can see, for speed; so does
    `template`, the bytes of a migrated database, for migrating.
    """
    clock = clock or FakeClock()
    settings = settings_at(folder, **values)
    if template is None:
        migrate(settings, clock)
    else:
        settings.database_path.write_bytes(template)
    database = Database(settings, clock)
    if unsynced:
        database.connection.execute("PRAGMA synchronous = OFF")
    try:
        yield Store(settings, clock, database)
    finally:
        database.close()


@cache
def migrated_bytes() -> bytes:
    """An empty, migrated database as a file's content."""
    with tempfile.TemporaryDirectory() as folder:
        with open_store(Path(folder)) as store:
            path = store.settings.database_path
        return path.read_bytes()


@contextmanager
def children(mains: Iterable[Callable[[], int]]) -> Iterator[list[int]]:
    """Real processes running `mains`; those still there at the end are killed."""
    pids: list[int] = []
    try:
        pids.extend(fork(main) for main in mains)
        yield pids
    finally:
        for pid in pids:
            _end(pid)


def exit_codes(pids: Iterable[int]) -> list[int]:
    """Wait for children of `children` and return how they ended (negative: a signal)."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def _end(pid: int) -> None:
    try:
        done, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
    if not done:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def integrity(path: Path) -> str:
    """What SQLite says of the file."""
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
