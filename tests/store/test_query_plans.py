"""No query reads history: every statement the store runs is explained, and every index earns its
keep.

The verbs themselves are driven on a connection that remembers what they execute, so a new query
cannot escape the rule.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

import pytest

from orpheus.domain.attempt import Outcome
from orpheus.domain.job import JobState
from orpheus.errors import RequestError
from orpheus.store import (
    claim,
    control,
    idempotency,
    logs,
    promote,
    prune,
    queues,
    reclaim,
    release,
    renew,
    settle,
    submit,
    workers,
)
from orpheus.store.reads import Reads
from orpheus.store.reads_jobs import JobFilter
from orpheus.store.reads_pool import Snapshot
from orpheus.store.transaction import Transaction
from tests.support.stores import MAX_PENDING, Store, TinyWorker, finished, new_job

# Walked through as a whole on purpose: a row per queue, worker, open attempt, value given, or MiB
# that is being submitted.
SMALL = {
    "q", "queues", "counters", "totals", "workers", "meta", "heads", "page", "CONSTANT",
    "sqlite_sequence", "staged",
}  # fmt: skip
SHORT_INDEXES = {
    "workers_live",
    "jobs_cancel_requested",
    "attempts_one_open",
}


class Recorder:
    """Stands in for a connection and remembers the statements, as they were written."""

    def __init__(self, connection: sqlite3.Connection, seen: set[str]) -> None:
        self._connection = connection
        self._seen = seen

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._seen.add(sql)
        return self._connection.execute(sql, *parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        self._seen.add(sql)
        return self._connection.executemany(sql, parameters)


@dataclass
class Plans:
    """The statements seen by area, and how SQLite carries them out."""

    store: Store
    seen: dict[str, set[str]] = field(default_factory=dict)

    def record(self, area: str, verb: Callable[[Transaction], object]) -> None:
        seen = self.seen.setdefault(area, set())
        with self.store.write() as tx:
            recorder = cast(sqlite3.Connection, Recorder(tx.connection, seen))
            inner = Transaction(recorder, tx.now, tx.monotonic)
            try:
                verb(inner)
            except RequestError:
                pass
            inner.flush()

    def explain(self, sql: str) -> list[str]:
        names = set(re.findall(r":(\w+)", sql))
        parameters: Any = dict.fromkeys(names) if names else (None,) * 20
        connection = self.store.database.connection
        while True:
            try:
                rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
                return [row[3] for row in rows]
            except sqlite3.ProgrammingError as error:
                wanted = re.findall(r"uses (\d+)", str(error))
                parameters = (None,) * int(wanted[0])

    def scans(self, area: str) -> list[str]:
        return [
            f"{step}   in: {' '.join(sql.split())}"
            for sql in sorted(self.seen[area])
            for step in self.explain(sql)
            if is_history_scan(step)
        ]

    def indexes(self) -> set[str]:
        steps = [step for area in self.seen.values() for sql in area for step in self.explain(sql)]
        return {name for step in steps for name in re.findall(r"INDEX (\w+)", step)}


def is_history_scan(step: str) -> bool:
    if not step.startswith("SCAN ") or "VIRTUAL TABLE" in step:
        return False
    if index := re.search(r"USING (?:COVERING )?INDEX (\w+)", step):
        return index[1] not in SHORT_INDEXES
    target = step.split()[1]
    return target not in SMALL and not target.startswith("(subquery")


def drive_verbs(store: Store) -> Plans:
    """Run every write verb, each through the branches that have SQL of their own."""
    plans = Plans(store)
    worker = store.worker()
    waiting = {"unique_key": "k", "tags": ("a", "b")}
    plans.record("submit", lambda tx: submit.submit(tx, [new_job(**waiting)], MAX_PENDING))
    plans.record("submit", lambda tx: submit.submit(tx, [new_job(**waiting)], MAX_PENDING))
    store.submit(*(new_job(delay=1) for _ in range(3)), *(new_job() for _ in range(9)))
    plans.record("claim", lambda tx: claim.claim(tx, worker.identity, 2))
    plans.record("claim", lambda tx: claim.has_claimable(tx.connection, ("sync",)))
    attempts = [row[0] for row in store.rows("SELECT id FROM attempts")]
    drive_lease_verbs(plans, worker, attempts)
    plans.record("promote", lambda tx: promote.next_due(tx.connection))
    cast(Any, store.clock).advance(5)
    plans.record("promote", promote.promote)
    drive_control(plans, worker)
    drive_prune(plans)
    plans.record("queues", lambda tx: queues.pause(tx, "other"))
    key = idempotency.IdempotencyKey("jobs", "key", "hash")
    plans.record(
        "idempotency", lambda tx: idempotency.remember(tx, key, [submit.Submitted(1, "pending")])
    )
    plans.record("idempotency", lambda tx: idempotency.recall(tx, key))
    plans.record("cancel relay", lambda tx: control.cancels_wanted(tx.connection))
    plans.record("release", lambda tx: release.waiting_behind(tx.connection, 1, 1))
    return plans


def drive_lease_verbs(plans: Plans, worker: TinyWorker, attempts: list[int]) -> None:
    first, second = attempts
    rng = Random(1)
    batch = settle.Batch.of([finished(first, Outcome.FAILED)])
    plans.record("renew", lambda tx: renew.renew(tx, [worker.id], 1))
    plans.record("renew", lambda tx: renew.mark_started(tx, {first: 1}))
    plans.record("renew", lambda tx: workers.expired(tx, "boot"))
    plans.record("settle", lambda tx: settle.settle(tx, batch, rng))
    plans.record("settle", lambda tx: settle.settle(tx, batch, rng))
    plans.record("release", lambda tx: release.release(tx, worker.id, [second]))
    running = worker.claim_one()
    plans.record("logs", lambda tx: logs.append(tx, [logs.LogLine(1, 1, 1, "info", "hello")]))
    progress = logs.Progress(running.job_id, running.attempt_id, "{}")
    plans.record("logs", lambda tx: logs.set_progress(tx, [progress]))
    plans.record("reclaim", lambda tx: reclaim.reclaim(tx, worker.id, reclaim.Death("x"), rng))
    plans.record("workers", lambda tx: workers.register(tx, "p", 1, 1, "boot", "sync"))
    plans.record("workers", lambda tx: workers.drain(tx, worker.id))
    plans.record("workers", workers.live)
    plans.record("workers", lambda tx: workers.end(tx, worker.id, False, None))


def drive_control(plans: Plans, worker: TinyWorker) -> None:
    store = plans.store
    running = worker.claim_one().job_id
    scheduled = store.add(delay=100, unique_key="s")
    for job_id in (running, scheduled, 999):
        plans.record("control", partial(control.cancel, job_id=job_id))
    plans.record("control", lambda tx: control.retry(tx, scheduled))
    scheduled = store.add(delay=100)
    plans.record("control", lambda tx: control.retry(tx, scheduled))
    done = worker.claim_one()
    worker.finish(done.attempt_id)
    plans.record("control", lambda tx: control.delete(tx, done.job_id))


def drive_prune(plans: Plans) -> None:
    worker = plans.store.worker()
    for outcome in (Outcome.DONE, Outcome.FAILED_PERMANENT, Outcome.CANCELLED):
        worker.finish(worker.claim_one().attempt_id, outcome)
    for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED):
        plans.record(
            "prune", partial(prune.prune_jobs, state=state, before=plans.store.clock.now() + 1)
        )
    plans.record("prune", lambda tx: prune.prune_events(tx, 5))
    plans.record("prune", prune.prune_rest)


async def drive_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> Plans:
    """Call every read of the API, with every shape of filter."""
    plans = Plans(store)
    seen = plans.seen.setdefault("reads", set())
    rows = Snapshot.rows

    async def recording(self: Snapshot, sql: str, parameters: Any = ()) -> list[sqlite3.Row]:
        seen.add(sql)
        return await rows(self, sql, parameters)

    monkeypatch.setattr(Snapshot, "rows", recording)
    filters = [
        JobFilter(),
        *(JobFilter(states=(state,)) for state in JobState),
        JobFilter(states=(JobState.FAILED, JobState.CANCELLED)),
        JobFilter(types=("echo",), queues=("default",)),
        JobFilter(tags=("a", "b"), states=(JobState.DONE,)),
    ]
    async with Reads(store.settings.database_path) as reads:
        for wanted in filters:
            await reads.jobs(wanted, order="asc")
            await reads.jobs(wanted, after=5)
        await reads.job(1)
        await reads.ended([1, 2])
        await reads.logs(1)
        await reads.last_logs(1)
        await reads.queues()
        await reads.queue("default")
        await reads.workers(include_ended=True)
        await reads.stats()
        await reads.metrics()
        await reads.live_workers()
        await reads.events_after(0, 10)
        await reads.last_seq()
        await reads.epoch()
    return plans


AREAS = [
    "submit", "claim", "promote", "renew", "settle", "release", "reclaim", "cancel relay",
    "control", "prune", "logs", "workers", "queues", "idempotency",
]  # fmt: skip


@pytest.fixture
def plans(store: Store) -> Plans:
    return drive_verbs(store)


@pytest.mark.parametrize("area", AREAS)
def test_no_write_reads_history(plans: Plans, area: str) -> None:
    assert plans.seen[area]
    assert plans.scans(area) == []


def test_every_area_of_the_store_was_driven(plans: Plans) -> None:
    assert sorted(plans.seen) == sorted(AREAS)


@pytest.mark.anyio
async def test_no_read_reads_history(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = await drive_reads(store, monkeypatch)
    # The oldest pending job of all is the first entry of the claim index.
    first_entry = "SCAN jobs USING INDEX jobs_claim   in: WITH RECURSIVE heads"
    # Listing the pending ones walks the claim index, and is chosen only while that is short.
    few_pending = "SCAN jobs USING INDEX jobs_claim   in: WITH page(id)"
    few_covering = "SCAN jobs USING COVERING INDEX jobs_claim   in: WITH page(id)"
    scans = plans.scans("reads")
    assert [
        scan for scan in scans if not scan.startswith((first_entry, few_pending, few_covering))
    ] == []


@pytest.mark.anyio
async def test_every_index_serves_a_query(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = await drive_reads(store, monkeypatch)
    used = drive_verbs(store).indexes() | reads.indexes()
    made = {
        row[0]
        for row in store.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND sql <> ''")
    }
    # Kept by the constraints they carry; SQLite asks them without showing a plan.
    constraints = {"attempts_one_open"}
    assert made - used - constraints == set()


@pytest.mark.parametrize(
    ("step", "bad"),
    [
        ("SCAN jobs", True),
        ("SCAN a", True),
        ("SCAN attempts USING INDEX sqlite_autoindex_attempts_1", True),
        ("SCAN jobs USING INDEX jobs_claim", True),
        ("SCAN attempts USING INDEX attempts_one_open", False),
        ("SCAN f VIRTUAL TABLE INDEX 1:", False),
        ("SEARCH jobs USING INDEX jobs_promote (run_at<?)", False),
    ],
)
def test_the_rule_itself(step: str, bad: bool) -> None:
    assert is_history_scan(step) is bad


class TestCost:
    """What a claim costs is counted in steps of SQLite's machine, so no clock is involved."""

    MANY = 50_000

    @staticmethod
    def fill(store: Store, queue: str, lane: str = "sync", state: str = "pending") -> None:
        store.database.connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO jobs (type, queue, lane, state, payload, max_retries, max_crashes,"
            " backoff_base, backoff_cap, timeout, created_at, run_at, finished_at)"
            " SELECT 'echo', ?, ?, ?, '{}', 3, 3, 1, 1, 1, 1, 1, iif(?4 = 'done', i, NULL) FROM n",
            (TestCost.MANY, queue, lane, state),
        )

    @staticmethod
    def steps(store: Store, act: Callable[[], object]) -> int:
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        store.database.connection.set_progress_handler(tick, 10)
        try:
            act()
        finally:
            store.database.connection.set_progress_handler(None, 0)
        return count * 10

    @pytest.fixture
    def usual(self, store: Store) -> tuple[TinyWorker, int]:
        """A worker, and what its claim costs with nothing else about."""
        worker = store.worker()
        store.submit(*(new_job() for _ in range(20)))
        cost = self.steps(store, lambda: worker.claim(5))
        assert cost > 100
        return worker, cost

    def test_a_long_paused_queue_costs_a_claim_nothing(
        self, store: Store, usual: tuple[TinyWorker, int]
    ) -> None:
        worker, cost = usual
        self.fill(store, "paused")
        with store.write() as tx:
            queues.pause(tx, "paused")
        assert self.steps(store, lambda: worker.claim(5)) < 1.5 * cost + 200

    @pytest.mark.parametrize(
        ("queue", "lane", "state"),
        [
            pytest.param("default", "async", "pending", id="the other lane"),
            pytest.param("default", "sync", "done", id="history"),
            pytest.param("default", "sync", "pending", id="its own queue"),
        ],
    )
    def test_many_other_jobs_cost_a_claim_nothing(
        self, store: Store, usual: tuple[TinyWorker, int], queue: str, lane: str, state: str
    ) -> None:
        worker, cost = usual
        self.fill(store, queue, lane, state)
        assert self.steps(store, lambda: worker.claim(5)) < 1.5 * cost + 200

    def test_a_full_schedule_costs_a_promotion_nothing(self, store: Store) -> None:
        store.submit(*(new_job(delay=3600 * 10**6) for _ in range(1000)))
        with store.write() as tx:
            assert self.steps(store, lambda: promote.promote(tx)) < 100
            assert self.steps(store, lambda: promote.next_due(tx.connection)) < 100
