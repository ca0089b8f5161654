"""Unique keys: who holds one. A key is free again once its job has ended."""

from __future__ import annotations

from orpheus.store.transaction import Transaction

# The conditions are those of the index jobs_active_unique_key, word for word, so that it serves.
_HOLDER = """
SELECT id, state FROM jobs
WHERE unique_key = ? AND unique_key IS NOT NULL
  AND (state = 'scheduled' OR state = 'blocked' OR state = 'pending' OR state = 'in_progress')
"""


def holder_of(tx: Transaction, unique_key: str) -> tuple[int, str] | None:
    """Id and state of the active job under the key, None where it is free."""
    row: tuple[int, str] | None = tx.connection.execute(_HOLDER, (unique_key,)).fetchone()
    return row
