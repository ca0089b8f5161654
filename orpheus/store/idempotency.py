"""Idempotency keys: the answer to a submit, kept so that a repeated request gets it again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from orpheus.clock import SECOND_US
from orpheus.errors import RequestError
from orpheus.store.submit import Submitted
from orpheus.store.transaction import Transaction

KEPT_US = 24 * 3600 * SECOND_US


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """`scope` is the route, `body_hash` a digest of the body after parsing."""

    scope: str
    key: str
    body_hash: str


def recall(tx: Transaction, key: IdempotencyKey) -> list[Submitted] | None:
    """What was submitted under the key, None where the key is new or older than a day.

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
    return _unpacked(json.loads(row[1]))


def is_kept(connection: sqlite3.Connection, key: IdempotencyKey) -> bool:
    """Whether something came under the key: a look outside the gate, without a promise."""
    found = connection.execute(
        "SELECT 1 FROM idempotency_keys WHERE scope = ? AND key = ?", (key.scope, key.key)
    )
    return found.fetchone() is not None


def remember(tx: Transaction, key: IdempotencyKey, submitted: Sequence[Submitted]) -> None:
    """Keep what was submitted under the key for a day."""
    tx.connection.execute(
        "INSERT OR REPLACE INTO idempotency_keys (scope, key, body_hash, answer, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (key.scope, key.key, key.body_hash, json.dumps(_packed(submitted)), tx.now),
    )


def _packed(submitted: Sequence[Submitted]) -> list[Any]:
    """`[first id, count, state]` of jobs that are all new, whose ids are consecutive; else each.

    A full batch would be a text of half a megabyte, made while everybody waits.
    """
    first = submitted[0]
    if all(
        one.state == first.state and one.ref is None and not one.deduplicated for one in submitted
    ):
        return [first.id, len(submitted), first.state]
    return [astuple(one) for one in submitted]


def _unpacked(answer: list[Any]) -> list[Submitted]:
    if isinstance(answer[0], list):
        return [Submitted(*one) for one in answer]
    first, count, state = answer
    return [Submitted(id_, state) for id_ in range(first, first + count)]
