"""The system under attack, with settings that let a campaign see much in little time."""

from __future__ import annotations

from pathlib import Path

from tests.support.system import System

ROOT = Path(__file__).resolve().parent.parent.parent
HANDLERS = "orpheus.handlers.samples,tests.chaos.handlers"
SETTINGS = {"LEASE_SECONDS": "4", "DRAIN_SECONDS": "5", "LOG_LEVEL": "warning"}


def system_for_chaos(folder: Path, **environment: str) -> System:
    """API and pool as processes of the test's own, with the handlers of this folder."""
    system = System(folder, {**SETTINGS, **environment}, handlers=HANDLERS)
    system.environment["PYTHONPATH"] = str(ROOT)
    return system
