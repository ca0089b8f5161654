"""The machine a run was made on, as a reader needs it to judge the figures."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path


def describe(folder: Path) -> dict[str, str]:
    """CPU, cores, memory, kernel, Python, SQLite, the file system of the databases, the time."""
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "CPU": _line("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "file system": _file_system(folder),
        "load at start": f"{os.getloadavg()[0]:.2f}",
    }


def _line(path: str, name: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
    found = next((line for line in text.splitlines() if line.startswith(name)), "")
    return found.partition(":")[2].strip()


def _memory() -> str:
    kibibytes = _line("/proc/meminfo", "MemTotal").split()
    return f"{int(kibibytes[0]) / 2**20:.1f} GiB" if kibibytes else "unknown"


def _file_system(folder: Path) -> str:
    best, kind = "", "unknown"
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for line in lines:
        _, mount, type_ = line.split()[:3]
        if f"{folder.resolve()}/".startswith(mount.rstrip("/") + "/") and len(mount) > len(best):
            best, kind = mount, type_
    return kind
