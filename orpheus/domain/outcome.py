"""What a worker reports of a finished attempt, and its form in the outbox.

Written by `worker.execute`, carried by `ipc.outbox`, settled by `store.settle`. The encoding is
plain data because the bytes outlive the process that wrote them.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from orpheus.domain.attempt import Outcome

_DONE_MARK = b"D"
_DONE = struct.Struct("<cqqq")


@dataclass(frozen=True, slots=True)
class AttemptError:
    """Why an attempt did not end `done`; `kind` is the outcome it led to."""

    type: str
    message: str
    kind: str
    traceback: str | None = None

    def to_json(self) -> str:
        """The `error` of the contract, as ASCII JSON text."""
        return json.dumps(
            {
                "type": self.type,
                "message": self.message,
                "kind": self.kind,
                "traceback": self.traceback,
            }
        )


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """The end of one attempt.

    Times are microseconds since the epoch; `started_at` is None where user code never ran.
    `result` is JSON text and only given with `Outcome.DONE`; `exit` is the end of the process
    ("SIGKILL", "exit 3") where that ended the attempt.
    """

    attempt_id: int
    outcome: Outcome
    started_at: int | None
    finished_at: int
    result: str | None = None
    error: AttemptError | None = None
    exit: str | None = None

    def encode(self) -> bytes:
        """Bytes for the outbox."""
        error = self.error
        result, started_at = self.result, self.started_at
        if self.outcome is Outcome.DONE and result and result.isascii() and started_at is not None:
            # Most outcomes, one for each job: a fifth of the time of the general form.
            head = _DONE.pack(_DONE_MARK, self.attempt_id, started_at, self.finished_at)
            return head + result.encode()
        return json.dumps(
            [
                self.attempt_id,
                self.outcome,
                self.started_at,
                self.finished_at,
                self.result,
                error and [error.type, error.message, error.kind, error.traceback],
                self.exit,
            ],
            separators=(",", ":"),
        ).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> FinishedAttempt:
        """The inverse of `encode`; ValueError where the bytes are not one."""
        if data[:1] == _DONE_MARK:
            _, attempt_id, started_at, finished_at = _DONE.unpack_from(data)
            result = data[_DONE.size :].decode()
            return cls(attempt_id, Outcome.DONE, started_at, finished_at, result)
        attempt_id, outcome, started_at, finished_at, result, error, exit_ = json.loads(data)
        return cls(
            attempt_id,
            Outcome(outcome),
            started_at,
            finished_at,
            result,
            AttemptError(*error) if error else None,
            exit_,
        )
