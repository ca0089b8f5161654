"""Who is who in a running system, read off the scoreboards and /proc."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orpheus.ipc.scoreboard import ALIVE, DEAD, FREE, Scoreboard


@dataclass
class PoolProcesses:
    """One pool; None or empty where it is not there."""

    master: int | None = None
    maintenance: int | None = None
    # When maintenance last showed that it lives, in monotonic nanoseconds.
    beat: int = 0
    workers: list[int] = field(default_factory=list)
    # Forked and not yet at work; they die with their master all the same.
    starting: list[int] = field(default_factory=list)

    def everyone(self) -> list[int]:
        return [
            pid for pid in (self.master, self.maintenance, *self.workers, *self.starting) if pid
        ]


@dataclass
class Processes:
    """The whole system; the short names are those of the pool `main`."""

    api: int | None = None
    writer: int | None = None
    pools: dict[str, PoolProcesses] = field(default_factory=dict)

    @property
    def main(self) -> PoolProcesses:
        return self.pools.get("main") or PoolProcesses()

    @property
    def master(self) -> int | None:
        return self.main.master

    @property
    def maintenance(self) -> int | None:
        return self.main.maintenance

    @property
    def workers(self) -> list[int]:
        return self.main.workers


def pool_processes(data_dir: Path, name: str, master: int) -> PoolProcesses:
    """What the board of one run of a pool says; it may be read after the master's death too."""
    found = PoolProcesses(master)
    for path in data_dir.glob(f"run/{name}-{master}-*.board"):
        # It may be removed between two looks, by the master itself or by the next one.
        with suppress(FileNotFoundError), _board(path) as board:
            found.maintenance = board.maintenance_pid or None
            found.beat = board.maintenance_beat
            for slot in board.slots:
                if slot.state == ALIVE:
                    found.workers.append(slot.pid)
                elif slot.pid and slot.state not in (DEAD, FREE):
                    found.starting.append(slot.pid)
    return found


def children(pid: int) -> list[int]:
    """The direct children, zombies too."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]


@contextmanager
def _board(path: Path) -> Iterator[Scoreboard]:
    board = Scoreboard.open(path)
    try:
        yield board
    finally:
        board.close()
