"""The live feed of one API process: its parts, and the tasks that keep them going."""

from __future__ import annotations

from pathlib import Path

import anyio

from orpheus.feed.tailer import Tailer
from orpheus.feed.topics import Load, Topics
from orpheus.feed.waits import Waits
from orpheus.feed.window import EventWindow
from orpheus.store.reads import Reads


class Feed:
    """`run` is a task of the API; `close` lets everybody go before the server shuts down."""

    def __init__(self, reads: Reads, bell: Path, load: Load) -> None:
        self.tailer = Tailer(reads, bell)
        self.window = EventWindow(reads)
        self.waits = Waits(reads, self.tailer)
        self.topics = Topics(self.tailer, load)
        self.closing = anyio.Event()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.tailer.run)
            tasks.start_soon(self.waits.run)
            tasks.start_soon(self.topics.run)

    def close(self) -> None:
        """End all waits and tell all sockets to say goodbye."""
        self.closing.set()
        self.waits.close()
