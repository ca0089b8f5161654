"""A pool whose children are small fakes, run as a program: `python -m tests.pool.fake_pool JSON`.

The master is the real one. What the children shall do comes as JSON; what they did is read from
the scoreboard and from files in the pool's folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orpheus import log
from orpheus.clock import SystemClock
from orpheus.ipc.locks import Turnstile
from orpheus.ipc.process import SOFT_STOP
from orpheus.ipc.scoreboard import ALIVE, DEAD, FREE, Scoreboard, Slot
from orpheus.ipc.seats import MaintenanceSeat, WorkerSeat
from orpheus.pool.master import run
from orpheus.pool.spec import PoolSpec

_PAUSE = 0.005


class FastClock(SystemClock):
    """Monotonic time that runs faster, so that long patience can be watched running out."""

    def __init__(self, speed: int) -> None:
        super().__init__()
        self._speed = speed

    def monotonic(self) -> int:
        return super().monotonic() * self._speed


@dataclass
class Fakes:
    """The children; `options` are those of `tests.pool.harness.Pool`."""

    folder: Path
    options: dict[str, Any]

    def note(self, file: str, **values: object) -> None:
        line = json.dumps({"pid": os.getpid(), **values}) + "\n"
        descriptor = os.open(self.folder / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def _notes(self, file: str) -> list[str]:
        return (self.folder / file).read_text().splitlines()

    # --- prepare and maintenance ------------------------------------------------------------------

    def prepare(self) -> int:
        self.note("prepared")
        if self.options.get("prepare") == "hang":
            _pause_for_ever()
        return int(self.options.get("prepare", 0))

    def maintenance(self, seat: MaintenanceSeat) -> int:
        if "maintenance_exit" in self.options:
            return int(self.options["maintenance_exit"])
        asked = _flag_on(signal.SIGTERM)
        board = Scoreboard.open(seat.board_path)
        while True:
            ending = bool(asked)
            if not (self.folder / "silent").exists():
                board.maintenance_beat = time.monotonic_ns()
            if not self.options.get("never_settle"):
                for slot in board.slots:
                    if slot.state == DEAD:
                        self._settle(slot)
            if (self.folder / "hold_gate").exists():
                self._hold_gate()
            if ending:
                self.note("maintenance_stopped")
                return 0
            time.sleep(_PAUSE)

    def _settle(self, slot: Slot) -> None:
        self.note(
            "settled",
            slot=slot.index,
            worker=slot.pid,
            start_time=slot.start_time,
            status=slot.exit_status,
            armed=slot.armed,
            killed_for=slot.killed_for,
            killed_why=slot.killed_why,
        )
        slot.state = FREE

    def _hold_gate(self) -> None:
        (self.folder / "hold_gate").unlink()
        turnstile = Turnstile(self.folder / "locks" / "turn", self.folder / "gate")
        turnstile.acquire()
        self.note("holds_gate")
        os.kill(os.getpid(), signal.SIGSTOP)

    # --- workers ----------------------------------------------------------------------------------

    def worker(self, seat: WorkerSeat) -> int:
        self.note("workers", slot=seat.slot_index)
        if "worker_exit" in self.options:
            return int(self.options["worker_exit"])
        if self.options.get("hangs") and len(self._notes("workers")) <= self.options["hangs"]:
            _pause_for_ever()
        asked = _flag_on(signal.SIGTERM)
        board = Scoreboard.open(seat.board_path)
        slot = board.slots[seat.slot_index]
        slot.worker_id = seat.slot_index + 1
        slot.state = ALIVE
        os.write(seat.ready_fd, b"r")
        behaviour: Callable[[WorkerSeat, Slot, list[int]], int] = getattr(
            self, "_" + self.options.get("worker", "idle")
        )
        return behaviour(seat, slot, asked)

    def _idle(self, _seat: WorkerSeat, _slot: Slot, asked: list[int]) -> int:
        while not asked:
            time.sleep(_PAUSE)
        self.note("worker_stopped")
        return 0

    def _recycled(self, _seat: WorkerSeat, slot: Slot, asked: list[int]) -> int:
        """Leaves by itself after a job."""
        slot.finished += 1
        return 0

    def _stubborn(self, _seat: WorkerSeat, slot: Slot, _asked: list[int]) -> int:
        slot.token = slot.armed = 7
        _pause_for_ever()
        return 0

    def _parent(self, seat: WorkerSeat, slot: Slot, asked: list[int]) -> int:
        """Has started a program of its own, as a job may."""
        program = subprocess.Popen(["/bin/sleep", "600"], stdin=subprocess.DEVNULL)
        self.note("programs", program=program.pid)
        return self._idle(seat, slot, asked)

    def _forker(self, seat: WorkerSeat, slot: Slot, asked: list[int]) -> int:
        """Has forked, and its child left the group, so that nobody finds and kills it."""
        if (pid := os.fork()) == 0:
            os.setpgid(0, 0)
            _pause_for_ever()
        self.note("programs", program=pid)
        return self._idle(seat, slot, asked)

    def _overdue(self, _seat: WorkerSeat, slot: Slot, asked: list[int]) -> int:
        """Runs attempt 5, deaf to the soft stop, past its deadline."""
        stops = _flag_on(SOFT_STOP)
        slot.token = 5
        slot.deadline_mono = time.monotonic_ns() + 50_000_000
        slot.armed = 5
        seen = 0
        while not asked:
            if len(stops) > seen:
                seen = len(stops)
                self.note("soft_stops", at=time.monotonic(), timeout=slot.timeout)
            time.sleep(_PAUSE)
        return 0

    def _polite(self, _seat: WorkerSeat, slot: Slot, asked: list[int]) -> int:
        """Runs attempt after attempt past the deadline and ends each at the soft stop."""
        stops = _flag_on(SOFT_STOP)
        while not asked:
            seen = len(stops)
            slot.deadline_mono = time.monotonic_ns() + 20_000_000
            slot.token = slot.armed = slot.armed + slot.finished + 1
            while len(stops) == seen and not asked:
                time.sleep(_PAUSE)
            attempt, slot.armed = slot.armed, 0
            self.note("soft_stops", attempt=attempt, timeout=slot.timeout, cancel=slot.cancel)
            slot.finished += 1
        return 0

    def _cancelled(self, _seat: WorkerSeat, slot: Slot, asked: list[int]) -> int:
        """Runs attempt 9, without a deadline; the test plays maintenance and asks to cancel."""
        stops = _flag_on(SOFT_STOP)
        slot.token = slot.armed = 9
        seen = 0
        while not asked:
            if len(stops) > seen:
                seen = len(stops)
                self.note("soft_stops", at=time.monotonic(), cancel=slot.cancel)
            time.sleep(_PAUSE)
        return 0


def _flag_on(number: int) -> list[int]:
    seen: list[int] = []
    signal.signal(number, lambda got, _frame: seen.append(got))
    return seen


def _pause_for_ever() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def main(arguments: str) -> int:
    options = json.loads(arguments)
    folder = Path(options["folder"])
    log.configure("worker", "json", "debug")
    fakes = Fakes(folder, options)
    return run(
        PoolSpec(
            pool=options.get("pool", "main"),
            processes=options.get("processes", 2),
            run_dir=folder / "run",
            locks_dir=folder / "locks",
            gate_path=folder / "gate",
            lease_seconds=options.get("lease", 15),
            drain_seconds=options.get("drain", 10),
            grace_seconds=options.get("grace", 5),
            start_seconds=options.get("start", 120),
            prepare=fakes.prepare,
            maintenance=fakes.maintenance,
            worker=fakes.worker,
            clock=FastClock(options["speed"]) if "speed" in options else SystemClock(),
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
