"""Tables for `bench.handlers_with_lookups`, made by the judge before the pool starts."""

from __future__ import annotations

from bench.preload import store
from orpheus.settings import Settings

_TABLES = """
CREATE TABLE bench_dependencies (parent INTEGER, child INTEGER, PRIMARY KEY (parent, child))
    WITHOUT ROWID;
CREATE TABLE bench_limits (type TEXT PRIMARY KEY, most INTEGER) WITHOUT ROWID;
INSERT INTO bench_limits VALUES ('bench_sum', 1000000);
"""
# Every tenth job has a child; the lookup is for all of a batch.
_DEPENDENCIES = "INSERT INTO bench_dependencies SELECT id, id + 1 FROM jobs WHERE id % 10 = 0"


def add_tables(settings: Settings) -> None:
    """Every tenth job has a child, and its type a limit that is never reached."""
    with store(settings) as database, database.gate.held():
        database.connection.executescript(_TABLES + _DEPENDENCIES)
