"""Starts a real master over fake children and looks at it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus.ipc.scoreboard import ALIVE, Scoreboard, Slot
from tests.support.processes import children_of, end_groups
from tests.support.waiting import eventually

_ROOT = Path(__file__).resolve().parents[2]


class Pool:
    """One run of a pool."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        for name in ("run/bells", "locks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._error_path = folder / f"log-{len(list(folder.glob('log-*')))}"
        arguments = json.dumps({"folder": str(folder), **options})
        with self._error_path.open("wb") as error:
            self.master = subprocess.Popen(
                [sys.executable, "-m", "tests.pool.fake_pool", arguments],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stderr=error,
            )
        self._board: Scoreboard | None = None
        self._seen: set[int] = set()

    @property
    def pid(self) -> int:
        return self.master.pid

    def board(self) -> Scoreboard:
        if self._board is None:
            paths = eventually(lambda: list((self.folder / "run").glob(f"*-{self.pid}-*.board")))
            self._board = Scoreboard.open(paths[0])
        return self._board

    def live_slots(self) -> list[Slot]:
        return [slot for slot in self.board().slots if slot.state == ALIVE]

    def workers(self, count: int = 2) -> list[int]:
        """The pids of all workers, once there are `count`."""
        eventually(lambda: len(self.live_slots()) == count, message=f"{count} workers")
        pids = [slot.pid for slot in self.live_slots()]
        self._seen.update(pids)
        return pids

    def maintenance(self, not_: int = 0) -> int:
        """The pid of the maintenance process, once it beats."""
        board = self.board()
        eventually(lambda: board.maintenance_pid not in (0, not_) and board.maintenance_beat)
        return board.maintenance_pid

    def notes(self, file: str) -> list[dict[str, Any]]:
        """What fake children noted."""
        path = self.folder / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def noted(self, file: str, count: int = 1, timeout: float = 10) -> list[dict[str, Any]]:
        """The notes, once there are at least `count`."""
        eventually(lambda: len(self.notes(file)) >= count, timeout, f"{count} notes in {file}")
        return self.notes(file)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 20) -> int:
        """The master's exit code."""
        return self.master.wait(timeout)

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.wait()

    def log(self) -> str:
        return self._error_path.read_text()

    def close(self) -> None:
        """End whatever is left, by pid."""
        self._seen.update(children_of(self.pid))
        if self.master.poll() is None:
            self.master.kill()
            self.master.wait()
        if self._board is not None:
            self._seen.update(slot.pid for slot in self._board.slots if slot.pid)
            self._board.close()
        end_groups(self._seen)


StartPool = Callable[..., Pool]


@pytest.fixture
def start_pool(tmp_path: Path) -> Iterator[StartPool]:
    """Starts pools in one folder; all are gone after the test."""
    pools: list[Pool] = []

    def start(**options: Any) -> Pool:
        pools.append(Pool(tmp_path, **options))
        return pools[-1]

    yield start
    for pool in pools:
        pool.close()
    if pools:
        print(*(pool.log() for pool in pools), sep="\n---\n")
