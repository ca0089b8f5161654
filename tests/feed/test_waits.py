"""Waiting for a job that has ended already, while others wait and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from orpheus.feed import waits as waits_module
from orpheus.feed.tailer import Tailer
from orpheus.feed.waits import Waits
from orpheus.store.reads import Reads
from tests.support.stores import Store, open_store

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, unsynced=True) as store:
        yield store


async def test_who_comes_late_does_not_wait(
    store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is looked at again and again would hide it.
    monkeypatch.setattr(waits_module, "_SLOW_POLL_SECONDS", 3600)
    tailer = Tailer(reads, store.settings.run_dir / "bells" / "feed-4.fifo")
    waits = Waits(reads, tailer)
    worker = store.worker()
    running, ended = store.add(), store.add()
    claims = {claim.job_id: claim for claim in worker.claim(2)}
    worker.finish(claims[ended].attempt_id)
    newest = await reads.last_seq()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as background:
            background.start_soon(tailer.run)
            background.start_soon(waits.run)
            background.start_soon(waits.ended, running, 60.0)
            await tailer.newer_than(newest - 1)
            # The look that this news caused is over.
            await anyio.sleep(0.1)
            with anyio.fail_after(5):
                await waits.ended(ended, 60.0)
            background.cancel_scope.cancel()
