"""`POST /jobs` on 50 connections beside a bare FastAPI route, in turns; no worker runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.bare_server import bare_server
from bench.figures import percentile
from bench.gate_watch import SEEN, observed
from bench.orpheus_system import Orpheus
from bench.processes import ask
from bench.run_state import Run

_BODY = json.dumps({"type": "bench_sum", "payload": {"n": 100}}).encode()
_CONNECTIONS = 50


def run(run: Run) -> None:
    """One turn of each a round."""
    with run.scratch("http") as folder:
        system = Orpheus(folder)
        body = folder / "body.json"
        body.write_bytes(_BODY)
        seconds = run.seconds(3, 2)
        with system.api(), bare_server(folder) as bare:
            for port in (system.port, bare):
                load(port, body, 1)
            for _ in range(run.rounds):
                for subject, port in (
                    ("POST /jobs of Orpheus", system.port),
                    ("bare FastAPI route, same body model", bare),
                ):
                    found = load(port, body, seconds)
                    run.results.add("http", subject, "requests", "requests/s", found["rate"])
                    run.results.add("http", subject, "p99", "ms", found["p99_ms"])
                _holds(run, system, body, seconds)


def _holds(run: Run, system: Orpheus, body: Path, seconds: float) -> None:
    """A load of its own, since who watches the gate takes time from it."""
    holds = observed(system.settings.gate_path, lambda: load(system.port, body, seconds))
    subject = "POST /jobs of Orpheus"
    run.results.add("http", subject, "gate hold p99", "ms", percentile(holds, 99), SEEN)
    run.results.add("http", subject, "gate hold, longest", "ms", max(holds), SEEN)


def load(port: int, body: Path, seconds: float, path: str = "/jobs", connections: int = 50) -> Any:
    """What the load of another process found; RuntimeError if anything but 2xx was answered."""
    found = ask(
        "bench.http_load", str(port), path, str(connections), str(seconds), str(body),
        timeout=seconds + 60,
    )  # fmt: skip
    wrong = {status: n for status, n in found["statuses"].items() if not status.startswith("2")}
    if wrong or not found["requests"]:
        raise RuntimeError(f"{path} answered {found['statuses']}")
    return found
