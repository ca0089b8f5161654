"""litequeue: a table of messages; the loop around it is the user's, so here it is ours."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import folder

TITLE = "litequeue"
SERVER = None
DURABILITY = "WAL, synchronous NORMAL (set by the library): a power cut may lose the last moments"
NOTE = "pop, run, done; idle polls each 10 ms; no result kept, no retries"
JOBS = 6000

_queue: Any = None


def queue() -> Any:
    """This process's connection."""
    global _queue
    if _queue is None:
        _queue = importlib.import_module("litequeue").LiteQueue(str(folder() / "litequeue.db"))
    return _queue


def workers() -> list[list[str]]:
    """Two loops."""
    return [[sys.executable, "-m", "bench.peers.litequeue_sqlite"]] * 2


def setup() -> None:
    """Makes the file."""
    queue()


def enqueue(n: int) -> None:
    """One by one."""
    for _ in range(n):
        queue().put(json.dumps(["sum_range", 100]))


def stamp() -> None:
    """One now."""
    queue().put(json.dumps(["started", time.monotonic_ns()]))


def main() -> None:
    """The worker's loop."""
    sqlite3 = importlib.import_module("sqlite3")
    while True:
        try:
            message = queue().pop()
        except sqlite3.OperationalError:
            message = None
        if message is None:
            time.sleep(0.01)
            continue
        name, argument = json.loads(message.data)
        getattr(work, name)(argument)
        queue().done(message.message_id)


if __name__ == "__main__":
    main()
