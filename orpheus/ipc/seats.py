"""What the master hands to the main function of each child: where its shared things are.

Made by `pool`, used by `worker` and `maintenance`. Descriptors are open in the child already;
the scoreboard is named, the child opens it itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WorkerSeat:
    """The place of one worker."""

    pool: str
    slot_index: int
    board_path: Path
    # Write end of the pool's output pipe, non-blocking.
    output_fd: int
    # Read end of a pipe only the master can write to: end of file means the master is gone.
    lifeline_fd: int
    # One byte says that this worker is registered and about to take work; then it is closed.
    ready_fd: int
    # A file for where it is when asked (`SHOW_STACK`), which the master reads.
    stack_fd: int


@dataclass(frozen=True, slots=True)
class MaintenanceSeat:
    """The place of a pool's maintenance process."""

    pool: str
    board_path: Path
    # Read end of the pool's output pipe, non-blocking.
    output_fd: int
    lifeline_fd: int
