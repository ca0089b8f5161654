"""Submitting straight to the database file, for producers on the machine Orpheus runs on.

Public as `orpheus.DirectClient`: what `orpheus.Client.submit` does over HTTP, without a server and
with the application's own statements in the same transaction. Judges a job as the API does; the
write itself is `client.committer`'s. Everything that costs time happens before the gate.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from orpheus.client.committer import Committer
from orpheus.client.order import Order, Written
from orpheus.clock import SystemClock
from orpheus.domain.job import NewJob
from orpheus.errors import InvalidRequest, RequestError, StatementRefused
from orpheus.handlers.alike import alike_payloads, all_fit
from orpheus.handlers.bulk_json import dump_objects, kinds_in
from orpheus.handlers.loader import load_registry
from orpheus.handlers.prepare import prepare
from orpheus.handlers.strict_json import Location, dump_json, parse_object
from orpheus.settings import load_settings
from orpheus.store import also as statements_of
from orpheus.store.also import Parameters, Statement
from orpheus.store.idempotency import IdempotencyKey
from orpheus.store.job_shape import job_view
from orpheus.store.submit_alike import Run

Job = dict[str, Any]
"""A job as the API shows it; the contract lists its fields."""
Also = Sequence[tuple[str, Parameters]]
"""Statements with their parameters."""

# As over HTTP, and under the same scopes, so that a key may be repeated over either.
MAX_BATCH = 10_000
_MAX_JOB_BYTES = 1 << 20
_MAX_BATCH_BYTES = 16 << 20
_SCOPE = "/jobs"
_BATCH_SCOPE = "/jobs/batch"
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class DirectClient:
    """Submits to the database in a data folder; use it as a context manager.

    One for a process is enough: threads share it, and what they submit at the same time is synced
    together. It may be made before a fork (gunicorn, multiprocessing) and used on both sides.
    `data_dir` and `handlers`, the names of the modules with `@job` functions, default to the
    settings found from the current folder. Raises ConfigurationError where those modules or the
    settings are wrong; the schema is brought up to date at the first submit.

    A submit raises RequestError with a `code` of the contract where it is refused, StoreBusy where
    its turn to write did not come within `timeout` seconds. Either way nothing was written.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        handlers: Sequence[str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        flags = {
            "data_dir": None if data_dir is None else os.fspath(data_dir),
            "handlers": None if handlers is None else tuple(handlers),
        }
        self._settings = load_settings(flags)
        self._registry = load_registry(self._settings)
        self._committer = Committer(self._settings, SystemClock())
        self._timeout = timeout

    def __enter__(self) -> DirectClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a submit in another thread is still answered."""
        self._committer.close()

    def submit(
        self,
        job_type: str,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        also: Also = (),
        **options: Any,
    ) -> Job:
        """Submit one job and return it; once this returns, the job cannot be lost.

        `options` are those of POST /jobs: queue, priority, delay, run_at, max_retries, timeout,
        unique_key, tags, meta. `also` are statements on the application's own tables in the same
        file: they run in the job's transaction, in order and before it, within 50 ms together, and
        commit with it or not at all. A repeated `idempotency_key` does not run them again.
        """
        order = self.order_one(job_type, payload, idempotency_key, also, options)
        return shown(self.commit(order))

    def submit_many(
        self,
        jobs: Sequence[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        also: Also = (),
    ) -> list[Job]:
        """Submit up to 10,000 jobs, all or none; returns `{id, ref, state, deduplicated}` each."""
        return self.commit(self.order_many(jobs, idempotency_key, also)).items()

    # --- the two halves of a submit, for AsyncDirectClient ----------------------------------------

    def order_one(
        self,
        job_type: str,
        payload: Mapping[str, Any] | None,
        idempotency_key: str | None,
        also: Also,
        options: Mapping[str, Any],
    ) -> Order:
        """Judge one job; nothing is written yet."""
        statements = _statements(also)
        value = _parsed({"type": job_type, "payload": payload or {}, **options}, _MAX_JOB_BYTES)
        key = _key(_SCOPE, idempotency_key, value, statements)
        return Order([self._judged(value)], statements, key, want_row=True)

    def order_many(
        self, jobs: Sequence[Mapping[str, Any]], idempotency_key: str | None, also: Also
    ) -> Order:
        """Judge many."""
        statements = _statements(also)
        if not 1 <= len(jobs) <= MAX_BATCH:
            message = f"a batch has 1 to {MAX_BATCH} jobs"
            raise InvalidRequest("out_of_range", message, ((("jobs",), message),))
        run = self._alike(jobs) if idempotency_key is None else None
        if run is not None:
            return Order(run, statements)
        value = _parsed({"jobs": list(jobs)}, _MAX_BATCH_BYTES)
        judged = [self._judged(job, ("jobs", n)) for n, job in enumerate(_list(value["jobs"]))]
        key = _key(_BATCH_SCOPE, idempotency_key, value, statements)
        return Order(judged, statements, key)

    def _alike(self, jobs: Sequence[Mapping[str, Any]]) -> Run | None:
        """The jobs as one run, where that can be; what is refused is refused elsewhere."""
        payloads = alike_payloads(jobs)
        if payloads is None:
            return None
        kinds = kinds_in(payloads)
        if kinds is None:
            return None
        try:
            texts = dump_objects(payloads, kinds)
        except (TypeError, ValueError, RecursionError):
            return None
        others = dump_json({**jobs[0], "payload": {}})
        # Not less than the body's bytes in UTF-8: what is over the limit here, may not be there.
        size = sum(map(len, texts)) + len(texts) * len(others) + len('{"jobs":[]}')
        if size > _MAX_BATCH_BYTES:
            return None
        try:
            job = self._judged(jobs[0])
        except InvalidRequest:
            return None
        job_type = self._registry.get(job.type)
        if job_type is None or not all_fit(job_type, texts):
            return None
        return Run(job, texts, len(texts))

    def commit(self, order: Order) -> Written:
        """Write what was judged."""
        return self._committer.commit(order, self._timeout)

    def _judged(self, value: object, loc: Location = ()) -> NewJob:
        return prepare(value, self._registry, self._settings, loc)


def shown(written: Written) -> Job:
    """A single job as POST /jobs answers it."""
    (item,) = written.items()
    if written.row is None:
        job_id = item["id"]
        raise RequestError("not_found", f"there is no job {job_id}; it may have been deleted")
    view = job_view(written.row, written.row["attempts"])
    if item["deduplicated"]:
        view["deduplicated"] = True
    return view


def _parsed(body: dict[str, Any], longest: int) -> dict[str, object]:
    """The body as it would arrive over HTTP: what JSON cannot say, the API would not have got."""
    try:
        text = json.dumps(
            body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        )
        data = text.encode("utf-8")
    except RecursionError:
        raise InvalidRequest("too_deep", "this is nested too deeply for JSON") from None
    except (TypeError, ValueError) as error:
        raise InvalidRequest("invalid_json", f"this cannot be said in JSON: {error}") from None
    if len(data) > longest:
        raise RequestError(
            "body_too_large", f"this is {len(data)} bytes as JSON; at most {longest} are taken"
        )
    return parse_object(data)


def _plain(value: object) -> object:
    """Mappings that are no dict, as the annotations promise."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON type")


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _statements(also: Also) -> tuple[Statement, ...]:
    if len(also) > statements_of.MAX_STATEMENTS:
        raise StatementRefused(
            f"at most {statements_of.MAX_STATEMENTS} statements go with a submit"
        )
    made = []
    for index, one in enumerate(also):
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise StatementRefused(f"also[{index}] is no pair of SQL and parameters")
        try:
            made.append(statements_of.statement(*one))
        except StatementRefused as error:
            raise StatementRefused(f"also[{index}]: {error}") from None
    return tuple(made)


def _key(
    scope: str, key: str | None, value: dict[str, object], statements: tuple[Statement, ...]
) -> IdempotencyKey | None:
    """The key with a digest of everything asked for; without statements, the API's digest."""
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            "invalid_parameter", "idempotency_key must be 1 to 255 printable ASCII characters"
        )
    same = json.dumps(value, sort_keys=True, separators=(",", ":"))
    if statements:
        same += repr(statements)
    digest = hashlib.blake2b(same.encode("ascii", "backslashreplace"), digest_size=16)
    return IdempotencyKey(scope, key, digest.hexdigest())
