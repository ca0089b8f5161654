"""For every test: no ambient ORPHEUS_*, the asyncio backend, the CI guard; long ones on demand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pools import PoolBench, pool_bench

pytest_plugins = ["tests.support.ci_guard", "tests.support.lanes"]

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests run only where `-m` names them."""
    if "long" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings, such as ORPHEUS_PORT, must not reach a test."""
    for name in list(os.environ):
        if name.startswith(("ORPHEUS_", "SUPERVISOR_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PoolBench]:
    """A data folder with pools to act on, without processes."""
    with pool_bench(tmp_path) as bench:
        yield bench


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout this suite belongs to."""
    return ROOT
