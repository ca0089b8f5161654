"""Structured logging: one line per fact, to standard error, that never hurts a job.

Programs call `configure` once; everything else takes a logger from `get_logger`. JSON lines in
files, readable text on a terminal. A reader that died or a full pipe costs lines (counted in
`dropped_lines`), never an exception and never a wait.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
# What a pipe takes in one piece (POSIX): longer lines of several processes could mix.
_MAX_LINE = 4096
# Text that no line is too long for.
_SHORT = 32
_SECRETS = ("password", "token", "secret", "authorization", "cookie", "api_key")

dropped_lines = 0


class _Sink:
    """Writes whole lines to one descriptor; drops what cannot be written at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def msg(self, message: str) -> None:
        global dropped_lines
        data = message.encode("utf-8", "backslashreplace")
        if len(data) >= _MAX_LINE:
            data = data[: _MAX_LINE - 4].decode("utf-8", "ignore").encode() + b"..."
        try:
            # select first: the descriptor is shared with others, so it must not be made
            # non-blocking; a pipe reported writable takes PIPE_BUF bytes in one piece.
            if not select.select([], [self._descriptor], [], 0)[1]:
                dropped_lines += 1
                return
            os.write(self._descriptor, data + b"\n")
        except (OSError, ValueError):
            dropped_lines += 1

    log = debug = info = warning = error = critical = fatal = failure = err = warn = exception = msg


def configure(program: str, format_: str = "auto", level: str = "info") -> None:
    """Set up logging for this process.

    `program` is bound to every line. `format_` is auto (text on a terminal, else JSON), json or
    text; `level` one of debug, info, warning, error, critical.
    """
    descriptor = 2
    text = format_ == "text" or (format_ == "auto" and _is_terminal(descriptor))
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=_is_terminal(descriptor))
        if text
        else structlog.processors.JSONRenderer(default=repr)
    )
    sink = _Sink(descriptor)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _redact,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _fitting(renderer),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level.lower(), 20)),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(program=program, pid=os.getpid())


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that puts `name` on each of its lines."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


def bind(**values: object) -> None:
    """Put values (job, attempt, worker …) on every later line of this context."""
    structlog.contextvars.bind_contextvars(**values)


def unbind(*names: str) -> None:
    """Take values off again."""
    structlog.contextvars.unbind_contextvars(*names)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor) and sys.stderr is not None
    except OSError:
        return False


def _fitting(render: structlog.typing.Processor) -> structlog.typing.Processor:
    """Shorten the longest text of a line until it fits, so that JSON stays JSON.

    Of a traceback the end is kept, which names the error, of everything else the beginning.
    """

    def rendered(
        logger: Any, name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.ProcessorReturnValue:
        while True:
            line = render(logger, name, dict(event))
            if not isinstance(line, str) or len(line.encode("utf-8", "replace")) < _MAX_LINE:
                return line
            longest = max(event, key=lambda key: len(str(event[key])))
            text = str(event[longest])
            if len(text) <= _SHORT:
                return line
            kept = len(text) * 3 // 4
            event[longest] = (
                f"... {text[-kept:]}" if longest == "exception" else f"{text[:kept]} ..."
            )

    return rendered


def _redact(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key in event:
        if any(word in key.lower() for word in _SECRETS):
            event[key] = "[redacted]"
    return event
