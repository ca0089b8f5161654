"""`python -m bench.gate_writer KIND FOLDER SECONDS START`: one of many writers at one database.

KIND is how they take turns: `turnstile` (Orpheus's gate), `flock` (one plain lock) or `busy`
(SQLite's own busy handler). Prints commits and waits.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import percentile
from orpheus.ipc.locks import Turnstile

_SQL = (
    "INSERT INTO facts (at, text) VALUES (?, 'some sixty bytes of text, as an event row might be')"
)


def _entry(kind: str, folder: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    if kind == "turnstile":
        turnstile = Turnstile(folder / "turn", folder / "gate")
        return turnstile.acquire, turnstile.release
    if kind == "flock":
        lock = os.open(folder / "flock", os.O_RDWR | os.O_CREAT, 0o600)
        return (
            lambda: fcntl.flock(lock, fcntl.LOCK_EX),
            lambda: fcntl.flock(lock, fcntl.LOCK_UN),
        )
    return lambda: None, lambda: None


def main() -> int:
    """Write until the time is up."""
    kind, folder, seconds, start = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    connection = sqlite3.connect(
        folder / "gate.db", isolation_level=None, timeout=60 if kind == "busy" else 0
    )
    connection.execute("PRAGMA synchronous = FULL")
    enter, leave = _entry(kind, folder)
    Path(f"{start}-{os.getpid()}").touch()
    while not os.path.exists(start):
        time.sleep(0.001)
    end = time.monotonic() + seconds
    commits, waits, busy = 0, [], 0
    while (asked := time.monotonic()) < end:
        enter()
        try:
            connection.execute("BEGIN IMMEDIATE")
            waits.append(time.monotonic() - asked)
            connection.execute(_SQL, (commits,))
            connection.execute("COMMIT")
            commits += 1
        except sqlite3.OperationalError:
            busy += 1
        finally:
            leave()
    worst = max(waits, default=seconds)
    p99 = percentile(waits, 99) if waits else seconds
    print(json.dumps({"commits": commits, "worst": worst, "p99": p99, "busy": busy}), flush=True)
    # The last close checkpoints: one at a time, as the gate demands.
    enter()
    connection.close()
    leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
