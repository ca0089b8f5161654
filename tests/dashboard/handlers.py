"""Handlers the browser tests need beyond the samples."""

from __future__ import annotations

import sys

from orpheus import Context, job


@job
def talk(ctx: Context) -> None:
    """Say something in each way there is."""
    ctx.log.warning("to the log")
    print("to standard output")
    print("to standard error", file=sys.stderr)
