"""What a running system has stored, and what it could not store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from orpheus.ipc.scoreboard import Scoreboard
from tests.support.system import System


def rows(system: System, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a read of its database finds."""
    uri = f"file:{system.data_dir}/orpheus.db?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()


def stored(system: System, id_: int) -> int:
    """Lines in the log of a job."""
    return int(rows(system, "SELECT count(*) FROM logs WHERE job_id = ?", id_)[0][0])


def dropped(system: System) -> int:
    """Records of its living workers that did not fit the pipe."""
    (path,) = (system.data_dir / "run").glob("*.board")
    with closing(Scoreboard.open(path)) as board:
        return sum(slot.dropped_output for slot in board.slots)
