"""The one-shot child that makes the database ready before a pool starts, then exits."""

from __future__ import annotations

from orpheus.clock import SystemClock
from orpheus.errors import EXIT_OK, EXIT_TEMPORARY, ProgramError, StoreBusy
from orpheus.log import get_logger
from orpheus.settings import Settings
from orpheus.store.migrate import migrate

_log = get_logger("store.prepare")


def main(settings: Settings) -> int:
    """Check and migrate; the exit code becomes the master's where it is not 0."""
    try:
        version = migrate(settings, SystemClock())
    except ProgramError as error:
        _log.error("database not usable", error=str(error))
        return error.exit_code
    except StoreBusy as error:
        _log.error("database busy", error=str(error))
        return EXIT_TEMPORARY
    _log.info("database ready", schema=version)
    return EXIT_OK
