"""The two job types that are always there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orpheus.handlers.decorator import job


@job
def sum_range(n: Annotated[int, Field(ge=0, le=10**10)]) -> dict[str, int]:
    """Sum 1 to n, by adding the numbers up: a job that takes as long as you like."""
    return {"sum": sum(range(1, n + 1))}


@job
def wordcount(text: str) -> dict[str, int]:
    """Count the words of a text: what white space separates."""
    return {"count": len(text.split())}
