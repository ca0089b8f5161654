"""What jobs say while they run: log lines and progress, sent by workers to maintenance.

All workers of a pool write to one pipe. A record is at most 4 KiB and written in one piece,
which a pipe keeps whole; a full pipe drops it, so a chatty job never waits. Whoever writes
counts the drops.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["log", "stdout", "stderr", "progress"]

_MAX_RECORD = 4096  # PIPE_BUF of Linux: what is atomic
_LENGTH = struct.Struct("<I")
_MAX_BODY = _MAX_RECORD - _LENGTH.size
_CUT = "… [truncated]"
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Record:
    """One line (logged, or printed to a stream) or one step of progress of an attempt."""

    kind: Kind
    job_id: int
    attempt_id: int
    attempt: int
    at: int  # wall microseconds
    level: str
    message: str
    fields: dict[str, Any] = field(default_factory=dict)


def encode_record(
    kind: Kind,
    job_id: int,
    attempt_id: int,
    attempt: int,
    at_us: int,
    level: str,
    message: str,
    fields: dict[str, Any] | None = None,
) -> bytes:
    """The record as it goes into the pipe; what is too long is cut and says so."""
    head = [kind, job_id, attempt_id, attempt, at_us, level[:32]]
    extra = fields or {}
    body = _dump([*head, message, extra])
    if len(body) > _MAX_BODY and extra:
        if len(_dump(extra)) > _MAX_BODY // 2:
            extra = {"fields": _CUT}
        body = _dump([*head, message, extra])
    if len(body) > _MAX_BODY:
        room = _MAX_BODY - len(_dump([*head, _CUT, extra]))
        body = _dump([*head, _cut(message, room), extra])
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Record:
    """The record in the body `encode_record` wrote; ValueError if it is none."""
    values = json.loads(body)
    if not isinstance(values, list) or len(values) != 8:
        raise ValueError("not an output record")
    return Record(*values)


def write_record(descriptor: int, record: bytes) -> bool:
    """Write to the (non-blocking) pipe; False if it was dropped. Never raises, never waits."""
    try:
        return os.write(descriptor, record) == len(record)
    except OSError:
        return False


class OutputReader:
    """Maintenance's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.damaged = 0

    def fileno(self) -> int:
        return self._descriptor

    def read(self, limit: int = 16 * _CHUNK) -> list[Record]:
        """All whole records waiting, up to about `limit` bytes."""
        taken = 0
        while taken < limit:
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                break
            if not chunk:
                break
            taken += len(chunk)
            self._rest += chunk
        return self._split()

    def _split(self) -> list[Record]:
        records = []
        data, position = self._rest, 0
        while position + _LENGTH.size <= len(data):
            (length,) = _LENGTH.unpack_from(data, position)
            if length > _MAX_BODY:
                # Something else wrote here; where the next record begins is unknown.
                self.damaged += 1
                position = len(data)
                break
            end = position + _LENGTH.size + length
            if end > len(data):
                break
            try:
                records.append(decode(data[position + _LENGTH.size : end]))
            except ValueError:
                self.damaged += 1
            position = end
        self._rest = data[position:]
        return records


def _dump(value: object) -> bytes:
    # ASCII: bytes can be counted as characters, and lone surrogates are no problem.
    return json.dumps(value, separators=(",", ":"), default=str).encode("ascii")


def _cut(message: str, room: int) -> str:
    """The longest beginning of `message` that takes at most `room` bytes as JSON, marked."""
    low, high = 0, min(len(message), max(room, 0))
    while low < high:
        middle = (low + high + 1) // 2
        if len(_dump(message[:middle])) - 2 <= room:
            low = middle
        else:
            high = middle - 1
    return message[:low] + _CUT
