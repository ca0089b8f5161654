"""Fixtures of the feed's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from orpheus.store.reads import Reads
from tests.api.running import Api, running_api
from tests.support.stores import Store


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API for all tests of a file; they must not mind each other's jobs."""
    with running_api(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
async def reads(store: Store) -> AsyncIterator[Reads]:
    """What the API reads with, on the store of a test."""
    async with Reads(store.settings.database_path, store.clock) as reads:
        yield reads
