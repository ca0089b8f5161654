"""What counts as flat."""

from __future__ import annotations

import pytest

from tests.soak.slopes import slope


def _samples(rise_an_hour: float, start: float = 50.0) -> list[tuple[float, float]]:
    return [(float(at), start + rise_an_hour * at / 3600) for at in range(0, 1800, 5)]


@pytest.mark.parametrize("name", ["rss api", "fds worker", "threads master", "files run/"])
def test_what_stays_is_flat(name: str) -> None:
    found = slope(name, _samples(0))
    assert found.flat
    assert (found.first, found.last, found.largest) == (50, 50, 50)


@pytest.mark.parametrize(("name", "rise"), [("rss api", 12.0), ("fds worker", 6.0)])
def test_what_grows_is_seen(name: str, rise: float) -> None:
    found = slope(name, _samples(rise))
    assert found.an_hour == pytest.approx(rise)
    assert not found.flat


def test_the_warm_up_does_not_count() -> None:
    samples = [(at, value - 30 if at < 400 else value) for at, value in _samples(0)]
    assert slope("rss api", samples).flat


def test_the_log_may_swell_up_to_its_bound() -> None:
    swelling = [(float(at), 10.0 + 40.0 * (at > 900)) for at in range(0, 1800, 5)]
    assert slope("wal", swelling).flat
    assert not slope("wal", [(at, value + 20) for at, value in swelling]).flat
