"""All planted bugs, and those that have no place in this design."""

from __future__ import annotations

from planted import decisions, gate, leases, payloads, rules, running
from planted.bug import Bug, Excluded

BUGS: tuple[Bug, ...] = (
    *gate.BUGS,
    *leases.BUGS,
    *running.BUGS,
    *rules.BUGS,
    *payloads.BUGS,
    *decisions.BUGS,
)

EXCLUDED = (
    Excluded(
        "An answer before the commit",
        "The answer is made of what the transaction returned, so there is none before it. Planted "
        "instead: answers before the sync, and after a transaction that failed.",
    ),
    Excluded(
        "A claim without a transaction",
        "A claim is a function of a `Transaction`, and only the gate makes one. Planted instead: "
        "the gate open, the commit outside it, a verb that begins a transaction of its own.",
    ),
    Excluded(
        "A socket that only waits on its queue",
        "No reader has a queue: each pulls from its own position. Planted instead: a position off "
        "by one, a gap untold, a feed that needs its bell.",
    ),
    Excluded(
        "Neither death signal nor lifeline",
        "Two lines of defence in two files; one alone is planted, and the test of that line looks "
        "at a child that has no lifeline.",
    ),
    Excluded(
        "Only announcing an attempt and reading the revoke word swapped",
        "Harmless as it stands, since the slot shows nothing between two jobs and maintenance then "
        "takes nothing. Planted with a slot that still shows the job before.",
    ),
    Excluded(
        "An upsert of counters",
        "The database itself refuses it: the CHECK (n >= 0) is applied to the row proposed.",
    ),
)
