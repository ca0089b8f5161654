"""Time: the system's clocks and their one text form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from orpheus.clock import SystemClock, from_datetime, to_rfc3339
from tests.support.clock import FakeClock


def test_the_system_clock_counts_in_its_units() -> None:
    clock = SystemClock()
    assert abs(clock.now() / 1e6 - datetime.now(UTC).timestamp()) < 5
    first = clock.monotonic()
    assert clock.monotonic() >= first
    assert clock.boot_id == SystemClock().boot_id
    assert clock.boot_id


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_rfc3339(wall: int, text: str) -> None:
    assert to_rfc3339(wall) == text
    assert from_datetime(datetime.fromisoformat(text)) == wall


def test_zones_are_taken_into_account() -> None:
    east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert from_datetime(east) == from_datetime(datetime(2026, 1, 1, tzinfo=UTC))


def test_the_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock()
    before = (clock.now(), clock.monotonic(), clock.boot_id)
    assert (clock.now(), clock.monotonic(), clock.boot_id) == before
    clock.advance(1.5)
    assert clock.now() - before[0] == 1_500_000
    assert clock.monotonic() - before[1] == 1_500_000_000
    clock.jump(-10)
    assert clock.monotonic() - before[1] == 1_500_000_000
    clock.reboot()
    assert clock.monotonic() < before[1]
    assert clock.boot_id != before[2]
