"""What every test gets: an environment without ORPHEUS_*, the asyncio backend, the CI guard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.ci_guard"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings, such as ORPHEUS_PORT, must not reach a test."""
    for name in list(os.environ):
        if name.startswith(("ORPHEUS_", "SUPERVISOR_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout this suite belongs to."""
    return ROOT
