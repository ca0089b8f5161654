"""The outbox: finished outcomes a worker leaves on the scoreboard before it starts its next job.

The worker appends and, once it has settled them itself, clears; maintenance reads, at any moment
and also after the worker's death. There is no lock: a reader may copy bytes that are being
overwritten, and then finds out, by the generation or an entry's checksum, and takes none of it.
"""

from __future__ import annotations

import struct
import zlib

from orpheus.clock import Clock, SystemClock
from orpheus.ipc.scoreboard import OUTBOX_SIZE, Slot

_ENTRY = struct.Struct("<II")  # length, crc32


class Outbox:
    """The outbox of one slot; the worker writes its own, maintenance reads anyone's."""

    def __init__(self, slot: Slot, clock: Clock | None = None) -> None:
        self._slot = slot
        self._clock = clock or SystemClock()

    def __len__(self) -> int:
        return self._slot.outbox_count

    @property
    def generation(self) -> int:
        """Changes with each `clear`; (generation, len) names what a reader has seen."""
        return self._slot.outbox_generation

    @property
    def oldest(self) -> int:
        """When the first entry was put in, monotonic nanoseconds; 0 when empty."""
        return self._slot.outbox_oldest

    def append(self, data: bytes) -> bool:
        """Put one entry in; False if it does not fit. The worker's."""
        slot = self._slot
        start = slot.outbox_used
        end = start + _ENTRY.size + len(data)
        if end > OUTBOX_SIZE:
            return False
        _ENTRY.pack_into(slot.data, start, len(data), zlib.crc32(data))
        slot.data[start + _ENTRY.size : end] = data
        if start == 0:
            slot.outbox_oldest = self._clock.monotonic()
        # After the bytes: what is not counted in yet does not exist, however we may die here.
        slot.outbox_used = end
        slot.outbox_count += 1
        return True

    def clear(self) -> None:
        """Empty it, after the worker's own transaction settled everything in it."""
        slot = self._slot
        slot.outbox_generation |= 1
        slot.outbox_used = 0
        slot.outbox_count = 0
        slot.outbox_oldest = 0
        slot.outbox_generation += 1

    def entries(self) -> list[bytes]:
        """Copies of all complete entries, in order; empty if they changed while being copied."""
        slot = self._slot
        generation = slot.outbox_generation
        copy = bytes(slot.data[: min(slot.outbox_used, OUTBOX_SIZE)])
        # Odd: it is being cleared, or its worker died clearing, after it had settled them.
        if generation % 2 or slot.outbox_generation != generation:
            return []
        return _parse(copy)


def _parse(data: bytes) -> list[bytes]:
    entries = []
    position = 0
    while position + _ENTRY.size <= len(data):
        length, checksum = _ENTRY.unpack_from(data, position)
        position += _ENTRY.size
        entry = data[position : position + length]
        if len(entry) != length or zlib.crc32(entry) != checksum:
            break
        entries.append(entry)
        position += length
    return entries
