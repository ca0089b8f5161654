"""Submitting jobs: one, or up to ten thousand at once.

The hot path of the API: the body is parsed once, judged once (`handlers.prepare`), written by the
writer process, and rendered from what was asked for and the id and times the writer answers.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

from anyio.lowlevel import checkpoint
from fastapi import APIRouter, Request
from starlette.responses import Response

from orpheus.api import answers, openapi
from orpheus.api.bodies import body_of
from orpheus.api.new_job import new_job_json
from orpheus.api.parameters import Parameters
from orpheus.api.rendering import json_response
from orpheus.api.schemas import BatchItem, BatchRequest, Items, Job, JobRequest, SubmittedJob
from orpheus.api.services import Services, services
from orpheus.domain.job import NewJob
from orpheus.errors import InvalidRequest
from orpheus.handlers.alike import Payload, alike_payloads, check_payloads
from orpheus.handlers.bulk_json import Kinds, dump_objects, kinds_in
from orpheus.handlers.prepare import prepare
from orpheus.handlers.strict_json import check, parse_object

router = APIRouter(tags=["jobs"])

MAX_BATCH = 10_000
# Judging a large batch takes a while; others are let in between.
_JUDGED_AT_ONCE = 200
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_QUOTED_KEY = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


@router.post(
    "/jobs",
    status_code=201,
    summary="Submit a job",
    responses={201: {"model": Job}, 200: {"model": SubmittedJob}},
    openapi_extra=openapi.body(JobRequest, "wait", "Idempotency-Key"),
)
async def submit(request: Request) -> Response:
    api = services(request)
    wait = 0.0
    if request.scope["query_string"]:
        wait = Parameters(request.query_params, ("wait",)).seconds("wait")
    value = parse_object(body_of(request))
    job = prepare(value, api.registry, api.settings)
    answer = await api.writer.submit([job], _idempotency(request, value))
    item = answer["items"][0]
    job_id: int = item["id"]
    headers = {"Location": f"/jobs/{job_id}"}
    if answer["replayed"]:
        headers["Idempotent-Replayed"] = "true"
    created_at: int | None = answer["created_at"]
    if created_at is not None and not wait:
        text = new_job_json(job, job_id, item["state"], created_at)
        return Response(text, 201, headers, "application/json")
    await api.feed.waits.ended(job_id, wait)
    view = await answers.existing_job(api.reads, job_id)
    if item["deduplicated"]:
        view["deduplicated"] = True
    return json_response(view, 200 if created_at is None else 201, headers)


@router.post(
    "/jobs/batch",
    status_code=201,
    summary="Submit many jobs, all or none",
    responses={201: {"model": Items[BatchItem]}, 200: {"model": Items[BatchItem]}},
    openapi_extra=openapi.body(BatchRequest, "Idempotency-Key"),
)
async def submit_batch(request: Request) -> Response:
    api = services(request)
    Parameters(request.query_params)
    value = parse_object(body_of(request), checked=False)
    batch = _alike(value)
    if batch is None or batch.kinds is None or float in batch.kinds:
        check(value)
    requests = _jobs_of(value)
    key = _idempotency(request, value)
    if batch is not None and key is None:
        body = await _submit_alike(requests[0], batch, api)
        return Response(body, 201, None, "application/json")
    jobs = await _prepare_all(requests, api)
    answer = await api.writer.submit(jobs, key)
    replayed = answer["replayed"]
    headers = {"Idempotent-Replayed": "true"} if replayed else None
    return json_response({"items": answer["items"]}, 200 if replayed else 201, headers)


class _Alike(NamedTuple):
    payloads: list[Payload]
    kinds: Kinds


def _alike(value: dict[str, object]) -> _Alike | None:
    """What a body holds that has nothing but jobs in it that are alike."""
    jobs = value.get("jobs")
    if not isinstance(jobs, list) or len(value) != 1:
        return None
    payloads = alike_payloads(jobs)
    return None if payloads is None else _Alike(payloads, kinds_in(payloads))


def _jobs_of(value: dict[str, object]) -> list[object]:
    for name in value:
        if name != "jobs":
            shown = ascii(name[:100])[1:-1]
            message = f"{shown} is no field of a batch; known: jobs"
            raise InvalidRequest("unknown_field", message, (((shown,), message),))
    jobs = value.get("jobs")
    if not isinstance(jobs, list):
        message = "jobs must be an array of jobs"
        raise InvalidRequest("wrong_type", message, ((("jobs",), message),))
    if not 1 <= len(jobs) <= MAX_BATCH:
        message = f"a batch has 1 to {MAX_BATCH} jobs"
        raise InvalidRequest("out_of_range", message, ((("jobs",), message),))
    return jobs


async def _submit_alike(first: object, batch: _Alike, api: Services) -> bytes:
    """Jobs like the first that differ in their payloads only; the body of the answer."""
    job = prepare(first, api.registry, api.settings, ("jobs", 0))
    job_type = api.registry.get(job.type)
    assert job_type is not None
    texts: list[str] = []
    for start in range(0, len(batch.payloads), _JUDGED_AT_ONCE):
        some = dump_objects(batch.payloads[start : start + _JUDGED_AT_ONCE], batch.kinds)
        check_payloads(job_type, some, start)
        texts += some
        await checkpoint()
    answer = await api.writer.submit_alike(job, texts)
    first_id: int = answer["first"]
    ids = map(str, range(first_id, first_id + len(texts)))
    rest = f',"ref":null,"state":"{answer["state"]}","deduplicated":false}}'
    items = f'{rest},{{"id":'.join(ids)
    return f'{{"items":[{{"id":{items}{rest}]}}\n'.encode("ascii")


async def _prepare_all(values: list[object], api: Services) -> list[NewJob]:
    jobs = []
    for index, value in enumerate(values):
        jobs.append(prepare(value, api.registry, api.settings, ("jobs", index)))
        if index % _JUDGED_AT_ONCE == _JUDGED_AT_ONCE - 1:
            await checkpoint()
    return jobs


def _idempotency(request: Request, value: object) -> tuple[str, str, str] | None:
    """(scope, key, hash of the parsed body), where the request has a key."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    text = header.strip()
    if quoted := _QUOTED_KEY.fullmatch(text):
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    if not _KEY.fullmatch(text):
        message = "Idempotency-Key must be 1 to 255 printable ASCII characters"
        raise InvalidRequest(
            "invalid_parameter", message, ((("header", "Idempotency-Key"), message),)
        )
    same = json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    return request.url.path, text, hashlib.blake2b(same, digest_size=16).hexdigest()
