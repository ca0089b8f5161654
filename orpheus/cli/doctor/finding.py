"""One line of `orpheus doctor`: what was looked at, how it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orpheus.errors import EXIT_CONFIGURATION, EXIT_OK

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is empty where all is well; `exit_code` is 0 unless it is a problem."""

    check: str
    level: Level
    message: str
    advice: str = ""
    exit_code: int = EXIT_OK


def ok(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


def warning(check: str, message: str, advice: str) -> Finding:
    return Finding(check, "warning", message, advice)


def problem(check: str, message: str, advice: str, exit_code: int = EXIT_CONFIGURATION) -> Finding:
    """75 for what may pass by itself, 78 for what somebody has to change."""
    return Finding(check, "problem", message, advice, exit_code)
