"""What the routes work with, made once by `api.app` and found through the request."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, WebSocket

from orpheus.api.health import Health
from orpheus.api.metrics import Metrics
from orpheus.api.sockets import Clients
from orpheus.api.writer_client import WriterClient
from orpheus.feed.feed import Feed
from orpheus.handlers.registry import Registry
from orpheus.settings import Settings
from orpheus.store.reads import Reads


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the routes."""

    settings: Settings
    registry: Registry
    writer: WriterClient
    reads: Reads
    feed: Feed
    health: Health
    metrics: Metrics
    clients: Clients


def services(connection: Request | WebSocket) -> Services:
    """The services of the app that serves this request."""
    found: Services = connection.app.state.services
    return found
