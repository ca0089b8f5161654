"""Fixtures of maintenance's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from orpheus.ipc.doorbell import Doorbell, maintenance_bell
from orpheus.maintenance.loop import Loop
from orpheus.maintenance.output import Output
from orpheus.maintenance.pool import Pool
from tests.support.pools import PoolBench


@pytest.fixture
def pool(bench: PoolBench) -> Pool:
    return bench.pool()


@pytest.fixture
def maintenance(bench: PoolBench, pool: Pool) -> Iterator[Loop]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    bell = Doorbell(maintenance_bell(bench.settings.run_dir, pool.name))
    yield Loop(pool, bell, Output(pool, reading), bench.lifeline)
    bell.close()
    os.close(reading)
    os.close(writing)
