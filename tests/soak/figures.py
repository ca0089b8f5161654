"""What each process of a system has in use, and how large its files are: one look at /proc."""

from __future__ import annotations

import os
from pathlib import Path

from orpheus.ipc.scoreboard import ALIVE, Scoreboard
from tests.support.system import System

MB = 1e6

Figures = dict[str, float]
"""By name: `rss api` (MB), `fds api`, `threads api`, and so for each process; `wal` (MB), ..."""


def look(system: System) -> Figures:
    """The figures of this moment. A process that ends meanwhile is left out."""
    found: Figures = {}
    for role, pids in _roles(system).items():
        looks = [one for pid in pids if (one := _process(pid)) is not None]
        for kind in looks[0] if looks else ():
            # Of several workers the one that has most.
            found[f"{kind} {role}"] = max(one[kind] for one in looks)
    found["wal"] = _size(Path(f"{system.data_dir / 'orpheus.db'}-wal")) / MB
    found["files run/"] = len(os.listdir(system.data_dir / "run"))
    found["files locks/"] = len(os.listdir(system.data_dir / "locks"))
    return found


def _roles(system: System) -> dict[str, list[int]]:
    api, master = system.api, system.pools["main"]
    assert api is not None
    roles = {"api": [api.pid], "writer": _children(api.pid), "master": [master.pid]}
    for path in (system.data_dir / "run").glob(f"main-{master.pid}-*.board"):
        board = Scoreboard.open(path)
        try:
            roles["maintenance"] = [board.maintenance_pid]
            roles["worker"] = [slot.pid for slot in board.slots if slot.state == ALIVE]
        finally:
            board.close()
    return roles


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def _process(pid: int) -> Figures | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return {
            "rss": int(lines["VmRSS"].split()[0]) * 1024 / MB,
            "fds": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(lines["Threads"]),
        }
    except (OSError, KeyError):
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
