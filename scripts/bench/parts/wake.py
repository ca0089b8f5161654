"""Delayed jobs: how long after their time they start; and what a crowd of idle workers costs."""

from __future__ import annotations

import time

from bench.figures import percentile
from bench.orpheus_system import Orpheus
from bench.parts.latency import measured
from bench.preload import new_job, put, ring_workers, store
from bench.processes import wait_for
from bench.run_state import Run
from bench.tree import tree

_APART_US = 50_000
_FIRST_US = 1_500_000


def run(run: Run) -> None:
    """Forty delayed jobs 50 ms apart; then single jobs to pools of 2 and 8 workers."""
    for _ in range(run.rounds):
        with run.scratch("wake") as folder:
            _delayed(run, Orpheus(folder))
    for workers in (2, 8):
        with run.scratch("herd") as folder:
            _herd(run, Orpheus(folder, workers), workers)


def _delayed(run: Run, system: Orpheus) -> None:
    with store(system.settings) as database, system.pool():
        jobs = [new_job("bench_sum", {"n": 100}, _FIRST_US + n * _APART_US) for n in range(40)]
        put(database, jobs)
        ring_workers(system.settings, later=True)
        wait_for(lambda: system.count("done") == len(jobs), 30, "the delayed jobs")
        rows = system.rows("SELECT (started_at - run_at) / 1000.0 FROM jobs")
    late = [row[0] for row in rows]
    for name, value in (("p50", percentile(late, 50)), ("latest", max(late))):
        run.results.add("wake", "start after run_at, 40 delayed jobs", name, "ms", value)


def _herd(run: Run, system: Orpheus, workers: int) -> None:
    times = 60
    with store(system.settings) as database, system.pool():

        def submit() -> None:
            put(database, [new_job("bench_stamp", {"sent": time.monotonic_ns()})])
            ring_workers(system.settings)

        before = _cpu(system)
        waits = measured(system, submit, times)
        cpu = (_cpu(system) - before) / (times + 5) * 1000
    subject = f"one job to {workers} idle workers, by doorbell"
    run.results.add("wake", subject, "p50", "ms", percentile(waits, 50))
    run.results.add("wake", subject, "p99", "ms", percentile(waits, 99))
    run.results.add("wake", subject, "CPU of the pool a job", "ms", cpu)


def _cpu(system: Orpheus) -> float:
    return sum(one.cpu for process in system.processes for one in tree(process.pid))
