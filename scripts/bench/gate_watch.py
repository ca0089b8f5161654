"""How long the gate is held, seen from outside by its record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from orpheus.ipc.locks import read_record

_LOOK_EACH = 0.0005
SEEN = "holds seen by looking 2,000 times a second: the shortest are missed"


def observed(gate: Path, act: Callable[[], object]) -> list[float]:
    """Milliseconds of the holds of a gate while `act` runs, as far as they could be seen."""
    holds: dict[tuple[int, int], float] = {}
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            record = read_record(gate)
            if record is not None:
                held = (time.monotonic_ns() - record.entered) / 1e6
                holds[record.pid, record.entered] = held
            time.sleep(_LOOK_EACH)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        act()
        time.sleep(0.2)
    finally:
        over.set()
        watcher.join()
    return list(holds.values()) or [0.0]
