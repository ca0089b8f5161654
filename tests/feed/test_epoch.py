"""The epoch of the feed: a position is void once numbers may have been given again."""

from __future__ import annotations

from pathlib import Path

import pytest

from orpheus.clock import Clock
from orpheus.store.reads import Reads
from tests.support.clock import FakeClock
from tests.support.stores import Store, open_store

pytestmark = pytest.mark.anyio


async def epoch(store: Store, clock: Clock) -> str:
    async with Reads(store.settings.database_path, clock) as reads:
        return await reads.epoch()


async def test_another_boot_is_another_epoch(tmp_path: Path) -> None:
    """Events of claims are not synced: after a power cut their numbers are given again."""
    with open_store(tmp_path, unsynced=True) as store:
        clock = FakeClock()
        before = await epoch(store, clock)
        assert await epoch(store, clock) == before
        clock.reboot()
        assert await epoch(store, clock) != before


async def test_another_restore_is_another_epoch(tmp_path: Path) -> None:
    with open_store(tmp_path, unsynced=True) as store:
        before = await epoch(store, store.clock)
        with store.database.write() as tx:
            tx.connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'restores'")
        assert await epoch(store, store.clock) != before
