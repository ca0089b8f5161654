"""The same job types in workers whose turns also ask what later features will have to ask.

One dependency lookup (whom does what ended here set free) and one limit lookup (how many more of
these types may run) a turn, inside its transaction, on tables with the indexes they would have.
"""

from __future__ import annotations

from bench.handlers import bench_payload, bench_sleep, bench_stamp, bench_sum
from orpheus.store.transaction import Transaction
from orpheus.store.turn import Turn, turn
from orpheus.worker import sync_lane

__all__ = ["bench_payload", "bench_sleep", "bench_stamp", "bench_sum"]

_CHILDREN = """
SELECT d.child FROM json_each(?) AS f
CROSS JOIN attempts AS a ON a.id = f.value
CROSS JOIN bench_dependencies AS d ON d.parent = a.job_id
"""
_LEFT = """
SELECT l.type, l.most - (SELECT coalesce(sum(n), 0) FROM counters AS c
                         WHERE c.type = l.type AND c.state = 'in_progress')
FROM bench_limits AS l
"""


def _turn(tx: Transaction, worker, finished, *more) -> Turn:  # type: ignore[no-untyped-def]
    tx.connection.execute(_CHILDREN, (finished.ids,)).fetchall()
    tx.connection.execute(_LEFT).fetchall()
    return turn(tx, worker, finished, *more)


sync_lane.turn = _turn  # type: ignore[attr-defined,assignment]
