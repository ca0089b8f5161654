"""What each process of a system has in use, and how large its files are: one look at /proc."""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos.processes import children, pool_processes
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
    pool = pool_processes(system.data_dir, "main", master.pid)
    return {
        "api": [api.pid],
        "writer": children(api.pid),
        "master": [master.pid],
        "maintenance": [pool.maintenance] if pool.maintenance else [],
        "worker": pool.workers,
    }


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
