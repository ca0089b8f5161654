"""Stored figures as Prometheus families: pure, from one snapshot of rows.

Names and labels are part of the contract. `type` and `queue` are capped, because whoever may submit
may also invent them; beyond the cap they are summed as `other`.
"""

from __future__ import annotations

import platform
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from orpheus.clock import SECOND_US
from orpheus.domain.histogram import LABELS
from orpheus.domain.job import JobState
from orpheus.handlers.limits import DEFAULT_QUEUE
from orpheus.store.reads import MetricsRows
from orpheus.store.reads_figures import QueueFigures

_MAX_NAMES = 100
_WORKER_STATES = ("starting", "idle", "running", "draining")

# name in `totals` -> (family, help, label for `totals.label`)
_BY_TYPE = {
    "jobs_submitted": ("orpheus_jobs_enqueued", "Jobs submitted.", None),
    "jobs_finished": ("orpheus_jobs_finished", "Jobs that reached a final state.", "outcome"),
    "attempts": ("orpheus_job_attempts", "Attempts ended.", "outcome"),
}
_HISTOGRAMS = {
    "wait_seconds": ("orpheus_job_wait_seconds", "From due to started."),
    "run_seconds": ("orpheus_job_run_seconds", "From started to finished."),
}

_Key = tuple[str, str, str]


def stored_families(rows: MetricsRows) -> Iterator[Metric]:
    """All families made from the database."""
    queues = _Names((queue.name for queue in rows.queues), always=("", DEFAULT_QUEUE))
    totals = _Totals(rows.totals, queues)
    yield _build_info()
    yield from _queues(rows, queues)
    yield from _workers(rows.workers)
    for name, (family, text, label) in _BY_TYPE.items():
        yield _counter(totals, name, family, text, label)
    for name, (family, text) in _HISTOGRAMS.items():
        yield _histogram(totals, name, family, text)
    yield from _leases(totals)
    yield from _store(rows, totals)


class _Names:
    """Names that become labels: the first hundred, and `other` for what is beyond."""

    def __init__(self, names: Iterable[str], always: Iterable[str] = ()) -> None:
        self._kept = {*sorted(set(names))[:_MAX_NAMES], *always}

    def label(self, name: str) -> str:
        return name if name in self._kept else "other"


class _Totals:
    """The totals by name, with rare types and queues folded together."""

    def __init__(self, rows: Sequence[sqlite3.Row], queues: _Names) -> None:
        self._values: defaultdict[str, Counter[_Key]] = defaultdict(Counter)
        types = _Names(row["type"] for row in rows)
        for row in rows:
            key = queues.label(row["queue"]), types.label(row["type"]), row["label"]
            self._values[row["name"]][key] += row["value"]

    def of(self, name: str) -> Counter[_Key]:
        return self._values[name]

    def sum(self, name: str) -> float:
        return sum(self._values[name].values())


def _build_info() -> Metric:
    family = GaugeMetricFamily(
        "orpheus_build_info", "What runs here.", labels=["version", "python", "sqlite"]
    )
    family.add_metric([version("orpheus"), platform.python_version(), sqlite3.sqlite_version], 1)
    return family


def _queues(rows: MetricsRows, names: _Names) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("orpheus_jobs", "Jobs by state.", labels=["queue", "state"])
    paused = GaugeMetricFamily(
        "orpheus_queue_paused", "1 while the queue is paused.", labels=["queue"]
    )
    oldest = GaugeMetricFamily(
        "orpheus_queue_oldest_ready_age_seconds",
        "How long the oldest pending job has been due; 0 where none is.",
        labels=["queue"],
    )
    # From the first scrape on, so that alerts have something to compare.
    found: defaultdict[str, list[QueueFigures]] = defaultdict(list, {DEFAULT_QUEUE: []})
    for queue in rows.queues:
        found[names.label(queue.name)].append(queue)
    for name, queues in sorted(found.items()):
        for state in JobState:
            jobs.add_metric([name, state], sum(queue.states.get(state, 0) for queue in queues))
        paused.add_metric([name], any(queue.paused for queue in queues))
        since = [queue.oldest for queue in queues if queue.oldest is not None]
        age = max(0, rows.now - min(since)) / SECOND_US if since else 0
        oldest.add_metric([name], age)
    yield jobs
    yield paused
    yield oldest


def _workers(states: dict[str, int]) -> Iterator[Metric]:
    workers = GaugeMetricFamily("orpheus_workers", "Live workers by state.", labels=["state"])
    for state in _WORKER_STATES:
        workers.add_metric([state], states.get(state, 0))
    yield workers
    slots = GaugeMetricFamily(
        "orpheus_worker_slots", "Places where jobs can run.", labels=["state"]
    )
    slots.add_metric(["busy"], states.get("running", 0))
    slots.add_metric(["free"], states.get("idle", 0))
    yield slots


def _counter(totals: _Totals, name: str, family: str, text: str, label: str | None) -> Metric:
    labels = ["queue", "type", *([label] if label else [])]
    metric = CounterMetricFamily(family, text, labels=labels)
    for (queue, type_, value), total in sorted(totals.of(name).items()):
        metric.add_metric([queue, type_, *([value] if label else [])], total)
    return metric


def _histogram(totals: _Totals, name: str, family: str, text: str) -> Metric:
    """Stored buckets hold each observation once; the exposition wants them cumulative."""
    metric = HistogramMetricFamily(family, text, labels=["queue", "type"])
    buckets = totals.of(f"{name}_bucket")
    sums = totals.of(f"{name}_sum")
    for queue, type_ in sorted({(queue, type_) for queue, type_, _ in buckets}):
        running = 0.0
        cumulative = []
        for label in LABELS:
            running += buckets[queue, type_, label]
            cumulative.append((label, running))
        metric.add_metric([queue, type_], cumulative, sums[queue, type_, ""])
    return metric


def _leases(totals: _Totals) -> Iterator[Metric]:
    reclaimed = CounterMetricFamily(
        "orpheus_leases_reclaimed", "Leases taken back from ended workers.", labels=["reason"]
    )
    by_reason: Counter[str] = Counter()
    for (_, _, reason), value in totals.of("leases_reclaimed").items():
        by_reason[reason] += value
    for reason, value in sorted(by_reason.items()):
        reclaimed.add_metric([reason], value)
    yield reclaimed
    yield CounterMetricFamily(
        "orpheus_fenced_writes",
        "Outcomes dropped because their lease was lost.",
        value=totals.sum("fenced_writes"),
    )
    yield CounterMetricFamily(
        "orpheus_output_dropped",
        "Lines of handlers that were said faster than they could be stored.",
        value=totals.sum("output_dropped"),
    )


def _store(rows: MetricsRows, totals: _Totals) -> Iterator[Metric]:
    yield SummaryMetricFamily(
        "orpheus_gate_wait_seconds",
        "Waiting for the write gate, of all processes.",
        count_value=totals.sum("gate_wait_seconds_count"),  # type: ignore[arg-type]
        sum_value=totals.sum("gate_wait_seconds_sum"),
    )
    yield CounterMetricFamily(
        "orpheus_gate_long_holds",
        "Holds of the write gate over 50 ms.",
        value=totals.sum("gate_long_holds"),
    )
    size = GaugeMetricFamily("orpheus_db_bytes", "Size of the database.", labels=["file"])
    size.add_metric(["main"], rows.main_bytes)
    size.add_metric(["wal"], rows.wal_bytes)
    yield size
    yield GaugeMetricFamily(
        "orpheus_events_seq", "Number of the newest event.", value=float(rows.seq)
    )
