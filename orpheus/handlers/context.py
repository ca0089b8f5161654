"""What a handler sees of its own run.

An interface only: the worker supplies the real one, `orpheus.testing` a fake. A parameter
annotated with `Context` is injected and is no part of the payload.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class JobLog(Protocol):
    """Writes lines to the job's log. Fields are kept as JSON where they can be.

    Never blocks and never raises; what does not fit is dropped and counted.
    """

    def debug(self, message: str, **fields: object) -> None:
        """A line for whoever looks closely."""

    def info(self, message: str, **fields: object) -> None:
        """An ordinary line."""

    def warning(self, message: str, **fields: object) -> None:
        """Something odd that did not stop the job."""

    def error(self, message: str, **fields: object) -> None:
        """Something that went wrong."""

    def critical(self, message: str, **fields: object) -> None:
        """Something that somebody must look at."""


class Context(Protocol):
    """The run a handler is in."""

    @property
    def job_id(self) -> int:
        """Id of the job."""

    @property
    def type(self) -> str:
        """Name of the job's type."""

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""

    @property
    def deadline(self) -> datetime:
        """When this attempt runs out of time (UTC)."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to cancel the job."""

    @property
    def log(self) -> JobLog:
        """The job's log."""

    def check(self) -> None:
        """Raise JobCancelled or JobTimedOut if the job was cancelled or is out of time."""

    def progress(self, current: float, total: float = 1, message: str = "") -> None:
        """Tell how far the job is. Shown at most ten times a second, the last value always.

        Never blocks and never raises.
        """
