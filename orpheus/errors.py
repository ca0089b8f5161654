"""Every error Orpheus raises on purpose, and the exit codes its programs end with.

Handlers import `PermanentError` from the package root. The API maps `RequestError` to problem
documents; the programs map `ProgramError` to an exit code.
This module imports nothing of Orpheus.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_INTERNAL = 70
EXIT_TEMPORARY = 75
EXIT_CONFIGURATION = 78


class OrpheusError(Exception):
    """Base of all errors raised by Orpheus itself."""


# --- raised by handlers ---------------------------------------------------------------------------


class PermanentError(OrpheusError):
    """Raised by a handler: the job cannot succeed, do not retry it."""


class JobInterrupt(BaseException):
    """Base of what is raised inside a handler to stop it.

    A BaseException, so that `except Exception` in a handler does not swallow it.
    """


class JobCancelled(JobInterrupt):
    """Raised in a handler whose job was asked to cancel."""


class JobTimedOut(JobInterrupt):
    """Raised in a handler that ran longer than its timeout."""


# --- programs -------------------------------------------------------------------------------------


class ProgramError(OrpheusError):
    """Ends a program with `exit_code`; its text is the one line the operator reads."""

    exit_code = EXIT_INTERNAL


class ConfigurationError(ProgramError):
    """Settings, handler modules or the schema are wrong: restarting does not help (78)."""

    exit_code = EXIT_CONFIGURATION


class TemporaryError(ProgramError):
    """Something that a restart may cure, such as a pool that already runs (75)."""

    exit_code = EXIT_TEMPORARY


class StoreFailed(TemporaryError):
    """The database cannot be trusted or written: do not acknowledge, exit 75."""


class StoreBusy(OrpheusError):
    """The write lock could not be had within the budget; nothing was written."""


class StoreFull(StoreBusy):
    """The disk is full: nothing was written, and what was asked for may be tried again."""


class StatementRefused(OrpheusError):
    """A statement given to a submit's `also` may not run inside the write gate."""


class StatementTooSlow(OrpheusError):
    """The statements of a submit's `also` took longer than they may hold the write gate."""


class ForkRefused(OrpheusError):
    """A fork was attempted in a process that has a database connection or a second thread."""


# --- answers to a request -------------------------------------------------------------------------


class RequestError(OrpheusError):
    """A request that cannot be met. `code` is from the contract's closed list."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class InvalidRequest(RequestError):
    """The request itself is wrong; `errors` name the places as `(loc, msg)`."""

    def __init__(
        self, code: str, detail: str, errors: tuple[tuple[tuple[str | int, ...], str], ...] = ()
    ) -> None:
        super().__init__(code, detail)
        self.errors = errors
