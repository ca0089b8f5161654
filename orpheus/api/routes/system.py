"""Types, queues, workers and the numbers of the whole."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from orpheus.api import answers, openapi
from orpheus.api.parameters import Parameters, queue_name
from orpheus.api.rendering import json_response
from orpheus.api.schemas import Items, JobType, Queue, Stats, Worker
from orpheus.api.services import services

router = APIRouter(tags=["system"])


@router.get("/types", summary="Job types", responses={200: {"model": Items[JobType]}})
async def list_types(request: Request) -> Response:
    Parameters(request.query_params)
    api = services(request)
    return json_response(answers.types(api.registry, api.settings))


@router.get("/queues", summary="Queues", responses={200: {"model": Items[Queue]}})
async def list_queues(request: Request) -> Response:
    Parameters(request.query_params)
    return json_response(await answers.queues(services(request).reads))


@router.post(
    "/queues/{name}/pause", summary="Start no more of its jobs", responses={200: {"model": Queue}}
)
async def pause_queue(request: Request, name: str) -> Response:
    Parameters(request.query_params)
    api = services(request)
    await api.writer.pause(queue_name(name))
    return json_response(await answers.queue(api.reads, name))


@router.post(
    "/queues/{name}/resume", summary="Start its jobs again", responses={200: {"model": Queue}}
)
async def resume_queue(request: Request, name: str) -> Response:
    Parameters(request.query_params)
    api = services(request)
    await api.writer.resume(queue_name(name))
    return json_response(await answers.queue(api.reads, name))


@router.get(
    "/workers",
    summary="Workers and what each runs",
    responses={200: {"model": Items[Worker]}},
    openapi_extra=openapi.parameters("all"),
)
async def list_workers(request: Request) -> Response:
    include_ended = Parameters(request.query_params, ("all",)).flag("all")
    return json_response(await answers.workers(services(request).reads, include_ended))


@router.get("/stats", summary="Counts and ages", responses={200: {"model": Stats}})
async def get_stats(request: Request) -> Response:
    Parameters(request.query_params)
    return json_response(await answers.stats(services(request).reads))
