"""persist-queue's `SQLiteAckQueue`; the loop around it is ours, as it is every user's."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import folder

TITLE = "persist-queue"
SERVER = None
DURABILITY = "WAL, synchronous FULL"
NOTE = "one worker: two processes would run the same job (select, then mark); polls each 10 ms"
JOBS = 2000

_queue: Any = None


def queue() -> Any:
    """This process's connection."""
    global _queue
    if _queue is None:
        library = importlib.import_module("persistqueue")
        _queue = library.SQLiteAckQueue(str(folder() / "persist"), multithreading=True)
    return _queue


def workers() -> list[list[str]]:
    """One loop."""
    return [[sys.executable, "-m", "bench.peers.persist_queue_sqlite"]]


def setup() -> None:
    """Makes the file."""
    queue()


def enqueue(n: int) -> None:
    """One by one."""
    for _ in range(n):
        queue().put(("sum_range", 100))


def stamp() -> None:
    """One now."""
    queue().put(("started", time.monotonic_ns()))


def main() -> None:
    """The worker's loop."""
    empty = importlib.import_module("persistqueue").exceptions.Empty
    while True:
        try:
            item = queue().get(block=False, raw=True)
        except empty:
            time.sleep(0.01)
            continue
        name, argument = item["data"]
        getattr(work, name)(argument)
        queue().ack(id=item["pqid"])


if __name__ == "__main__":
    main()
