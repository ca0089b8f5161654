"""When a place is filled again: arithmetic."""

from __future__ import annotations

import pytest

from orpheus.clock import SECOND_NS
from orpheus.pool.restarts import QUICK, Restarts

_MS = SECOND_NS // 1000


def test_the_first_restart_costs_no_wait_then_it_doubles_to_a_limit() -> None:
    restarts = Restarts()
    waits = []
    for _ in range(10):
        restarts.died(1000, lived=QUICK - 1, ready=True)
        waits.append((restarts.not_before - 1000) // _MS)
    assert waits == [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]


def test_a_child_that_lived_ends_the_series() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.died(0, lived=0, ready=True)
    restarts.died(1000, lived=QUICK, ready=True)
    assert restarts.not_before == 1000
    restarts.died(1000, lived=0, ready=True)
    assert restarts.not_before == 1000


@pytest.mark.parametrize("ready", [True, False])
def test_weeks_of_crashes_stay_finite(ready: bool) -> None:
    restarts = Restarts()
    for _ in range(100_000):
        restarts.died(0, lived=0, ready=ready)
    assert restarts.not_before == 5 * SECOND_NS
    assert restarts.exhausted is not ready


def test_the_budget_counts_deaths_before_ready_in_a_row() -> None:
    restarts = Restarts()
    for _ in range(4):
        restarts.died(0, lived=60 * SECOND_NS, ready=False)
    assert not restarts.exhausted
    restarts.died(0, lived=0, ready=True)
    for _ in range(4):
        restarts.died(0, lived=0, ready=False)
    assert not restarts.exhausted
    restarts.died(0, lived=0, ready=False)
    assert restarts.exhausted
