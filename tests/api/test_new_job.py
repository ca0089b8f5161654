"""The document spliced for a job just submitted is the one its row would make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orpheus.api.new_job import new_job_json
from orpheus.api.rendering import job_view
from orpheus.clock import SystemClock
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.submit import submit
from tests.support.stores import new_job, settings_at


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"delay": 5_000_000},
        {"run_at": 1},
        {"run_at": 4_000_000_000_000_000},
        {"tags": ("a", "b:c")},
        {"unique_key": "only.one", "ref": "mine"},
        {"priority": -100, "max_retries": 0, "max_crashes": 7, "timeout": 1},
        {"timeout": 2_592_000_000_000},
        {"payload": r'{"n":18446744073709551616,"x":1e+16,"text":"\u00e4\u20ac\ud83d\ude00\"\\"}'},
        {"meta": r'{"a":[null,true,{"b":0.1}]}'},
    ],
    ids=str,
)
def test_it_is_what_the_row_says(tmp_path: Path, values: dict[str, Any]) -> None:
    settings, clock = settings_at(tmp_path), SystemClock()
    migrate(settings, clock)
    database = Database(settings, clock)
    job = new_job(**values)
    try:
        with database.write() as tx:
            (one,) = submit(tx, [job], 10)
            now = tx.now
        row = database.connection.execute("SELECT * FROM jobs")
        names = [column[0] for column in row.description]
        stored = job_view(dict(zip(names, row.fetchone(), strict=True)))
    finally:
        database.close()
    spliced = new_job_json(job, one.id, one.state, now)
    assert spliced.endswith(b"\n")
    assert json.loads(spliced) == stored
    assert list(json.loads(spliced)) == list(stored)
