"""A checkout in a temporary folder: the shipped supervisord.conf, config and scripts, unchanged.

Its .venv holds links to the programs of this suite's own environment, so nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from orpheus.client.http import Client
from tests.support.ports import free_port

_ENDS_WITHIN = 120
_PROGRAMS = ("orpheus", "supervisorctl", "supervisord")


class Checkout:
    """`control.py start` and `stop` in a folder of its own; call `close` at the end."""

    def __init__(self, source: Path, folder: Path, **settings: str) -> None:
        self.root = folder
        self.port = free_port()
        folder.mkdir(parents=True)
        shutil.copy(source / "supervisord.conf", folder)
        for name in ("config", "scripts"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / name, folder / name, ignore=ignore)
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name in _PROGRAMS:
            (programs / name).symlink_to(Path(sys.executable).parent / name)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("ORPHEUS_", "SUPERVISOR"))},
            "ORPHEUS_PORT": str(self.port),
            "ORPHEUS_PROCESSES": "2",
            **{f"ORPHEUS_{name}": value for name, value in settings.items()},
        }

    def start(self, **settings: str) -> subprocess.CompletedProcess[str]:
        return self._control("start", **settings)

    def stop(self) -> subprocess.CompletedProcess[str]:
        return self._control("stop")

    def supervisorctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As the README has it: from the checkout's folder, without -c."""
        return self.run(".venv/bin/supervisorctl", *arguments)

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end from the checkout's folder, in its environment."""
        changes = {f"ORPHEUS_{name}": value for name, value in settings.items()}
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment | changes,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ENDS_WITHIN,
            check=False,
        )

    def client(self) -> Client:
        """A client of this checkout's API; close it."""
        return Client(f"http://127.0.0.1:{self.port}", token="")

    def processes(self) -> dict[int, str]:
        """`{pid: command}` of everything that started from here and still lives."""
        return dict(_marked(os.fsencode(f"ORPHEUS_PORT={self.port}")))

    @staticmethod
    def children(pid: int) -> set[int]:
        """The pids of a process's children."""
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return {int(child) for child in listed.split()}

    def close(self) -> None:
        """Stop; what survives that is killed, so that one test cannot spoil the next."""
        self.stop()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def _control(self, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "scripts/control.py", command, **settings)


def _marked(mark: bytes) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        yield int(entry.name), command
