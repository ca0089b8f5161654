"""The API's reads: pages whatever the filter, plans without scans, connections that stay clean."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from orpheus.domain.attempt import Outcome
from orpheus.domain.job import JobState, NewJob
from orpheus.errors import StoreFailed
from orpheus.store import reads_figures, reads_jobs
from orpheus.store.reads import Reads
from orpheus.store.reads_jobs import JobFilter, Order, page_query
from orpheus.store.reads_pool import ReadPool
from tests.support.stores import Store, new_job, open_store
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SLOW = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
SELECT count(*) AS n FROM n
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "a ?#% folder", unsynced=True) as store:
        yield store


@pytest.fixture
async def reads(store: Store) -> AsyncIterator[Reads]:
    async with Reads(store.settings.database_path, store.clock) as reads:
        yield reads


def populate(store: Store, rng: random.Random, count: int = 120) -> None:
    """Jobs in every state but blocked, of several types, queues and tags."""
    worker = store.worker()
    for _ in range(count):
        tags = tuple(tag for tag in ("red", "blue") if rng.random() < 0.4)
        job_id = store.add(
            type=rng.choice(["echo", "sum"]),
            queue=rng.choice(["a", "b"]),
            tags=tags,
            delay=rng.choice([None, None, 60_000_000]),
            max_retries=0,
        )
        if store.state(job_id) == "pending" and rng.random() < 0.6:
            claim = worker.claim_one()
            outcome = rng.choice([Outcome.DONE, Outcome.FAILED, Outcome.CANCELLED, None])
            if outcome is not None:
                worker.finish(claim.attempt_id, outcome)


async def all_ids(reads: Reads, wanted: JobFilter, limit: int, order: Order) -> list[int]:
    found: list[int] = []
    after = None
    while True:
        page = await reads.jobs(wanted, limit, after, order)
        found += [row["id"] for row in page.rows]
        assert len(page.rows) <= limit
        if page.next is None:
            return found
        after = page.next


def expected_ids(store: Store, wanted: JobFilter, order: Order) -> list[int]:
    """The same, by the plainest SQL there is."""
    rows = store.rows(
        f"SELECT id, state, type, queue, tags FROM jobs ORDER BY id {order}",
    )
    return [
        id_
        for id_, state, type_, queue, tags in rows
        if (not wanted.states or state in wanted.states)
        and (not wanted.types or type_ in wanted.types)
        and (not wanted.queues or queue in wanted.queues)
        and (not wanted.tags or any(f'"{tag}"' in tags for tag in wanted.tags))
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("window", [5, 10_000])
async def test_pages_hold_what_the_filter_says(
    store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch, seed: int, window: int
) -> None:
    rng = random.Random(seed)
    populate(store, rng)
    monkeypatch.setattr(reads_jobs, "WINDOW", window)
    monkeypatch.setattr("orpheus.store.reads.WINDOW", window)
    for _ in range(60):
        wanted = JobFilter(
            states=tuple(rng.sample(list(JobState), rng.choice([0, 0, 1, 2, 3]))),
            types=tuple(rng.sample(["echo", "sum", "none"], rng.choice([0, 0, 1, 2]))),
            queues=tuple(rng.sample(["a", "b"], rng.choice([0, 0, 1]))),
            tags=tuple(rng.sample(["red", "blue"], rng.choice([0, 0, 1, 2]))),
        )
        order: Order = rng.choice(["asc", "desc"])
        found = await all_ids(reads, wanted, rng.choice([1, 7, 200]), order)
        assert found == expected_ids(store, wanted, order), wanted


def plan(store: Store, sql: str, parameters: dict[str, object] | None = None) -> list[str]:
    return [row[3] for row in store.rows(f"EXPLAIN QUERY PLAN {sql}", parameters or {})]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), "INTEGER PRIMARY KEY"),
        (JobFilter(states=(JobState.SCHEDULED,)), "jobs_list"),
        (JobFilter(states=(JobState.BLOCKED,)), "jobs_list"),
        (JobFilter(states=(JobState.FAILED,)), "jobs_list"),
        (JobFilter(states=(JobState.CANCELLED,)), "jobs_list"),
        (JobFilter(states=(JobState.IN_PROGRESS,)), "attempts_one_open"),
        (JobFilter(states=(JobState.PENDING,)), "jobs_claim"),
        (JobFilter(tags=("red",)), "PRIMARY KEY (tag=? AND job_id<?)"),
        (JobFilter(states=(JobState.DONE,)), "INTEGER PRIMARY KEY"),
        (JobFilter(queues=("a",)), "INTEGER PRIMARY KEY"),
    ],
)
async def test_each_filter_is_served_by_its_index(
    store: Store, wanted: JobFilter, index: str
) -> None:
    query = page_query(wanted, 50, 1000, "desc", few_pending=True)
    for sql in filter(None, (query.page, query.edge)):
        steps = plan(store, sql, query.parameters)
        assert any(index in step for step in steps), steps
        scans = [step for step in steps if step.startswith("SCAN") and "page" not in step]
        # Pending jobs are read through the claim index whole, but only while they are few.
        assert all("jobs_claim" in step for step in scans), steps


def waiting_jobs(rng: random.Random, count: int) -> list[NewJob]:
    return [
        new_job(
            queue=rng.choice("abc"),
            lane=rng.choice(["sync", "async"]),
            priority=rng.choice([-100, -1, 0, 1, 100]),
        )
        for _ in range(count)
    ]


def steps_of(store: Store, sql: str) -> int:
    """How many instructions of SQLite's machine a statement takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store.database.connection.set_progress_handler(count, 1)
    store.rows(sql)
    store.database.connection.set_progress_handler(None, 1)
    return steps


async def test_the_oldest_pending_job_costs_the_same_among_many(store: Store, reads: Reads) -> None:
    rng = random.Random(5)
    store.submit(*waiting_jobs(rng, 200))
    with store.write() as tx:
        for (job_id,) in store.rows("SELECT id FROM jobs"):
            tx.connection.execute(
                "UPDATE jobs SET run_at = ? WHERE id = ?", (rng.randrange(10**6), job_id)
            )
    expected = dict(
        store.rows("SELECT queue, min(run_at) FROM jobs WHERE state = 'pending' GROUP BY queue")
    )
    assert {queue.name: queue.oldest for queue in await reads.queues()} == expected
    few = steps_of(store, reads_figures._OLDEST_PENDING)
    store.submit(*waiting_jobs(rng, 5000))
    assert steps_of(store, reads_figures._OLDEST_PENDING) <= few


# --- events ---------------------------------------------------------------------------------------


async def test_the_newest_number_outlives_its_row(store: Store, reads: Reads) -> None:
    assert await reads.last_seq() == 0
    empty = await reads.events_after(0, 10)
    assert (empty.oldest, empty.newest) == (1, 0)
    for _ in range(5):
        store.add()
    newest = await reads.last_seq()
    with store.write() as tx:
        tx.connection.execute("DELETE FROM events WHERE seq <= 3")
    page = await reads.events_after(3, 1)
    assert ([row["seq"] for row in page.rows], page.oldest, page.newest) == ([4], 4, newest)
    with store.write() as tx:
        tx.connection.execute("DELETE FROM events")
    assert await reads.last_seq() == newest
    assert (await reads.events_after(0, 1)).oldest == newest + 1


async def test_the_epoch_names_database_and_boot(
    store: Store, reads: Reads, tmp_path: Path
) -> None:
    assert await reads.epoch() == await reads.epoch()
    async with Reads(store.settings.database_path, store.clock) as again:
        assert await again.epoch() == await reads.epoch()
    with open_store(tmp_path / "other") as other:
        async with Reads(other.settings.database_path, store.clock) as reads_of_other:
            assert await reads_of_other.epoch() != await reads.epoch()


# --- connections ----------------------------------------------------------------------------------


async def test_a_cancelled_read_leaves_clean_connections(store: Store) -> None:
    async with ReadPool(store.settings.database_path, size=1) as pool:
        rng = random.Random(1)
        for round_ in range(60):
            with anyio.move_on_after(rng.random() * 0.004):
                if round_ % 2:
                    async with pool.snapshot() as snapshot:
                        await snapshot.rows(SLOW.format(count=2000))
                        await snapshot.rows(SLOW.format(count=10**9))
                else:
                    await pool.rows(SLOW.format(count=10**9))
            with anyio.fail_after(5):
                async with pool.snapshot() as snapshot:
                    assert (await snapshot.rows("SELECT 1 AS one"))[0]["one"] == 1
        # No transaction may have been left open: it would hold back the WAL for ever.
        store.add()
        store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert store.settings.database_path.with_name("orpheus.db-wal").stat().st_size == 0


async def test_a_snapshot_sees_one_moment(store: Store) -> None:
    store.add()
    async with ReadPool(store.settings.database_path) as pool:
        async with pool.snapshot() as snapshot:
            before = await snapshot.rows("SELECT id FROM jobs")
            store.add()
            assert await snapshot.rows("SELECT id FROM jobs") == before
        assert len(await pool.rows("SELECT id FROM jobs")) == 2


async def test_readers_cannot_write(store: Store) -> None:
    async with ReadPool(store.settings.database_path) as pool:
        with pytest.raises(StoreFailed):
            await pool.rows("DELETE FROM jobs")


async def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    missing = tmp_path / "orpheus.db"
    threads = len(os.listdir("/proc/self/task"))
    with pytest.raises(Exception, match="unable to open"):
        async with ReadPool(missing):
            pass
    assert not missing.exists()
    eventually(lambda: len(os.listdir("/proc/self/task")) <= threads)


def test_one_that_cannot_be_opened_leaves_no_thread_that_outlives_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would answer a loop that is closed: a traceback in the log of an API that is refused."""
    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda how: ended.append(how.exc_value))

    async def open_it() -> None:
        async with ReadPool(tmp_path / "orpheus.db"):
            pass

    before = set(threading.enumerate())
    for _ in range(20):
        with pytest.raises(StoreFailed, match="unable to open"):
            asyncio.run(open_it())
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert ended == []
