"""The maintenance process of a pool: set up, run the loop, close."""

from __future__ import annotations

import signal
from types import FrameType

from orpheus.clock import SystemClock
from orpheus.errors import EXIT_OK
from orpheus.ipc.doorbell import Doorbell, maintenance_bell, ring
from orpheus.ipc.scoreboard import Scoreboard
from orpheus.ipc.seats import MaintenanceSeat
from orpheus.log import bind
from orpheus.maintenance.loop import Loop
from orpheus.maintenance.output import Output
from orpheus.maintenance.pool import Pool
from orpheus.settings import Settings
from orpheus.store.database import Database


def main(seat: MaintenanceSeat, settings: Settings) -> int:
    """Maintain the pool until TERM; the exit code. Raises ProgramError where it cannot go on."""
    bind(role="maintenance", pool=seat.pool)
    clock = SystemClock()
    board = Scoreboard.open(seat.board_path)
    board.maintenance_beat = clock.monotonic()
    bell = Doorbell(maintenance_bell(settings.run_dir, seat.pool))
    database = Database(settings, clock)
    pool = Pool(seat.pool, board, database, settings, clock)
    loop = Loop(pool, bell, Output(pool, seat.output_fd), seat.lifeline_fd)
    _stop_on_signals(loop, bell)
    loop.run()
    database.close()
    bell.close()
    return EXIT_OK


def _stop_on_signals(loop: Loop, bell: Doorbell) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.stopping = True
        # select() goes on after a signal by itself; the bell ends it.
        ring(bell.path)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
