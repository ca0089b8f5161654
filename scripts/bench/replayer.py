"""`python -m bench.replayer DATABASE TURNS DURABILITY START`: one process of the bare loop.

Waits until the file START exists, so that all begin at once; a plain flock is the gate. Prints when
it began and ended, in monotonic seconds.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import sys
import time
from pathlib import Path

from bench.replay import load, run_turn
from orpheus.store.database import connect


def main() -> int:
    """Replay, then print."""
    database, turns_path, durability, start = sys.argv[1:]
    turns = load(Path(turns_path))
    connection = connect(Path(database), "normal" if durability == "normal" else "full")
    # As often as the store copies its log back.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    gate = os.open(f"{database}-gate", os.O_RDWR | os.O_CREAT, 0o600)
    connection.execute("SELECT count(*) FROM queues").fetchone()
    gc.disable()
    Path(f"{start}-{os.getpid()}").touch()
    while not os.path.exists(start):
        time.sleep(0.001)
    begun = time.monotonic()
    for turn in turns:
        fcntl.flock(gate, fcntl.LOCK_EX)
        connection.execute("BEGIN IMMEDIATE")
        run_turn(connection, turn)
        connection.execute("COMMIT")
        fcntl.flock(gate, fcntl.LOCK_UN)
    ended = time.monotonic()
    print(json.dumps({"begun": begun, "ended": ended}), flush=True)
    fcntl.flock(gate, fcntl.LOCK_EX)
    connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
