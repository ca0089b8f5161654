"""One master to a pool: its lock, which its children inherit.

So the lock is free only when the last child of an earlier master is gone, too.
"""

from __future__ import annotations

from orpheus.clock import SECOND_NS
from orpheus.errors import EXIT_OK, EXIT_TEMPORARY
from orpheus.ipc.locks import FileLock, holder_of
from orpheus.log import get_logger
from orpheus.pool.signals import Signals
from orpheus.pool.spec import PoolSpec

# What children of a master that was killed need to be gone, and much more.
_PATIENCE = 10 * SECOND_NS
_POLL_SECONDS = 0.1

_log = get_logger("pool.only_one")


def become_master(spec: PoolSpec, lock: FileLock, signals: Signals) -> int | None:
    """Take the pool's lock: None, or the code to exit with."""
    deadline = spec.clock.monotonic() + _PATIENCE
    while not lock.acquire(timeout=0):
        if signals.stops:
            return EXIT_OK
        if spec.clock.monotonic() >= deadline:
            _log.error(
                f"pool {spec.pool} already runs, as process {holder_of(lock.path)}; "
                "stop it, or give this pool another name with --pool"
            )
            return EXIT_TEMPORARY
        signals.wait(_POLL_SECONDS)
    return None
