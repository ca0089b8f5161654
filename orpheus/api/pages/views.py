"""The dashboard's pages: each reads what it shows once and renders it.

Everything after that comes over `/ws`. Nothing here writes; buttons and the submit box use the same
routes as any other client.
"""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from orpheus.api.pages import sources
from orpheus.api.pages.blanks import BLANK_ATTEMPT, BLANK_JOB, BLANK_LINE, BLANK_WORKER
from orpheus.api.pages.query import JobsQuery
from orpheus.api.pages.rendering import render
from orpheus.domain.job import ACTIVE, JobState
from orpheus.errors import InvalidRequest

router = APIRouter(include_in_schema=False)

_LATEST = 20
_ACTIONS = {
    "cancel": [state for state in JobState if state in ACTIVE],
    "retry": [JobState.SCHEDULED, JobState.FAILED, JobState.CANCELLED],
}


@router.get("/")
async def overview(request: Request) -> Response:
    query = JobsQuery(limit=_LATEST)
    return render(
        request,
        "overview.html",
        here="/",
        query=query,
        stats=await sources.stats(request),
        jobs=await sources.jobs(request, query),
        workers=await sources.workers(request),
        types=sources.types(request),
        curl_line=_curl_line(request),
        blank_job=BLANK_JOB,
        blank_worker=BLANK_WORKER,
    )


@router.get("/ui/jobs")
async def jobs(request: Request) -> Response:
    wanted = request.query_params.get("id", "").strip().removeprefix("#")
    if wanted:
        return RedirectResponse(f"/ui/jobs/{quote(wanted, safe='')}", status_code=303)
    try:
        query = JobsQuery.read(request.query_params)
        page = await sources.jobs(request, query)
    except InvalidRequest as problem:
        return _problem(request, 422, "That filter cannot be used", _sentence(problem.detail))
    return render(
        request,
        "jobs.html",
        here="/ui/jobs",
        query=query,
        stats=await sources.stats(request),
        jobs=page,
        type_choices=_with_chosen([row["type"] for row in sources.types(request)], query.types),
        queue_choices=_with_chosen(await sources.queue_names(request), query.queues),
        curl_line=_curl_line(request),
        blank_job=BLANK_JOB,
    )


@router.get("/ui/jobs/{number}")
async def job(request: Request, number: str) -> Response:
    found = await _found(request, number)
    if found is None:
        return _problem(request, 404, "No such job", "It never existed, or was deleted.")
    return render(
        request,
        "job.html",
        here="/ui/jobs",
        job=found.view,
        texts=found.texts,
        logs=found.logs,
        actions=_ACTIONS,
        active=ACTIVE,
        blank_attempt=BLANK_ATTEMPT,
        blank_line=BLANK_LINE,
    )


@router.get("/ui/jobs/{number}/result")
async def result(request: Request, number: str) -> Response:
    """The result as text, for a page that saw its job finish: numbers stay as stored."""
    found = await _found(request, number)
    text = found.texts["result"] if found else None
    if text is None:
        return PlainTextResponse("There is no result.\n", status_code=404)
    return PlainTextResponse(text, headers={"Cache-Control": "no-cache"})


@router.get("/ui/workers")
async def workers(request: Request) -> Response:
    return render(
        request,
        "workers.html",
        here="/ui/workers",
        workers=await sources.workers(request),
        ended=await sources.ended_workers(request),
        blank_worker=BLANK_WORKER,
    )


@router.get("/ui")
@router.get("/ui/{view:path}")
async def nowhere(request: Request) -> Response:
    return _problem(request, 404, "No such page", "The address may be mistyped.")


async def _found(request: Request, number: str) -> sources.JobDetails | None:
    """The job of an address; what cannot be an id is as unknown as one never given."""
    try:
        return await sources.job(request, number)
    except InvalidRequest:
        return None


def _problem(request: Request, status: int, title: str, detail: str) -> Response:
    return render(request, "problem.html", status=status, title=title, detail=detail)


def _sentence(detail: str) -> str:
    return f"{detail[:1].upper()}{detail[1:]}."


def _with_chosen(known: list[str], chosen: tuple[str, ...]) -> list[str]:
    """What can be chosen, with what the address names even if it is not known any more."""
    return sorted({*known, *chosen})


def _curl_line(request: Request) -> str:
    body = '{"type": "sum_range", "payload": {"n": 100000}}'
    return f"curl --json '{body}' {request.base_url}jobs"
