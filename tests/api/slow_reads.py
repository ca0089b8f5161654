"""A handler module that makes one read of the process that imports it last for minutes."""

from __future__ import annotations

from orpheus.store.reads import Reads
from orpheus.store.reads_figures import Summary

_MINUTES = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def _stats(self: Reads) -> Summary:
    await self._pool.rows(_MINUTES)
    raise AssertionError("it never ends")


Reads.stats = _stats  # type: ignore[method-assign]
