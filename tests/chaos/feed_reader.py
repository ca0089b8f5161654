"""A reader of the feed that hangs up at random and resumes where it was."""

from __future__ import annotations

import json
import threading
import time
from random import Random
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect


class Reader(threading.Thread):
    """Collects events over many short connections until it has seen `last`."""

    def __init__(
        self,
        port: int,
        rng: Random,
        connections: int = 5,
        stays: tuple[float, ...] = (0.02, 0.1, 0.4),
    ) -> None:
        super().__init__(daemon=True)
        self._url = f"ws://127.0.0.1:{port}/ws"
        self._rng = rng
        self._at_least = connections
        self._stays = stays
        self._epoch: str | None = None
        self.events: list[dict[str, Any]] = []
        self.connections = 0
        self.resets = 0
        self.last: int | None = None
        self.given_up = False

    @property
    def position(self) -> int:
        return self.events[-1]["seq"] if self.events else 0

    def run(self) -> None:
        while not self._done() and not self.given_up:
            try:
                self._read_for_a_while()
            except (OSError, WebSocketException):
                # The API is being restarted, or our own hanging up raced with a frame.
                time.sleep(0.02)

    def finish(self, last: int, within: float) -> bool:
        """Whether it has seen `last` in time; it ends either way."""
        self.last = last
        self.join(within)
        self.given_up = True
        return not self.is_alive() and self._done()

    def _done(self) -> bool:
        # However fast the jobs are: without hanging up a few times there is nothing to see.
        return (
            self.last is not None
            and self.position >= self.last
            and self.connections >= self._at_least
        )

    def _read_for_a_while(self) -> None:
        url = f"{self._url}?since={self.position}"
        if self._epoch is not None:
            url += f"&epoch={self._epoch}"
        until = time.monotonic() + self._rng.choice(self._stays)
        with connect(url, max_size=None, open_timeout=2, close_timeout=1) as socket:
            self.connections += 1
            while (left := until - time.monotonic()) > 0:
                try:
                    frame = json.loads(socket.recv(timeout=left))
                except TimeoutError:
                    return
                if frame["type"] == "hello":
                    self._epoch = frame["epoch"]
                elif frame["type"] == "reset":
                    self.resets += 1
                elif frame["type"] == "events":
                    self.events += frame["events"]
