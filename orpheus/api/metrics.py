"""`/metrics`: the stored figures of all processes, and what this process counts itself.

Stored figures come from rows that rise in the settling transactions, so they survive restarts and
need no multiprocess mode; `render` turns one snapshot of them into families. HTTP and socket
figures are this process' own. Everything lives in a private registry.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from orpheus.api.metric_families import stored_families
from orpheus.store.reads import MetricsRows

# The text format has no place for them but extra series, one for each of ours.
disable_created_metrics()  # type: ignore[no-untyped-call]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class _StoredFigures(Collector):
    """Presents the last snapshot that was read; holds no connection."""

    def __init__(self) -> None:
        self.rows: MetricsRows | None = None

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        if self.rows is not None:
            yield from stored_families(self.rows)


class HttpMetrics:
    """Requests by method, route and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "orpheus_http_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ["method", "route", "code"],
            registry=registry,
        )
        # Found once each; as few as there are series.
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in _METHODS else "other"
        child = self._children.get((method, route, status))
        if child is None:
            child = self._seconds.labels(method, route, str(status))
            self._children[method, route, status] = child
        child.observe(seconds)


class SocketMetrics:
    """The live feed's clients and frames."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge("orpheus_ws_clients", "Open feed connections.", registry=registry)
        self.frames = Counter(
            "orpheus_ws_frames", "Frames sent on the feed.", ["kind"], registry=registry
        )
        self.coalesced = Counter(
            "orpheus_ws_frames_coalesced",
            "Values a dashboard skipped because a newer one was there.",
            registry=registry,
        )
        self.lag = Histogram(
            "orpheus_ws_lag_seconds",
            "Time from an event to the sending of its frame.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
            registry=registry,
        )


class StoreMetrics:
    """How the writer process answers this one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.write_seconds = Histogram(
            "orpheus_db_write_seconds",
            "Time from a write's request to its committed answer.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )
        self.busy = Counter(
            "orpheus_db_busy",
            "Writes refused because the database was busy.",
            registry=registry,
        )

    def observe(self, seconds: float, busy: bool) -> None:
        self.write_seconds.observe(seconds)
        if busy:
            self.busy.inc()


class Metrics:
    """The registry and its parts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.http = HttpMetrics(self.registry)
        self.sockets = SocketMetrics(self.registry)
        self.store = StoreMetrics(self.registry)
        self._stale = Gauge(
            "orpheus_metrics_stale",
            "1 while the stored figures could not be read afresh.",
            registry=self.registry,
        )
        self._stored = _StoredFigures()
        self.registry.register(self._stored)

    def render(self, rows: MetricsRows | None, accept: str) -> tuple[bytes, str]:
        """The exposition and its media type; without `rows` the last good ones are shown."""
        self._stale.set(rows is None)
        if rows is not None:
            self._stored.rows = rows
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type
