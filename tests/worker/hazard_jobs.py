"""Handlers for tests/worker/test_whole_system.py."""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from typing import Any

from orpheus import Context, job


@job
def draw(seconds: float) -> dict[str, Any]:
    """What each source of chance says first in this worker; long enough for two to take part."""
    drawn = {
        "random": random.random(),
        "uuid": uuid.uuid4().hex,
        "secrets": secrets.token_hex(8),
    }
    time.sleep(seconds)
    return {"pid": os.getpid(), **drawn}


@job
def short(milliseconds: int) -> int:
    """Something to cancel just before, while and just after it runs."""
    time.sleep(milliseconds / 1000)
    return milliseconds


@job
def mishandles(ctx: Context, password: str, note: str, how: str) -> None:
    """Ends badly with something in hand that no log must show."""
    del ctx
    if how == "raise":
        raise ValueError(f"no {how}: {note} and {password}")
    if how == "exit":
        os._exit(3)
    time.sleep(60)
