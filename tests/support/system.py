"""A real Orpheus for a test: `orpheus api` and `orpheus worker` as processes of their own.

Everything it needs is private to the test: data folder, port, environment. Processes are started
in their own sessions and ended by pid; what a test left behind is killed with them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from orpheus.client.http import Client, ServerUnreachable
from tests.support.ports import free_port
from tests.support.waiting import eventually

_STOPS_WITHIN = 60


class System:
    """One API and any number of pools on one data folder; a context manager.

    `environment` are ORPHEUS_* settings beyond data folder and port, without the prefix.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        handlers: str = "orpheus.handlers.samples",
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = folder / "log.txt"
        self.api: subprocess.Popen[bytes] | None = None
        self.pools: dict[str, subprocess.Popen[bytes]] = {}
        self._log: IO[bytes] | None = None
        settings = {
            "DATA_DIR": str(self.data_dir),
            "PORT": str(self.port),
            "HANDLERS": handlers,
            "PROCESSES": "2",
            **(environment or {}),
        }
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ORPHEUS_")},
            **{f"ORPHEUS_{name}": value for name, value in settings.items()},
        }

    def __enter__(self) -> System:
        try:
            self.start()
        except BaseException:
            self.stop()
            print(self.log()[-20_000:])
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is not None:
            print(self.log()[-20_000:])

    def start(self) -> None:
        """Start both programs and wait until a job would run."""
        self.start_api()
        self.start_pool()
        with self.client() as client:
            eventually(lambda: client.health()["checks"]["workers"]["count"] > 0, timeout=30)

    def start_api(self) -> None:
        """Start the API and wait until it is healthy."""
        self.api = self.spawn("api")
        with self.client() as client:

            def healthy() -> bool:
                assert self.api is not None
                if self.api.poll() is not None:
                    raise RuntimeError(f"the API ended with {self.api.returncode}: {self.log()}")
                try:
                    return bool(client.health()["status"] == "ok")
                except ServerUnreachable:
                    return False

            eventually(healthy, timeout=30)

    def start_pool(self, name: str = "main") -> None:
        """Start a pool; it is not waited for."""
        self.pools[name] = self.spawn("worker", "--pool", name)

    def stop(self) -> None:
        """Stop everything in order: pools drain, then the API."""
        for process in (*self.pools.values(), self.api):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        try:
            for process in (*self.pools.values(), self.api):
                if process is not None:
                    process.wait(_STOPS_WITHIN)
        finally:
            for process in (*self.pools.values(), self.api):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait(10)
            self.pools.clear()
            self.api = None
            if self._log is not None:
                self._log.close()
                self._log = None

    def client(self) -> Client:
        """A client of this system; close it."""
        return Client(self.url, token="")

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Any `orpheus` command in this system's environment; its output goes to the log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._log is None:
            self._log = self.log_path.open("ab")
        return subprocess.Popen(
            [sys.executable, "-m", "orpheus.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def run(self, *arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run an `orpheus` command to its end and return what it said."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "orpheus.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def log(self) -> str:
        """What the programs wrote so far."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_text(encoding="utf-8", errors="replace")
