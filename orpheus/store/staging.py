"""Staging: the payloads of a large submit are written ahead of its jobs, a little at a time.

Each part is a short hold of the gate, after which others have their turn; the transaction that
makes the jobs then writes none of the many megabytes and is still all or none. Called by the writer
and by the direct client, outside the gate. Parts whose submit never came are known by their rows in
`staged`, which retention looks through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orpheus.clock import SECOND_US
from orpheus.errors import StoreBusy
from orpheus.store.database import Database
from orpheus.store.transaction import Transaction

# Bytes of payloads from which a submit is staged; less is written in a few milliseconds.
LARGE = 2 * 1024 * 1024
_PART = 1024 * 1024
# A submit is over by then, or its process was stopped; it would be refused, not damaged.
_GIVEN_UP_US = 3600 * SECOND_US
_GIVEN_UP_AT_ONCE = 4

# SQL for the payload of the job `jobs`, wherever it is.
PAYLOAD = """CASE jobs.payload
    WHEN '' THEN (SELECT payloads.payload FROM payloads WHERE payloads.id = jobs.payload_id)
    ELSE jobs.payload END"""


@dataclass(frozen=True, slots=True)
class Staged:
    """Payloads that wait for their jobs: their ids, in the order given, and each part's ends."""

    ids: list[int]
    parts: list[tuple[int, int]]

    def use(self, tx: Transaction, unused: Sequence[int] = ()) -> None:
        """The jobs are written: the payloads are theirs from here on; `unused` ones are deleted.

        Raises StoreBusy where they were given up meanwhile; nothing of the transaction may stay.
        """
        first = [(first,) for first, _ in self.parts]
        cursor = tx.connection.executemany("DELETE FROM staged WHERE first = ?", first)
        if cursor.rowcount != len(first):
            raise StoreBusy("this submit took over an hour; nothing was written, send it again")
        if unused:
            ids = [(id_,) for id_ in unused]
            tx.connection.executemany("DELETE FROM payloads WHERE id = ?", ids)


def stage(database: Database, payloads: Sequence[str], timeout: float | None = None) -> Staged:
    """Write payloads in parts; `timeout` is for the gate and each part, as in `Database.write`.

    Not synced: the sync of the submit that uses them covers them.
    """
    staged = Staged([], [])
    try:
        for part in _parts(payloads):
            with database.write(timeout, synced=False) as tx:
                first = tx.next_id("payloads")
                ids = range(first, first + len(part))
                tx.connection.executemany(
                    "INSERT INTO payloads (id, payload) VALUES (?, ?)",
                    zip(ids, part, strict=True),
                )
                tx.connection.execute(
                    "INSERT INTO staged (first, last, staged_at) VALUES (?, ?, ?)",
                    (first, ids[-1], tx.now),
                )
            staged.ids.extend(ids)
            staged.parts.append((first, ids[-1]))
            database.log.tend(timeout, at_once=True)
    except BaseException:
        discard(database, staged, timeout)
        raise
    return staged


def discard(database: Database, staged: Staged, timeout: float | None = None) -> None:
    """Delete what no job uses; what cannot be deleted now is left to retention."""
    try:
        for part in staged.parts:
            with database.write(timeout, synced=False) as tx:
                if not _delete(tx, part):
                    # All of it is used, or none is.
                    return
            database.log.tend(timeout, at_once=True)
    except StoreBusy:
        pass


def delete_given_up(tx: Transaction) -> None:
    """Delete some payloads whose submit never came."""
    parts = tx.connection.execute(
        "SELECT first, last FROM staged WHERE staged_at < ? ORDER BY first LIMIT ?",
        (tx.now - _GIVEN_UP_US, _GIVEN_UP_AT_ONCE),
    ).fetchall()
    for part in parts:
        _delete(tx, part)


def _delete(tx: Transaction, part: tuple[int, int]) -> bool:
    """Delete a part; False where its row is gone, so that it belongs to jobs or is gone, too."""
    if not tx.connection.execute("DELETE FROM staged WHERE first = ?", part[:1]).rowcount:
        return False
    tx.connection.execute("DELETE FROM payloads WHERE id BETWEEN ? AND ?", part)
    return True


def _parts(payloads: Sequence[str]) -> Iterator[Sequence[str]]:
    start = size = 0
    for at, payload in enumerate(payloads):
        if size and size + len(payload) > _PART:
            yield payloads[start:at]
            start, size = at, 0
        size += len(payload)
    if start < len(payloads):
        yield payloads[start:]
