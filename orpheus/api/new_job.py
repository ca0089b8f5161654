"""The document of a job just submitted, without reading it back.

The text of what `job_view` makes of its row (a test holds them together). Spliced rather than
built: payload and meta are JSON text already, and names have nothing to escape.
"""

from __future__ import annotations

from orpheus.clock import SECOND_US, to_rfc3339
from orpheus.domain.job import NewJob


def new_job_json(job: NewJob, job_id: int, state: str, created_at: int) -> bytes:
    """The body of the answer; `created_at` is the time of the transaction."""
    created = to_rfc3339(created_at)
    run_at = job.due_at(created_at)
    due = created if run_at == created_at else to_rfc3339(run_at)
    tags = ",".join([f'"{tag}"' for tag in job.tags])
    return (
        f'{{"id":{job_id},"type":"{job.type}","queue":"{job.queue}","state":"{state}",'
        f'"priority":{job.priority},"payload":{job.payload},"result":null,"error":null,'
        f'"attempt":0,"retries":0,"crashes":0,"max_retries":{job.max_retries},'
        f'"max_crashes":{job.max_crashes},"progress":null,"tags":[{tags}],"meta":{job.meta},'
        f'"unique_key":{_name(job.unique_key)},"ref":{_name(job.ref)},"depends_on":[],'
        f'"created_at":"{created}","run_at":"{due}","started_at":null,"finished_at":null,'
        f'"timeout":{job.timeout / SECOND_US!r},"worker":null,"cancel_requested":false,'
        '"attempts":[]}\n'
    ).encode("ascii")


def _name(name: str | None) -> str:
    return "null" if name is None else f'"{name}"'
