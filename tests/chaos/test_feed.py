"""A reader that hangs up and resumes at random sees every event once and in order."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.chaos.harness import Chaos
from tests.chaos.test_kills import system_for_chaos
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


class Reader(threading.Thread):
    """Collects events over many short connections until it has seen `last`."""

    def __init__(self, system: System, rng: Random) -> None:
        super().__init__(daemon=True)
        self._url = f"ws://127.0.0.1:{system.port}/ws"
        self._rng = rng
        self._epoch: str | None = None
        self.events: list[dict[str, Any]] = []
        self.connections = 0
        self.resets = 0
        self.last: int | None = None

    @property
    def position(self) -> int:
        return self.events[-1]["seq"] if self.events else 0

    def run(self) -> None:
        deadline = time.monotonic() + 90
        while not self._done() and time.monotonic() < deadline:
            try:
                self._read_for_a_while()
            except (OSError, WebSocketException):
                # The API is being restarted, or our own hanging up raced with a frame.
                time.sleep(0.02)

    def _done(self) -> bool:
        # However fast the jobs are: without hanging up a few times there is nothing to see.
        return self.last is not None and self.position >= self.last and self.connections >= 5

    def _read_for_a_while(self) -> None:
        url = f"{self._url}?since={self.position}"
        if self._epoch is not None:
            url += f"&epoch={self._epoch}"
        until = time.monotonic() + self._rng.choice([0.02, 0.1, 0.4])
        with connect(url, max_size=None) as socket:
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
                else:
                    self.events += frame["events"]


def check(readers: list[Reader], newest: int) -> None:
    for reader in readers:
        assert reader.resets == 0
        assert [event["seq"] for event in reader.events] == list(range(1, newest + 1))


def newest_event(system: System) -> int:
    with system.client() as client:
        seq: int = client.stats()["seq"]
        return seq


def at_rest(system: System) -> bool:
    with system.client() as client:
        counts = client.stats()["jobs"]
    return not any(counts[state] for state in ("pending", "scheduled", "in_progress"))


def follow(folder: Path, jobs: int, kills: int) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    with system_for_chaos(folder) as system:
        readers = [Reader(system, Random(seed + n)) for n in range(3)]
        for reader in readers:
            reader.start()
        chaos = Chaos(system, seed)
        with system.client() as client:
            batch = [{"type": "sum_range", "payload": {"n": n % 50}} for n in range(jobs)]
            for start in range(0, jobs, 500):
                client.submit_many(batch[start : start + 500])
        for _ in range(kills):
            assert chaos.strike("kill api")
            eventually(lambda: system.api is not None and system.api.poll() is not None, timeout=10)
            system.start_api()
        eventually(lambda: at_rest(system), timeout=60)
        newest = newest_event(system)
        for reader in readers:
            reader.last = newest
        for reader in readers:
            reader.join(60)
        assert all(reader.connections >= 5 for reader in readers)
        check(readers, newest)


def test_events_are_seen_once_and_in_order_across_reconnects(tmp_path: Path) -> None:
    follow(tmp_path, jobs=3000, kills=0)


def test_events_are_seen_once_and_in_order_across_deaths_of_the_api(tmp_path: Path) -> None:
    follow(tmp_path, jobs=1000, kills=2)
