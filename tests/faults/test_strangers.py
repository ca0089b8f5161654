"""Programs outside Orpheus: one that holds the write lock, one that keeps reading an old moment."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults.supervised import Supervised

pytestmark = [pytest.mark.processes, pytest.mark.long]


@contextmanager
def holding(system: Supervised, statement: str) -> Iterator[None]:
    path = system.data_dir / "orpheus.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
        connection.execute("SELECT count(*) FROM jobs").fetchall()
        yield
        connection.execute("ROLLBACK")


def attack(tmp_path: Path, seconds: float) -> None:
    with Supervised(tmp_path) as system:
        before = system.submits()
        system.ends_done(before)
        with system.client() as client:
            running = client.submit("sleep", {"seconds": 1})["id"]
            with holding(system, "BEGIN IMMEDIATE"):
                until = time.monotonic() + seconds
                refused = 0
                while time.monotonic() < until:
                    asked = time.monotonic()
                    status, body = system.post()
                    assert status == 503
                    assert body["code"] == "store_busy"
                    assert time.monotonic() - asked < 4
                    assert client.get(before)["state"] == "done"
                    refused += 1
                assert refused
            after = system.submits(within=5)
        for job_id in (running, after):
            system.ends_done(job_id)
        assert system.rows("SELECT max(number) FROM attempts") == [(1,)]
        assert system.ends == {"api": [], "main": []}


def test_a_write_lock_held_for_ten_seconds_is_told_and_passes_by_itself(tmp_path: Path) -> None:
    attack(tmp_path, 10)


def test_a_reader_that_never_ends_costs_disk_and_nothing_else(tmp_path: Path) -> None:
    with Supervised(tmp_path) as system:
        job_ids = []
        with holding(system, "BEGIN"), system.client() as client:
            for _ in range(100):
                batch = [{"type": "wordcount", "payload": {"text": "a " * 2000}}] * 100
                job_ids += [job["id"] for job in client.submit_many(batch)]
        system.ends_done(job_ids[-1])
        assert system.ends == {"api": [], "main": []}
