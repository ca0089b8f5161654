"""A file system of its own, small enough to be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024


@contextmanager
def small_disk_at(folder: Path, megabytes: int) -> Iterator[None]:
    """Mounted at a folder it makes; skips loudly where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, timeout=10).returncode:
        pytest.skip("a file system cannot be mounted here: a full disk is NOT tested")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        for piece in (MIB, 4096):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                continue
