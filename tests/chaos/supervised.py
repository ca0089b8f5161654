"""A system under attack whose programs a real supervisord runs, on the shipped configuration."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.chaos.processes import children
from tests.chaos.programs import pid_of, try_second_again
from tests.chaos.systems import HANDLERS, ROOT, SETTINGS
from tests.support.checkout import Checkout
from tests.support.processes import alive
from tests.support.system import System

# The shipped startsecs is 1: what ends sooner is started later and later, and finally not at all.
_RIPE = 1.3
_COMMANDS = {"api": b"orpheus\0api", "main": b"orpheus\0worker"}


class UnderSupervisord(System):
    """The System of the other waves, except who runs `api` and the pool `main`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SETTINGS, handlers=HANDLERS)
        self.environment["PYTHONPATH"] = str(ROOT)
        prefix = "ORPHEUS_"
        settings = {
            name.removeprefix(prefix): value
            for name, value in self.environment.items()
            if name.startswith(prefix)
        }
        self.checkout = Checkout(ROOT, folder / "checkout", **settings)
        self.checkout.port = self.port
        self.checkout.environment["PYTHONPATH"] = str(ROOT)

    def start(self) -> None:
        started = self.checkout.start()
        if started.returncode:
            raise RuntimeError(f"scripts/start ended with {started.returncode}: {started.stderr}")

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self.checkout.close()

    def log(self) -> str:
        logs = (self.checkout.root / "var" / "log").glob("*.log")
        texts = [path.read_text(encoding="utf-8", errors="replace")[-5000:] for path in logs]
        return super().log() + "".join(texts)


class BySupervisord:
    """Nothing to tend; restarts by command run beside the other blows."""

    def __init__(self, system: UnderSupervisord) -> None:
        self._system = system
        self._commands: list[threading.Thread] = []
        self._seen: dict[int, float] = {}
        self.oddities: list[str] = []

    def pid(self, program: str) -> int | None:
        if program not in _COMMANDS:
            return pid_of(self._system, program)
        for child in children(self._supervisord()):
            if alive(child) and _COMMANDS[program] in _command(child):
                return child
        return None

    def tend(self) -> None:
        for program in _COMMANDS:
            if pid := self.pid(program):
                self._seen.setdefault(pid, time.monotonic())
        try_second_again(self._system)

    def ripe(self, program: str) -> bool:
        if program not in _COMMANDS:
            return True
        since = self._seen.get(self.pid(program) or 0, time.monotonic())
        return not self.busy() and time.monotonic() - since >= _RIPE

    def restart(self, program: str) -> None:
        command = threading.Thread(target=self._stop_and_start, args=(program,), daemon=True)
        self._commands.append(command)
        command.start()

    def busy(self) -> bool:
        return any(command.is_alive() for command in self._commands)

    def _stop_and_start(self, program: str) -> None:
        for act in ("stop", "start"):
            done = self._system.checkout.supervisorctl(act, program)
            if done.returncode:
                self.oddities.append(f"supervisorctl {act} {program}: {done.stdout}{done.stderr}")

    def _supervisord(self) -> int:
        path = self._system.checkout.root / "var" / "run" / "supervisord.pid"
        return int(path.read_text(encoding="ascii"))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
