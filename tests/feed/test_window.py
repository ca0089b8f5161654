"""Each reader gets every event once and in order, from memory or from the table."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from orpheus.domain.attempt import Outcome
from orpheus.feed import window as window_module
from orpheus.feed.events import FeedEvent
from orpheus.feed.stream import EventFilter, Start, frames
from orpheus.feed.tailer import Tailer
from orpheus.feed.waits import Waits
from orpheus.feed.window import EventWindow
from orpheus.store.reads import Reads
from tests.support.stores import Store, open_store

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, unsynced=True) as store:
        yield store


async def test_readers_at_any_pace_see_every_event(
    store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_module, "KEPT", 16)
    monkeypatch.setattr(window_module, "BATCH", 5)
    window = EventWindow(reads)
    rng = random.Random(3)
    positions = [0, 0, 0, 0]
    seen: list[list[int]] = [[], [], [], []]
    for _ in range(150):
        for _ in range(rng.choice([0, 1, 1, 4])):
            store.add()
        # The later ones read ever more rarely.
        for reader in range(4):
            if rng.random() < 1 / (1 + 3 * reader):
                batch = await window.after(positions[reader])
                assert batch.reset is None
                seen[reader] += [event.seq for event in batch.events]
                positions[reader] = seen[reader][-1] if seen[reader] else 0
    newest = await reads.last_seq()
    for reader in range(4):
        while (batch := await window.after(positions[reader])).events:
            seen[reader] += [event.seq for event in batch.events]
            positions[reader] = seen[reader][-1]
        assert seen[reader] == list(range(1, newest + 1))


async def test_readers_that_keep_up_share_one_query(
    store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = EventWindow(reads)
    queries = 0
    events_after = reads.events_after

    async def counted(seq: int, limit: int) -> object:
        nonlocal queries
        queries += 1
        return await events_after(seq, limit)

    monkeypatch.setattr(reads, "events_after", counted)
    store.add()
    found: list[list[FeedEvent]] = []

    async def read() -> None:
        found.append((await window.after(0)).events)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(read)
    assert queries == 1
    assert len(found) == 50
    assert all(events[0] is found[0][0] for events in found)


async def test_a_position_no_longer_kept_is_reset(store: Store, reads: Reads) -> None:
    for _ in range(10):
        store.add()
    newest = await reads.last_seq()
    with store.write() as tx:
        tx.connection.execute("DELETE FROM events WHERE seq < 5")
    window = EventWindow(reads)
    assert (await window.after(3)).reset == newest
    assert (await window.after(4)).reset is None
    assert (await window.after(newest)).events == []
    assert (await window.after(newest + 1)).reset == newest


async def test_an_event_says_what_happened(store: Store, reads: Reads) -> None:
    worker = store.worker()
    job_id = store.add(delay=5_000_000)
    store.add(max_retries=0)
    worker.finish(worker.claim_one().attempt_id, Outcome.FAILED)
    page = await reads.events_after(0, 100)
    views = [json.loads(FeedEvent(row).json) for row in page.rows]
    started, scheduled, _, _, failed = views
    assert started["event"] == "worker.started"
    assert started["job"] is None
    assert started["worker"]["pool"] == "main"
    assert scheduled["job"] == {
        "id": job_id, "type": "echo", "queue": "default", "state": "scheduled", "attempt": 0,
    }  # fmt: skip
    assert scheduled["reason"] == "submitted"
    assert scheduled["run_at"].endswith("Z")
    assert failed["error"] == {"type": "ValueError", "message": "no", "kind": "failed"}


# --- the stream -----------------------------------------------------------------------------------


class Live:
    """A stream with its tailer running."""

    def __init__(self, store: Store, reads: Reads) -> None:
        bell = store.settings.run_dir / "bells" / "feed-1.fifo"
        self.tailer = Tailer(reads, bell)
        self.window = EventWindow(reads)
        self.reads = reads

    async def collect(
        self, count: int, start: Start | None = None, wanted: EventFilter | None = None
    ) -> list[dict[str, object]]:
        """The first `count` frames."""
        found: list[dict[str, object]] = []
        start, wanted = start or Start(), wanted or EventFilter()
        stream = frames(self.reads, self.window, self.tailer, start, wanted)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.tailer.run)
            with anyio.fail_after(10), self.tailer.following():
                async for frame in stream:
                    found.append(json.loads(frame.text))
                    if len(found) == count:
                        break
            await stream.aclose()
            tasks.cancel_scope.cancel()
        return found


def seqs(frame: dict[str, object]) -> list[int]:
    events = frame["events"]
    assert isinstance(events, list)
    return [event["seq"] for event in events]


async def test_a_stream_begins_where_it_is_told(store: Store, reads: Reads) -> None:
    for _ in range(4):
        store.add()
    live = Live(store, reads)
    epoch = await reads.epoch()
    hello, events = await live.collect(2, Start(since=2, epoch=epoch))
    assert (hello["type"], hello["seq"], hello["epoch"]) == ("hello", 4, epoch)
    assert seqs(events) == [3, 4]


@pytest.mark.parametrize("start", [Start(99), Start(2, "another"), Start(0, "another")])
async def test_a_void_position_is_reset(store: Store, reads: Reads, start: Start) -> None:
    for _ in range(4):
        store.add()
    _, reset = await Live(store, reads).collect(2, start)
    assert reset == {"type": "reset", "seq": 4}


async def test_new_events_arrive_without_a_bell(store: Store, reads: Reads) -> None:
    """Hints may be lost: the tailer also looks by itself."""
    found: list[dict[str, object]] = []

    async def collect() -> None:
        found.extend(await Live(store, reads).collect(2))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect)
        await anyio.sleep(0.1)
        store.add()
    assert seqs(found[1]) == [found[0]["seq"] + 1]  # type: ignore[operator]


async def test_filters_skip_what_was_not_asked_for(store: Store, reads: Reads) -> None:
    first = store.add(queue="a", type="x")
    second = store.add(queue="b", type="x")
    third = store.add(queue="b", type="y")
    live = Live(store, reads)

    async def jobs_of(wanted: EventFilter) -> list[int]:
        _, frame = await live.collect(2, Start(since=0), wanted)
        events = frame["events"]
        assert isinstance(events, list)
        return [event["job"]["id"] for event in events]

    assert await jobs_of(EventFilter(jobs=frozenset({second}))) == [second]
    assert await jobs_of(EventFilter(queues=frozenset({"b"}))) == [second, third]
    assert await jobs_of(EventFilter(types=frozenset({"x"}))) == [first, second]
    assert await jobs_of(EventFilter(queues=frozenset({"b"}), types=frozenset({"x"}))) == [second]


# --- waits ----------------------------------------------------------------------------------------


async def test_waits_end_with_their_jobs(store: Store, reads: Reads) -> None:
    tailer = Tailer(reads, store.settings.run_dir / "bells" / "feed-2.fifo")
    waits = Waits(reads, tailer)
    worker = store.worker()
    ids = [store.add() for _ in range(20)]
    ended: list[int] = []

    async def wait(job_id: int) -> None:
        await waits.ended(job_id, 30)
        ended.append(job_id)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as background:
            background.start_soon(tailer.run)
            background.start_soon(waits.run)
            async with anyio.create_task_group() as waiters:
                for job_id in ids:
                    waiters.start_soon(wait, job_id)
                for claim in worker.claim(20):
                    worker.finish(claim.attempt_id)
                    await anyio.sleep(0.002)
            background.cancel_scope.cancel()
    assert sorted(ended) == ids


async def test_closing_lets_all_waits_go(store: Store, reads: Reads) -> None:
    tailer = Tailer(reads, store.settings.run_dir / "bells" / "feed-3.fifo")
    waits = Waits(reads, tailer)
    job_id = store.add()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as waiters:
            waiters.start_soon(waits.ended, job_id, 60.0)
            await anyio.sleep(0.05)
            waits.close()
        await waits.ended(job_id, 60.0)
