"""What the reading routes answer, as plain values of the contract's shape.

Shared by the routes, the dashboard's first paint and its live topics, so that all three show the
same. Only reads.
"""

from __future__ import annotations

from typing import Any

from orpheus.api.parameters import decode_cursor, encode_cursor
from orpheus.api.rendering import (
    job_view,
    log_view,
    queue_view,
    row_view,
    stats_view,
    type_view,
    worker_view,
)
from orpheus.errors import RequestError
from orpheus.handlers.registry import Registry
from orpheus.settings import Settings
from orpheus.store.reads import Reads
from orpheus.store.reads_jobs import JobFilter, Order

Answer = dict[str, Any]


async def job(reads: Reads, job_id: int) -> Answer | None:
    """The whole job, None where there is none."""
    row = await reads.job(job_id)
    return None if row is None else job_view(row, row["attempts"])


async def existing_job(reads: Reads, job_id: int) -> Answer:
    """The whole job; RequestError not_found where there is none."""
    found = await job(reads, job_id)
    if found is None:
        raise no_such_job(job_id)
    return found


async def jobs(
    reads: Reads,
    wanted: JobFilter | None = None,
    limit: int = 50,
    cursor: str | None = None,
    order: Order = "desc",
) -> Answer:
    page = await reads.jobs(wanted, limit, decode_cursor(cursor, order), order)
    return {
        "items": [row_view(row) for row in page.rows],
        "next_cursor": None if page.next is None else encode_cursor(order, page.next),
    }


async def logs(reads: Reads, job_id: int, after: int = 0, limit: int = 200) -> Answer:
    """Lines after the number `after`; `last_seq` is where to go on."""
    items = [log_view(row) for row in await reads.logs(job_id, after, limit)]
    if not items and not await reads.job_exists(job_id):
        raise no_such_job(job_id)
    return {"items": items, "last_seq": items[-1]["seq"] if items else after}


async def job_with_logs(reads: Reads, job_id: int) -> Answer | None:
    """A job and its newest lines, as the dashboard's job page shows them."""
    found = await job(reads, job_id)
    if found is not None:
        found["logs"] = [log_view(row) for row in await reads.last_logs(job_id)]
    return found


async def workers(reads: Reads, include_ended: bool = False) -> Answer:
    return {"items": [worker_view(worker) for worker in await reads.workers(include_ended)]}


async def queues(reads: Reads) -> Answer:
    now = reads.now()
    return {"items": [queue_view(queue, now) for queue in await reads.queues()]}


async def queue(reads: Reads, name: str) -> Answer:
    found = await reads.queue(name)
    if found is None:
        raise RequestError("not_found", f"there is no queue {name}")
    return queue_view(found, reads.now())


async def stats(reads: Reads) -> Answer:
    return stats_view(await reads.stats(), reads.now(), reads.file_sizes())


def types(registry: Registry, settings: Settings) -> Answer:
    return {"items": [type_view(job_type, settings) for job_type in registry]}


def no_such_job(job_id: int) -> RequestError:
    return RequestError("not_found", f"there is no job {job_id}; it may have been deleted")
