"""Mixed load: submits while the pool drains, and how long the gate is held under 16 MiB batches."""

from __future__ import annotations

import json
import time
from pathlib import Path

from bench.figures import percentile
from bench.gate_watch import SEEN, observed
from bench.orpheus_system import Orpheus
from bench.parts.http import load
from bench.preload import new_job, preload
from bench.processes import wait_for
from bench.run_state import Run

_BATCHES = 3


def run(run: Run) -> None:
    """Both, once a round."""
    for _ in range(run.rounds):
        with run.scratch("mixed") as folder:
            _submits_while_draining(run, folder)
        with run.scratch("large") as folder:
            _large_batches(run, folder)


def _submits_while_draining(run: Run, folder: Path) -> None:
    system = Orpheus(folder)
    body = folder / "body.json"
    body.write_bytes(json.dumps({"type": "bench_sum", "payload": {"n": 100}}).encode())
    preload(system.settings, new_job("bench_sum", {"n": 100}), run.jobs(100_000))
    seconds = run.seconds(4, 2)
    with system.api(), system.pool():
        before, begun = system.marks.counted(), time.monotonic()
        found = load(system.port, body, seconds, connections=10)
        drained = (system.marks.counted() - before) / (time.monotonic() - begun)
    subject = "submits on 10 connections beside a drain"
    run.results.add("mixed", subject, "submitted", "jobs/s", found["rate"])
    run.results.add("mixed", subject, "submit p99", "ms", found["p99_ms"])
    run.results.add("mixed", subject, "run meanwhile", "jobs/s", drained)


def _large_batches(run: Run, folder: Path) -> None:
    system = Orpheus(folder)
    size = run.jobs(10_000)
    text = "x" * (16 * 1024 * 1024 // size - 70)
    one = {"type": "bench_payload", "payload": {"text": text}}
    body = json.dumps({"jobs": [one] * size}).encode()
    with system.api(), system.pool():
        holds = observed(
            system.settings.gate_path,
            lambda: [system.post("/jobs/batch", body) for _ in range(_BATCHES)],
        )
        wait_for(lambda: system.count("done") >= size * _BATCHES, 60, "the large jobs")
    subject = f"{_BATCHES} batches of {len(body) / 2**20:.1f} MiB beside 2 workers"
    run.results.add("mixed", subject, "gate hold p99", "ms", percentile(holds, 99), SEEN)
    run.results.add("mixed", subject, "gate hold, longest", "ms", max(holds), SEEN)
