"""Puts the API together: services, middlewares, routes, and what runs beside the requests.

`create_app` opens nothing; the lifespan opens the reads, connects the writer and starts the feed,
and closes them in the opposite order.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import anyio
from fastapi import FastAPI
from starlette.types import ASGIApp

from orpheus.api import pages, problems
from orpheus.api.access import Access
from orpheus.api.bodies import Bodies
from orpheus.api.cors import Cors
from orpheus.api.exposure import own_hosts
from orpheus.api.express import Express
from orpheus.api.health import Health
from orpheus.api.login import TokenGuard
from orpheus.api.metrics import Metrics
from orpheus.api.routes import jobs, live, operations, submit, system
from orpheus.api.security import HostGuard, OriginGuard, SecurityHeaders
from orpheus.api.services import Services
from orpheus.api.sockets import Clients
from orpheus.api.topics import load_topic
from orpheus.api.writer_client import WriterClient
from orpheus.clock import Clock
from orpheus.feed.feed import Feed
from orpheus.handlers.registry import Registry
from orpheus.ipc.doorbell import feed_bell
from orpheus.log import get_logger
from orpheus.settings import Settings
from orpheus.store.reads import Reads

_log = get_logger(__name__)


def create_app(
    settings: Settings,
    registry: Registry,
    writer: WriterClient,
    clock: Clock,
    on_failure: Callable[[], None],
) -> FastAPI:
    """The routes; `front` guards them. `on_failure` is called when it can no longer do its work."""
    reads = Reads(settings.database_path, clock)
    metrics = Metrics()
    writer.observe = metrics.store.observe
    services = Services(
        settings=settings,
        registry=registry,
        writer=writer,
        reads=reads,
        feed=Feed(reads, feed_bell(settings.run_dir, os.getpid()), partial(load_topic, reads)),
        health=Health(settings, reads, writer, clock),
        metrics=metrics,
        clients=Clients(),
    )
    app = FastAPI(
        title="Orpheus",
        version=version("orpheus"),
        description="Durable background jobs on one machine from one SQLite file.",
        lifespan=partial(_lifespan, services, on_failure),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    routers = [module.router for module in (submit, jobs, system, operations, live, pages)]
    for router in routers:
        app.include_router(router)
    pages.mount_static(app)
    problems.install(app, routers)
    return app


def front(app: FastAPI, clock: Clock) -> ASGIApp:
    """What the server calls: the app behind its guards, each wrapping those before it."""
    services: Services = app.state.services
    settings = services.settings
    inner: ASGIApp = Bodies(Express(app, submit.router))
    if settings.token is not None:
        token = settings.token.get_secret_value()
        inner = TokenGuard(inner, token, app.state.pages, clock)
    inner = OriginGuard(inner, settings.allowed_origins)
    if settings.allowed_origins:
        inner = Cors(inner, settings.allowed_origins)
    inner = HostGuard(inner, own_hosts(settings))
    return Access(SecurityHeaders(inner), clock, services.metrics.http)


@asynccontextmanager
async def _lifespan(
    services: Services, on_failure: Callable[[], None], _app: FastAPI
) -> AsyncIterator[None]:
    writer = services.writer
    async with services.reads, anyio.create_task_group() as tasks:
        await writer.connect()
        for task in (writer.watch, services.feed.run):
            tasks.start_soon(_supervise, task, on_failure)
        yield
        writer.close()
        tasks.cancel_scope.cancel()


async def _supervise(task: Callable[[], Awaitable[None]], on_failure: Callable[[], None]) -> None:
    """A background task that fails takes the API down instead of leaving it half alive."""
    try:
        await task()
    except Exception:
        _log.exception("a background task of the API failed")
        on_failure()
