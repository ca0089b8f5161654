"""CPU seconds and memory of a process and all below it, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One process. Memory in MB of 10^6 bytes; `pss` shares what is shared among its sharers."""

    pid: int
    name: str
    cpu: float
    rss: float
    pss: float


def tree(root: int) -> list[Usage]:
    """The process and all its descendants, parents first."""
    found = []
    pids = [root]
    while pids:
        pid = pids.pop(0)
        usage = _usage(pid)
        if usage is not None:
            found.append(usage)
            pids += _children(pid)
    return found


def _usage(pid: int) -> Usage | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return Usage(
            pid,
            name,
            (int(fields[11]) + int(fields[12])) / _TICKS,
            _kibibytes(pid, "status", "VmRSS:"),
            _kibibytes(pid, "smaps_rollup", "Pss:"),
        )
    except (OSError, ValueError):
        return None


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _kibibytes(pid: int, file: str, name: str) -> float:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
