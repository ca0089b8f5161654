"""The contract's shapes as models: for `/openapi.json` and for the tests that hold answers to it.

Answers are not built through these (see `api.rendering`), so they cost a request nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from orpheus.domain.attempt import Outcome
from orpheus.domain.job import JobState
from orpheus.handlers import limits

T = TypeVar("T")
Name = Annotated[str, Field(pattern=f"^{limits.NAME.pattern}$")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobRequest(_Shape):
    """A job to run."""

    type: Name = Field(examples=["sum_range"])
    payload: dict[str, Any] = Field({}, examples=[{"n": 100_000}])
    queue: Name | None = None
    priority: int = Field(0, ge=-100, le=100, description="higher runs first")
    delay: float | None = Field(
        None, ge=0, le=limits.DELAY_SECONDS, description="seconds; not with run_at"
    )
    run_at: datetime | None = Field(None, description="with a zone; not with delay")
    max_retries: int | None = Field(None, ge=0, le=100)
    timeout: float | None = Field(
        None, gt=0, le=limits.TIMEOUT_SECONDS, description="seconds an attempt may run"
    )
    unique_key: Name | None = Field(None, description="held by one active job at a time")
    tags: list[Name] = Field([], max_length=limits.TAGS)
    meta: dict[str, Any] = {}


class BatchRequest(_Shape):
    """Jobs to submit together: all or none."""

    jobs: list[JobRequest] = Field(min_length=1, max_length=10_000)


class Error(_Shape):
    type: str
    message: str
    kind: Literal["failed", "failed_permanent", "timed_out", "crashed", "cancelled"]


class ErrorWithTraceback(Error):
    traceback: str | None


class AttemptError(ErrorWithTraceback):
    kind: Literal[  # type: ignore[assignment]
        "failed", "failed_permanent", "timed_out", "crashed", "cancelled", "interrupted"
    ]


class Progress(_Shape):
    value: float = Field(ge=0, le=1)
    current: float
    total: float
    message: str
    at: datetime


class Attempt(_Shape):
    attempt: int
    worker: str
    pid: int
    claimed_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outcome: Outcome | None
    error: AttemptError | None
    exit: str | None


class _JobCore(_Shape):
    id: int
    type: str
    queue: str
    state: JobState
    priority: int
    attempt: int
    retries: int
    crashes: int
    max_retries: int
    max_crashes: int
    progress: Progress | None
    tags: list[str]
    unique_key: str | None
    ref: str | None
    depends_on: list[int]
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    timeout: float
    worker: str | None
    cancel_requested: bool


class JobRow(_JobCore):
    """A job as lists show it."""

    error: Error | None


class Job(_JobCore):
    """A whole job."""

    payload: dict[str, Any]
    result: Any
    error: ErrorWithTraceback | None
    meta: dict[str, Any]
    attempts: list[Attempt]


class SubmittedJob(Job):
    """A job as `POST /jobs` answers it; `deduplicated` where its unique key was held."""

    deduplicated: Literal[True] = True


class BatchItem(_Shape):
    id: int
    ref: str | None
    state: JobState
    deduplicated: bool


class LogLine(_Shape):
    seq: int
    at: datetime
    attempt: int
    level: str
    stream: str
    message: str
    fields: dict[str, Any]


class JobType(_Shape):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    type: str
    doc: str
    lane: Literal["sync", "async"]
    queue: str
    max_retries: int
    max_crashes: int
    timeout: float
    payload_schema: dict[str, Any] = Field(alias="schema")
    source: str


class Queue(_Shape):
    queue: str
    paused: bool
    pending: int
    scheduled: int
    blocked: int
    in_progress: int
    oldest_pending_seconds: float | None


class Running(_Shape):
    job: int
    type: str
    attempt: int
    started_at: datetime


class Worker(_Shape):
    worker: str
    pool: str
    pid: int
    lane: Literal["sync", "async"]
    state: Literal["starting", "idle", "running", "draining", "stopped", "crashed"]
    started_at: datetime
    heartbeat_at: datetime
    running: list[Running]
    exit: str | None


class States(_Shape):
    scheduled: int
    blocked: int
    pending: int
    in_progress: int
    done: int
    failed: int
    cancelled: int


class LastMinute(_Shape):
    submitted: int
    done: int
    failed: int
    cancelled: int


class WorkerCounts(_Shape):
    idle: int
    running: int


class DatabaseSize(_Shape):
    bytes: int
    wal_bytes: int


class Stats(_Shape):
    jobs: States
    last_minute: LastMinute
    oldest_pending_seconds: float | None
    workers: WorkerCounts
    seq: int
    database: DatabaseSize


class DatabaseCheck(_Shape):
    ok: bool
    ms: float


class DiskCheck(_Shape):
    ok: bool
    free_bytes: int


class WorkersCheck(_Shape):
    ok: bool
    count: int


class Checks(_Shape):
    database: DatabaseCheck
    disk: DiskCheck
    workers: WorkersCheck


class Health(_Shape):
    status: Literal["ok", "failing"]
    checks: Checks


class Items(_Shape, Generic[T]):
    items: list[T]


class JobPage(Items[JobRow]):
    next_cursor: str | None


class Logs(Items[LogLine]):
    last_seq: int


class ProblemError(_Shape):
    loc: list[str | int]
    msg: str


class Problem(_Shape):
    """RFC 9457; `code` is from a closed list, `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[ProblemError]
    request_id: str
