"""The soak in small: every process is looked at, everything users do is answered and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.campaign import soak
from tests.soak.slopes import table

pytestmark = pytest.mark.processes

ROLES = ("api", "writer", "master", "maintenance", "worker")


@pytest.mark.timeout(150)
def test_a_few_seconds_of_everything(tmp_path: Path) -> None:
    slopes, wrong = soak(tmp_path, 3, every=0.3)
    assert wrong == []
    seen = {one.name for one in slopes}
    assert seen >= {f"{kind} {role}" for kind in ("rss", "fds", "threads") for role in ROLES}
    assert seen >= {"wal", "files run/", "files locks/"}


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_half_an_hour_of_everything(tmp_path: Path) -> None:
    slopes, wrong = soak(tmp_path, 1800)
    print(table(slopes))
    assert wrong == []
    assert [one.name for one in slopes if not one.flat] == []
