"""Queues: created by their first mention, paused and resumed by hand."""

from __future__ import annotations

from collections.abc import Iterable

from orpheus.domain.event import QUEUE_PAUSED, QUEUE_RESUMED
from orpheus.store.transaction import Transaction


def ensure(tx: Transaction, names: Iterable[str]) -> None:
    """Create the queues that are not there yet."""
    tx.connection.executemany(
        "INSERT OR IGNORE INTO queues (name) VALUES (?)", [(name,) for name in sorted(names)]
    )


def pause(tx: Transaction, name: str) -> None:
    """Let no worker claim from the queue; what runs goes on."""
    _set(tx, name, paused=True)


def resume(tx: Transaction, name: str) -> None:
    """Let workers claim from the queue again."""
    _set(tx, name, paused=False)


def _set(tx: Transaction, name: str, paused: bool) -> None:
    ensure(tx, [name])
    changed = tx.connection.execute(
        "UPDATE queues SET paused = ? WHERE name = ? AND paused <> ?",
        (int(paused), name, int(paused)),
    ).rowcount
    if changed:
        tx.events.other(QUEUE_PAUSED if paused else QUEUE_RESUMED, queue=name)
