"""The names of the facts in the feed, and which event a state change makes."""

from __future__ import annotations

from orpheus.domain.job import JobState

JOB_PROGRESS = "job.progress"
JOB_CANCEL_REQUESTED = "job.cancel_requested"
JOB_DELETED = "job.deleted"
JOBS_PRUNED = "jobs.pruned"
WORKER_STARTED = "worker.started"
WORKER_STOPPED = "worker.stopped"
WORKER_CRASHED = "worker.crashed"
QUEUE_PAUSED = "queue.paused"
QUEUE_RESUMED = "queue.resumed"

STATE_EVENTS: dict[JobState, str] = {state: f"job.{state}" for state in JobState}

EVENTS = frozenset(
    {
        *STATE_EVENTS.values(),
        JOB_PROGRESS,
        JOB_CANCEL_REQUESTED,
        JOB_DELETED,
        JOBS_PRUNED,
        WORKER_STARTED,
        WORKER_STOPPED,
        WORKER_CRASHED,
        QUEUE_PAUSED,
        QUEUE_RESUMED,
    }
)
