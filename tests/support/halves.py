"""Splits the suite in two, for `./scripts/test` to run side by side.

Most tests wait: for processes to start, leases to run out, a page to settle. Two at a time fit on
two cores and the suite takes half as long. One process cannot do it: the tests fork, and a forking
process must not have a second thread.
"""

from __future__ import annotations

import pytest

# Folders whose tests start whole systems and wait for them.
_PROCESSES = frozenset({"chaos", "pool", "worker", "supervisor", "acceptance", "maintenance"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--half", choices=("processes", "rest"), help="run one half of the suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    half = config.getoption("--half")
    if half is None:
        return
    kept: list[pytest.Item] = []
    other: list[pytest.Item] = []
    for item in items:
        folder = item.path.relative_to(config.rootpath / "tests").parts[0]
        mine = (folder in _PROCESSES) == (half == "processes")
        (kept if mine else other).append(item)
    config.hook.pytest_deselected(items=other)
    items[:] = kept
