"""Looking at jobs and acting on one."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from orpheus.api import answers, openapi
from orpheus.api.parameters import MAX_ID, Parameters, job_id
from orpheus.api.rendering import json_response
from orpheus.api.schemas import Job, JobPage, Logs
from orpheus.api.services import services
from orpheus.errors import RequestError

router = APIRouter(tags=["jobs"])

_LIST = ("state", "type", "queue", "tag", "limit", "cursor", "order")


@router.get(
    "/jobs",
    summary="List jobs",
    responses={200: {"model": JobPage}},
    openapi_extra=openapi.parameters(*_LIST),
)
async def list_jobs(request: Request) -> Response:
    query = Parameters(request.query_params, _LIST)
    page = await answers.jobs(
        services(request).reads,
        query.job_filter(),
        query.integer("limit", 50, 1, 200),
        query.text("cursor"),
        query.order(),
    )
    return json_response(page)


# Until acting on many jobs is built; without it, the path would be taken for an id.
@router.api_route("/jobs/actions", methods=["GET", "POST"], include_in_schema=False)
async def actions(request: Request) -> Response:
    raise RequestError("not_found", "acting on many jobs at once is not built yet")


@router.get(
    "/jobs/{id}",
    summary="One job with its attempts",
    responses={200: {"model": Job}},
    openapi_extra=openapi.parameters("wait"),
)
async def get_job(request: Request, id: str) -> Response:  # noqa: A002 - the contract's name
    number = job_id(id)
    api = services(request)
    if wait := Parameters(request.query_params, ("wait",)).seconds("wait"):
        await api.feed.waits.ended(number, wait)
    return json_response(await answers.existing_job(api.reads, number))


@router.delete("/jobs/{id}", status_code=204, summary="Delete a job that has ended")
async def delete_job(request: Request, id: str) -> Response:  # noqa: A002
    Parameters(request.query_params)
    await services(request).writer.delete(job_id(id))
    return Response(status_code=204)


@router.get(
    "/jobs/{id}/logs",
    summary="What the handler said",
    responses={200: {"model": Logs}},
    openapi_extra=openapi.parameters("after", "limit"),
)
async def get_logs(request: Request, id: str) -> Response:  # noqa: A002
    query = Parameters(request.query_params, ("after", "limit"))
    after = query.integer("after", 0, 0, MAX_ID)
    limit = query.integer("limit", 200, 1, 1000)
    return json_response(await answers.logs(services(request).reads, job_id(id), after, limit))


@router.post(
    "/jobs/{id}/cancel",
    summary="Cancel a job, or ask for it while it runs",
    responses={200: {"model": Job}, 202: {"model": Job}},
)
async def cancel_job(request: Request, id: str) -> Response:  # noqa: A002
    Parameters(request.query_params)
    number = job_id(id)
    api = services(request)
    answer = await api.writer.cancel(number)
    view = await answers.existing_job(api.reads, number)
    return json_response(view, 202 if answer["accepted"] else 200)


@router.post(
    "/jobs/{id}/retry",
    summary="Run a failed, cancelled or scheduled job again, or now",
    responses={200: {"model": Job}},
)
async def retry_job(request: Request, id: str) -> Response:  # noqa: A002
    Parameters(request.query_params)
    number = job_id(id)
    api = services(request)
    await api.writer.retry(number)
    return json_response(await answers.existing_job(api.reads, number))
