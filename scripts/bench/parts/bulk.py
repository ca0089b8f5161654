"""Many jobs at once, over HTTP and in-process, beside the bare insert statement's rate."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from typing import Any

from bench.orpheus_system import Orpheus
from bench.parts.limit import inserted
from bench.run_state import Run

_SIZE = 10_000
# So many that all of them write the log back now and then; in four batches it is a matter of luck.
_BATCHES = 24
_ONE = {"type": "bench_sum", "payload": {"n": 100}}


def run(run: Run) -> None:
    """Each once a round, on a database of its own. No worker runs meanwhile."""
    size = run.jobs(_SIZE)
    body = json.dumps({"jobs": [_ONE] * size}).encode()
    for _ in range(run.rounds):
        with run.scratch("bulk") as folder:
            system = Orpheus(folder)
            with system.api():
                _round(run, system, body, size)


def _round(run: Run, system: Orpheus, body: bytes, size: int) -> None:
    # What the first batch of a process costs once (statements, validators, memory) is no part of a
    # rate.
    system.post("/jobs/batch", body)
    client = _direct_client(run, system)
    inserted(run, "bulk", _BATCHES)
    rate = _timed(lambda: system.post("/jobs/batch", body), _BATCHES) * size
    run.results.add("bulk", f"POST /jobs/batch of {size:,}", "insert", "jobs/s", rate)
    if client is not None:
        _in_process(run, client, size)
        client.close()


def _in_process(run: Run, client: Any, size: int) -> None:
    many = [dict(_ONE) for _ in range(size)]
    client.submit_many(many)
    rate = _timed(lambda: client.submit_many(many), _BATCHES) * size
    subject = f"DirectClient.submit_many of {size:,}, in-process"
    run.results.add("bulk", subject, "insert", "jobs/s", rate)
    rate = _timed(lambda: client.submit("bench_sum", {"n": 100}), run.jobs(1000))
    run.results.add("bulk", "DirectClient.submit one by one, in-process", "insert", "jobs/s", rate)


def _timed(call: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return times / (time.perf_counter() - begun)


def _direct_client(run: Run, system: Orpheus) -> Any:
    """The client that writes to the file itself, where this version has one."""
    try:
        module = importlib.import_module("orpheus.client.direct")
    except ImportError as error:
        run.results.skip(
            "bulk", "DirectClient.submit_many, in-process", f"not in this version: {error}"
        )
        return None
    client = module.DirectClient(system.settings.data_dir, handlers=("bench.handlers",))
    try:
        client.submit_many([dict(_ONE)])
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        run.results.skip("bulk", "DirectClient.submit_many, in-process", reason)
        client.close()
        return None
    return client
