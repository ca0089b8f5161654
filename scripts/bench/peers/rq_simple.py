"""RQ on Redis with `SimpleWorker`, which runs jobs without a fork."""

from __future__ import annotations

from bench.peers import rq_redis
from bench.peers.rq_redis import DURABILITY, SERVER, enqueue, setup, stamp

TITLE = "RQ SimpleWorker (Redis)"
NOTE = "two SimpleWorkers: no fork, no protection"
JOBS = 700


def workers() -> list[list[str]]:
    """Two workers."""
    return [[*one, "--worker-class", "rq.worker.SimpleWorker"] for one in rq_redis.workers()]


__all__ = ["DURABILITY", "JOBS", "NOTE", "SERVER", "TITLE", "enqueue", "setup", "stamp", "workers"]
