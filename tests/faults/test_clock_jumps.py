"""Somebody sets the wall clock a day ahead or back while jobs run: no attempt is lost for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from orpheus.client.http import Client
from orpheus.clock import SECOND_US
from tests.faults.supervised import Supervised
from tests.support.waiting import eventually

pytestmark = [pytest.mark.processes, pytest.mark.long]

DAY = 86_400
# Loaded by every Python process of the system: `clock.py` reads the time through this one function.
SITE = """
import os
import time

_real = time.time_ns
_path = os.environ["CLOCK_OFFSET"]

def shifted():
    with open(_path, encoding="ascii") as file:
        return _real() + int(file.read()) * 1_000_000_000

time.time_ns = shifted
"""


@pytest.fixture
def offset(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    path = tmp_path / "offset"
    path.write_text("0", encoding="ascii")
    return path


def set_clock(offset: Path, seconds: int) -> None:
    # In one piece: a reader must never see an empty file.
    new = offset.with_name("new")
    new.write_text(str(seconds), encoding="ascii")
    new.replace(offset)


def is_running(client: Client, job_id: int) -> bool:
    return bool(client.get(job_id)["state"] == "in_progress")


def test_a_day_ahead_and_two_back(tmp_path: Path, offset: Path) -> None:
    system = Supervised(tmp_path / "system", {"LEASE_SECONDS": "1"})
    system.environment["PYTHONPATH"] = str(offset.with_name("site"))
    system.environment["CLOCK_OFFSET"] = str(offset)
    with system, system.client() as client:
        tomorrow = client.submit("sum_range", {"n": 1}, delay=DAY // 2)["id"]
        for jump in (DAY, -DAY):
            # Longer than a lease, and shorter than the time-out it would reach if that jumped.
            running = client.submit("sleep", {"seconds": 1.3}, timeout=60)["id"]
            later = client.submit("sum_range", {"n": 1}, delay=DAY // 2)["id"]
            eventually(partial(is_running, client, running))
            set_clock(offset, jump)
            after = system.submits()
            for job_id in (running, after):
                system.ends_done(job_id)
            created = dict(system.rows("SELECT id, created_at FROM jobs"))
            assert abs(created[after] - created[running]) > (DAY - 60) * SECOND_US
        # What is due by the wall clock goes by it.
        assert client.get(tomorrow)["state"] == "done"
        assert client.get(later)["state"] == "scheduled"
        assert system.rows("SELECT max(number) FROM attempts") == [(1,)]
        assert client.health()["status"] == "ok"
        assert system.ends == {"api": [], "main": []}
