"""The real `Context`: what a running handler asks and tells.

Made by `execute` for each attempt. Reads the slot's words and hands output to a sink; never
blocks, and never raises into the handler except from `check`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from orpheus.clock import Clock
from orpheus.domain.attempt import Claim
from orpheus.errors import JobCancelled, JobTimedOut
from orpheus.handlers.strict_json import dump_json, parse_json
from orpheus.worker.soft_stop import SlotWords
from orpheus.worker.text import clean

# Eight a second, so that the last one, which is always sent, stays within ten.
_PROGRESS_INTERVAL_NS = 125_000_000
_MAX_PROGRESS_MESSAGE = 200
_MAX_LOG_MESSAGE = 4096
_MAX_FIELD = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OutputSink(Protocol):
    """Takes what a job says while it runs. Must neither block nor raise."""

    def emit(
        self,
        kind: Literal["log", "progress"],
        claim: Claim,
        at: int,
        level: str,
        message: str,
        fields: Mapping[str, object],
    ) -> None:
        """Pass on one record; `at` is wall microseconds.

        `fields` hold JSON values; those of progress are value (0 to 1), current and total.
        """


class RunContext:
    """The context of one attempt."""

    def __init__(
        self, claim: Claim, slot: SlotWords, sink: OutputSink, clock: Clock, deadline: int
    ) -> None:
        """`deadline` is wall microseconds; the slot has the monotonic one by now."""
        self._claim = claim
        self._slot = slot
        self._sink = sink
        self._clock = clock
        self._deadline = deadline
        self._deadline_mono = slot.deadline_mono
        self._log: RunLog | None = None
        self._progress_due = 0
        self._unsent: tuple[dict[str, object], str] | None = None

    @property
    def job_id(self) -> int:
        return self._claim.job_id

    @property
    def type(self) -> str:
        return self._claim.type

    @property
    def attempt(self) -> int:
        return self._claim.number

    @property
    def deadline(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._deadline)

    @property
    def cancelled(self) -> bool:
        return self._slot.cancel == self._claim.attempt_id

    @property
    def log(self) -> RunLog:
        if self._log is None:
            self._log = RunLog(self._claim, self._sink, self._clock)
        return self._log

    def check(self) -> None:
        if self.cancelled:
            raise JobCancelled("the job was cancelled")
        if self._clock.monotonic() >= self._deadline_mono:
            raise JobTimedOut("the attempt ran out of time")

    def progress(self, current: float, total: float = 1, message: str = "") -> None:
        value = _share(current, total)
        if value is None:
            self.log.warning("progress needs two finite numbers, the total above 0; ignored")
            return
        fields: dict[str, object] = {"value": value, "current": current, "total": total}
        self._unsent = (fields, clean(message, _MAX_PROGRESS_MESSAGE))
        if self._clock.monotonic() >= self._progress_due:
            self.flush()

    def flush(self) -> None:
        """Send the progress that came too soon after the last; `execute` calls it at the end."""
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            self._progress_due = self._clock.monotonic() + _PROGRESS_INTERVAL_NS
            fields, message = unsent
            self._sink.emit("progress", self._claim, self._clock.now(), "info", message, fields)


class RunLog:
    """The job's log."""

    def __init__(self, claim: Claim, sink: OutputSink, clock: Clock) -> None:
        self._claim = claim
        self._sink = sink
        self._clock = clock

    def debug(self, message: str, **fields: object) -> None:
        self._write("debug", message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._write("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write("error", message, fields)

    def critical(self, message: str, **fields: object) -> None:
        self._write("critical", message, fields)

    def _write(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        plain = {clean(name, _MAX_FIELD): _plain(value) for name, value in fields.items()}
        text = clean(message, _MAX_LOG_MESSAGE)
        self._sink.emit("log", self._claim, self._clock.now(), level, text, plain)


def _share(current: object, total: object) -> float | None:
    """`current` of `total` as 0 to 1; None where that is no number."""
    if not isinstance(current, (int, float)) or not isinstance(total, (int, float)):
        return None
    try:
        if total <= 0 or not math.isfinite(total) or not math.isfinite(current):
            return None
        return min(1.0, max(0.0, current / total))
    except ArithmeticError:
        return None


def _plain(value: object) -> object:
    """A field of a log line as a JSON value; as text where it is none."""
    if isinstance(value, str):
        return clean(value, _MAX_FIELD)
    try:
        return parse_json(dump_json(value).encode())
    except Exception:
        return clean(value, _MAX_FIELD)
