"""The drain of a preloaded queue: workers, durability, handlers' lengths, payloads, and the room
that is left for features which will look things up in every turn."""

from __future__ import annotations

from collections.abc import Iterator

from bench.lookup_tables import add_tables
from bench.marks import drain_rate
from bench.orpheus_system import Orpheus
from bench.preload import new_job, preload
from bench.run_state import Run
from orpheus.domain.job import NewJob

_SUM = new_job("bench_sum", {"n": 100})


def _cases() -> Iterator[tuple[str, NewJob, int, int, str]]:
    """Subject, job, how many, workers, durability."""
    for durability in ("full", "normal"):
        for workers in (1, 2, 4):
            yield f"0 ms, {workers} workers, {durability}", _SUM, 15_000, workers, durability
    for ms, jobs in ((1, 1500), (10, 200), (100, 30)):
        job = new_job("bench_sleep", {"ms": ms})
        for workers in (2, 4):
            yield f"{ms} ms, {workers} workers, full", job, jobs * workers // 2, workers, "full"
    for size, label in ((100, "100 B"), (10_000, "10 kB")):
        job = new_job("bench_payload", {"text": "x" * (size - 12)})
        yield f"payload {label}, 2 workers, full", job, 12_000 if size == 100 else 5_000, 2, "full"


def run(run: Run) -> None:
    """Each case once a round."""
    for _ in range(run.rounds):
        _lookups(run)
        for subject, job, jobs, workers, durability in _cases():
            with run.scratch("drain") as folder:
                system = Orpheus(folder, workers, durability)
                jobs = run.jobs(jobs)
                try:
                    preload(system.settings, job, jobs)
                    with system.pool(ready=False):
                        rate = drain_rate(system.marks, jobs, 120)
                except RuntimeError as error:
                    run.results.skip("drain", subject, str(error))
                    continue
                run.results.add("drain", subject, "drain", "jobs/s", rate)


def _lookups(run: Run) -> None:
    """The same drain with and without them, next to each other."""
    jobs = run.jobs(40_000)
    for subject, handlers in (
        ("turns as they are", "bench.handlers"),
        ("a dependency and a limit lookup a turn", "bench.handlers_with_lookups"),
    ):
        with run.scratch("lookups") as folder:
            system = Orpheus(folder, handlers=handlers)
            preload(system.settings, _SUM, jobs)
            add_tables(system.settings)
            with system.pool(ready=False):
                rate = drain_rate(system.marks, jobs, 120)
            run.results.add("drain", subject, "drain", "jobs/s", rate)
