"""What an exception of a handler means: the outcome of the attempt and the error to store.

Called by `execute` once the user code has ended. Tracebacks show the user's frames only. Lets
nothing that an exception's own `__str__` does escape.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException

import anyio

from orpheus.domain.attempt import Outcome
from orpheus.domain.outcome import AttemptError
from orpheus.errors import JobCancelled, JobTimedOut, PermanentError
from orpheus.worker.text import clean, clean_middle

_MAX_MESSAGE = 4096
_TRACEBACK_HEAD = 8 * 1024
_TRACEBACK_TAIL = 23 * 1024


def _folder(file: str) -> str:
    return str(Path(file).parent) + os.sep


_OURS = _folder(__file__)
_BELOW_THE_HANDLER = (_OURS, _folder(anyio.__file__), _folder(asyncio.__file__))


class Refused(Exception):
    """We end the attempt for good: the payload or the result is not what it must be."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def failure_of(error: BaseException, soft_stop: Outcome | None) -> tuple[Outcome, AttemptError]:
    """The outcome and the error that `error` ends an attempt with.

    `soft_stop` is the outcome that was asked for by a soft stop raised in this attempt: whatever
    else came out of the handler then came out because of it.
    """
    cause = _only_cause(error)
    if isinstance(cause, Refused):
        kind = Outcome.FAILED_PERMANENT
        return kind, AttemptError(cause.code, clean(cause, _MAX_MESSAGE), kind.value)
    kind = _outcome(cause, soft_stop)
    return kind, AttemptError(
        clean(type(cause).__name__, 200), _message(cause), kind.value, _traceback(error)
    )


def _only_cause(error: BaseException) -> BaseException:
    """Task groups wrap even a single exception; it is what the handler meant."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _outcome(error: BaseException, soft_stop: Outcome | None) -> Outcome:
    if isinstance(error, JobTimedOut):
        return Outcome.TIMED_OUT
    if isinstance(error, JobCancelled):
        return Outcome.CANCELLED
    if isinstance(error, PermanentError):
        return Outcome.FAILED_PERMANENT
    return soft_stop or Outcome.FAILED


def _message(error: BaseException) -> str:
    try:
        return clean(error, _MAX_MESSAGE)
    except BaseException:  # a __str__ that exits must not take the worker with it
        return f"<{type(error).__name__} whose __str__ raises>"


def _traceback(error: BaseException) -> str | None:
    try:
        described = TracebackException.from_exception(error, compact=True)
        _trim(described)
        return clean_middle("".join(described.format()), _TRACEBACK_HEAD, _TRACEBACK_TAIL)
    except BaseException:  # as above: formatting calls __str__ all along the chain
        return None


def _trim(described: TracebackException) -> None:
    described.stack = StackSummary.from_list(_users(list(described.stack)))
    chain = [described.__cause__, described.__context__, *(described.exceptions or ())]
    for other in chain:
        if other is not None:
            _trim(other)


def _users(frames: list[FrameSummary]) -> list[FrameSummary]:
    """Without what is below the handler (us, the event loop) and what it called of ours."""
    start, end = 0, len(frames)
    while start < end and frames[start].filename.startswith(_BELOW_THE_HANDLER):
        start += 1
    while start < end and frames[end - 1].filename.startswith(_OURS):
        end -= 1
    return frames[start:end]
