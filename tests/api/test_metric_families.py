"""The stored figures as families: what whoever may submit can invent does not grow without end."""

from __future__ import annotations

from typing import Any, cast

from orpheus.api.metric_families import stored_families
from orpheus.store.reads import MetricsRows
from orpheus.store.reads_figures import QueueFigures

INVENTED = 250
MOST = 102  # a hundred, the default queue, and `other`


def rows() -> MetricsRows:
    """As many queues and types, each with one job and one submit; the last queue is paused."""
    queues = [
        QueueFigures(f"q{n:03}", n == INVENTED - 1, {"pending": 1}, 2_000_000 + n)
        for n in range(INVENTED)
    ]
    totals = [
        {"name": "jobs_submitted", "queue": f"q{n:03}", "type": f"t{n:03}", "label": "", "value": 1}
        for n in range(INVENTED)
    ]
    return MetricsRows(3_000_000, queues, {}, cast(Any, totals), 0, 0, 0)


def values(name: str) -> dict[tuple[str, ...], float]:
    (family,) = [family for family in stored_families(rows()) if family.name == name]
    return {tuple(one.labels.values()): one.value for one in family.samples}


def test_queues_beyond_a_hundred_are_one() -> None:
    jobs = values("orpheus_jobs")
    assert len({queue for queue, _ in jobs}) <= MOST
    assert jobs["q000", "pending"] == 1
    assert jobs["other", "pending"] == INVENTED - 100
    assert sum(jobs.values()) == INVENTED
    assert values("orpheus_queue_paused")["other",] == 1
    ages = values("orpheus_queue_oldest_ready_age_seconds")
    assert (ages["q000",], ages["default",]) == (1, 0)
    assert 0.999 < ages["other",] < 1


def test_so_are_they_and_types_in_what_is_counted() -> None:
    counted = values("orpheus_jobs_enqueued")
    assert len({queue for queue, _ in counted}) <= MOST
    assert len({type_ for _, type_ in counted}) <= MOST
    assert counted["other", "other"] == INVENTED - 100
    assert sum(counted.values()) == INVENTED
