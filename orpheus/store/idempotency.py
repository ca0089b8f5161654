"""Idempotency keys: the answer to a submit, kept so that a repeated request gets it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orpheus.clock import SECOND_US
from orpheus.errors import RequestError
from orpheus.store.transaction import Transaction

KEPT_US = 24 * 3600 * SECOND_US


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """`scope` is the route, `body_hash` a digest of the body after parsing."""

    scope: str
    key: str
    body_hash: str


def recall(tx: Transaction, key: IdempotencyKey) -> Any | None:
    """The answer kept under the key, None where the key is new or older than a day.

    Raises RequestError idempotency_conflict where it came with another body.
    """
    row = tx.connection.execute(
        "SELECT body_hash, answer FROM idempotency_keys"
        " WHERE scope = ? AND key = ? AND created_at > ?",
        (key.scope, key.key, tx.now - KEPT_US),
    ).fetchone()
    if row is None:
        return None
    if row[0] != key.body_hash:
        raise RequestError(
            "idempotency_conflict",
            "this Idempotency-Key was used with another body; use a new key for a new request",
        )
    return json.loads(row[1])


def remember(tx: Transaction, key: IdempotencyKey, answer: str) -> None:
    """Keep the answer (JSON text) under the key for a day."""
    tx.connection.execute(
        "INSERT OR REPLACE INTO idempotency_keys (scope, key, body_hash, answer, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (key.scope, key.key, key.body_hash, answer, tx.now),
    )
