"""Whose user code runs now, or ran last: for what is found or printed without saying so."""

from __future__ import annotations

from dataclasses import dataclass

from orpheus.domain.attempt import Claim


@dataclass(slots=True)
class Current:
    """One to a worker; `claim` is set before each run."""

    claim: Claim | None = None
