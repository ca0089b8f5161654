"""What a handler prints: lines of its job's log instead of a stream that could break or block.

Stands in for `sys.stdout` and `sys.stderr` of a worker. Sends whole lines to the output pipe, at
most 64 KiB an attempt, and never waits or raises. What is written to the descriptors themselves (by
a C library, by a subprocess) goes to the program's own log as before.
"""

from __future__ import annotations

import io
from typing import Any, Literal, Protocol, TextIO

from orpheus.clock import Clock
from orpheus.domain.attempt import Claim
from orpheus.worker.current import Current
from orpheus.worker.text import clean

MOST = 64 * 1024
# Of one record, so that the pipe takes it in one piece.
_LINE = 2000

Stream = Literal["stdout", "stderr"]


class PrintSink(Protocol):
    """Takes lines. Must neither block nor raise."""

    def line(self, stream: Stream, claim: Claim, at: int, message: str) -> None:
        """Pass on one line; `at` is wall microseconds."""


class Prints(io.TextIOBase):
    """One of the two streams."""

    def __init__(
        self, stream: Stream, before: TextIO | None, current: Current, sink: PrintSink, clock: Clock
    ) -> None:
        """`before` is the stream this one replaces: for what is printed when nothing runs."""
        super().__init__()
        self._stream: Stream = stream
        self._before = before
        self._current = current
        self._sink = sink
        self._clock = clock
        self._claim: Claim | None = None
        self._left = MOST
        # The beginning of a line; what nobody ended is sent when the attempt has ended.
        self.pending = ""
        self.buffer = _Bytes(self)

    def end(self) -> None:
        """Send the last line, which nobody ended."""
        text, self.pending = self.pending, ""
        if text:
            self._send(text)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._claim is not self._current.claim:
            self._claim = self._current.claim
            self._left = MOST
        if self._claim is None:
            return self._pass_on(text)
        if self._left >= 0:
            # More than can be sent need not be searched for lines.
            *lines, self.pending = (self.pending + text[: MOST + 1]).split("\n")
            for line in lines:
                self._send(line)
            while len(self.pending) > _LINE:
                self._send(self.pending[:_LINE])
                self.pending = self.pending[_LINE:]
        return len(text)

    def _send(self, line: str) -> None:
        claim = self._claim
        if claim is None or self._left < 0:
            return
        self._left -= len(line) + 1
        if self._left < 0:
            line, self.pending = f"[more than {MOST // 1024} KiB printed: the rest is dropped]", ""
        for start in range(0, max(1, len(line)), _LINE):
            part = clean(line[start : start + _LINE], _LINE)
            self._sink.line(self._stream, claim, self._clock.now(), part)

    def _pass_on(self, text: str) -> int:
        if self._before is not None:
            try:
                self._before.write(text)
            except (OSError, ValueError):
                pass  # its reader is gone
        return len(text)

    # --- what code expects of the stream it replaces ----------------------------------------------

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    @property
    def name(self) -> str:
        return f"<{self._stream}>"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        # For subprocesses, which are given the descriptor itself.
        return 1 if self._stream == "stdout" else 2

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Not this one: the next job prints, too."""


class _Bytes(io.RawIOBase):
    """For code that writes bytes."""

    def __init__(self, text: Prints) -> None:
        super().__init__()
        self._text = text

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._text.write(bytes(view).decode("utf-8", "backslashreplace"))
        return view.nbytes

    def close(self) -> None:
        """As the text's."""
