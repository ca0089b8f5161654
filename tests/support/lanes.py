"""Splits the suite into three lanes, for `./scripts/test` to run side by side.

Most tests wait: for processes to start, leases to run out, a page to settle. Three at a time fit on
two cores and the suite takes half as long. One process cannot do it: the tests fork, and a forking
process must not have a second thread.
"""

from __future__ import annotations

import pytest

REST = "rest"
# By folder; what is in none of these is the rest.
_FOLDERS = {
    "processes": frozenset({"chaos", "pool", "worker", "maintenance"}),
    "systems": frozenset({"supervisor", "acceptance", "dashboard"}),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lane", choices=(*_FOLDERS, REST), help="run one lane of the suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lane = config.getoption("--lane")
    if lane is None:
        return
    kept: list[pytest.Item] = []
    other: list[pytest.Item] = []
    for item in items:
        folder = item.path.relative_to(config.rootpath / "tests").parts[0]
        (kept if _lane_of(folder) == lane else other).append(item)
    config.hook.pytest_deselected(items=other)
    items[:] = kept


def _lane_of(folder: str) -> str:
    return next((lane for lane, folders in _FOLDERS.items() if folder in folders), REST)
