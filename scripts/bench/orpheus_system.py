"""A real Orpheus for a measurement: `orpheus api` and `orpheus worker` in a temporary folder."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.marks import FOLDER, Marks
from bench.ports import free_port
from bench.processes import environment, start, stop, tail, wait_for
from orpheus.settings import Settings, load_settings


class Orpheus:
    """One data folder and the programs on it. `settings` are ORPHEUS_* names without the prefix."""

    def __init__(
        self,
        folder: Path,
        workers: int = 2,
        durability: str = "full",
        handlers: str = "bench.handlers",
    ) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self.marks = Marks(folder / "marks")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.workers = workers
        self._values = {
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "HANDLERS": handlers,
            "PROCESSES": str(workers),
            "DURABILITY": durability,
            "MAX_PENDING": "10000000",
            "LOG_LEVEL": "warning",
        }
        named = {f"ORPHEUS_{name}": value for name, value in self._values.items()}
        self.env = environment(**named, **{FOLDER: str(self.marks.folder)})
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def settings(self) -> Settings:
        """What its programs see."""
        named = {f"ORPHEUS_{name}": value for name, value in self._values.items()}
        return load_settings(cwd=self.folder, environ=named)

    def run(self, *arguments: str) -> None:
        """Run an `orpheus` command to its end."""
        subprocess.run(
            self._command(*arguments),
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )

    def migrate(self) -> None:
        """Make the database."""
        self.run("migrate")

    @contextlib.contextmanager
    def api(self) -> Iterator[None]:
        """The API for the length of a block."""
        with self._program("api"):
            wait_for(self._alive, 30, f"the API of the benchmark: {tail(self.log)}")
            yield

    @contextlib.contextmanager
    def pool(self, ready: bool = True) -> Iterator[None]:
        """A pool for the length of a block; `ready` waits until its workers are."""
        with self._program("worker"):
            if ready:
                wait_for(self._manned, 30, f"the workers of the benchmark: {tail(self.log)}")
            yield

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return bytes(answer.read())

    def post(self, path: str, body: bytes) -> Any:
        """The parsed answer to a POST of JSON."""
        request = urllib.request.Request(
            self.url + path, body, {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What a read of its file finds."""
        uri = f"{self.settings.database_path.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def count(self, state: str) -> int:
        """Jobs in a state."""
        sql = "SELECT coalesce(sum(n), 0) FROM counters WHERE state = ?"
        return int(self.rows(sql, state)[0][0])

    def file_bytes(self, suffix: str = "") -> int:
        """The size of its database file, or of `-wal` beside it."""
        path = Path(f"{self.settings.database_path}{suffix}")
        return path.stat().st_size if path.exists() else 0

    def _alive(self) -> bool:
        self._check()
        try:
            self.get("/livez")
        except OSError:
            return False
        return True

    def _manned(self) -> bool:
        self._check()
        try:
            sql = "SELECT count(*) FROM workers WHERE ended_at IS NULL AND lane = 'sync'"
            return int(self.rows(sql)[0][0]) >= self.workers
        except sqlite3.Error:
            return False

    def _check(self) -> None:
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"orpheus ended with {process.returncode}: {tail(self.log)}")

    @contextlib.contextmanager
    def _program(self, name: str) -> Iterator[None]:
        process = start(self._command(name), self.log, self.env, self.folder)
        self.processes.append(process)
        try:
            yield
        finally:
            self.processes.remove(process)
            stop(process, signal.SIGTERM)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "orpheus.cli.main", *arguments]
