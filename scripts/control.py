"""`./scripts/start` and `./scripts/stop`, once .venv is there.

Starts supervisord with the shipped configuration, waits until the API is healthy, puts two jobs
through and prints their results; or stops all of it and makes sure that nothing is left.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from check_port import EXIT_TEMPORARY, complaint, port_is_taken
from supervision import PROGRAMS, Supervision, SupervisionError

from orpheus.client.http import Client, OrpheusHTTPError, ServerUnreachable, server_url
from orpheus.errors import EXIT_INTERNAL, ConfigurationError, OrpheusError
from orpheus.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
FIRST_JOBS: tuple[tuple[str, dict[str, object], dict[str, int]], ...] = (
    ("sum_range", {"n": 100_000}, {"sum": 5_000_050_000}),
    ("wordcount", {"text": "the quick brown fox jumps"}, {"count": 5}),
)
# supervisord's BACKOFF is a program that just failed; these are the ones it will not try again.
_GIVEN_UP = ("FATAL", "EXITED", "UNKNOWN")
_UP = ("RUNNING", "STARTING")
_HEALTHY_WITHIN = 60.0
_JOB_WITHIN = 60.0


def start() -> int:
    """Bring everything up, prove that it works, say where it is."""
    settings = load_settings(cwd=ROOT)
    supervision = Supervision(ROOT)
    supervision.prepare()
    address = server_url(None, settings.host, settings.port)
    facts = {"url": address, "data_dir": str(settings.data_dir)}
    record = supervision.run_dir / "started.json"

    if supervision.answers():
        running = _read(record)
        if running and running != facts:
            raise SupervisionError(
                f"Orpheus runs from this checkout already, at {running['url']} with its data in "
                f"{running['data_dir']}. To change that: ./scripts/stop first."
            )
        states = supervision.states()
        if states.get("orpheus-api") not in _UP:
            _check_port(settings)
        for name in PROGRAMS:
            if states.get(name) not in _UP:
                supervision.start_program(name)
    else:
        _check_port(settings)
        supervision.start()
    record.write_text(json.dumps(facts), encoding="utf-8")

    token = settings.token.get_secret_value() if settings.token else ""
    with Client(address, token) as client:
        _until_healthy(client, supervision)
        for job_type, payload, expected in FIRST_JOBS:
            _put_through(client, supervision, job_type, payload, expected)
    _until_running(supervision)
    print(f"Dashboard: {address}/")
    return 0


def stop() -> int:
    """Stop everything this checkout started."""
    supervision = Supervision(ROOT)
    try:
        drain = load_settings(cwd=ROOT).drain_seconds
    except ConfigurationError:
        drain = 25.0  # a broken setting must not keep Orpheus from being stopped
    ran = supervision.stop(patience=drain + 60)
    # With supervisord gone in order, only a job's own processes can be left; had it been killed,
    # the programs themselves are, and they still drain.
    left = supervision.sweep(patience=2.0 if ran else drain + 10)
    supervision.clean_up()
    (supervision.run_dir / "started.json").unlink(missing_ok=True)
    print("Orpheus is stopped." if ran or left else "Orpheus is not running.")
    return 0


def _check_port(settings: Settings) -> None:
    if port_is_taken(settings.host, settings.port):
        raise SupervisionError(complaint(settings.host, settings.port))


def _until_healthy(client: Client, supervision: Supervision) -> None:
    deadline = time.monotonic() + _HEALTHY_WITHIN
    last = ""
    while time.monotonic() < deadline:
        try:
            health = client.health()
            if health["status"] == "ok":
                return
            last = json.dumps(health)
        except (ServerUnreachable, OrpheusHTTPError) as error:
            last = str(error)
        _check_programs(supervision)
        time.sleep(0.1)
    raise SupervisionError(f"not healthy within {_HEALTHY_WITHIN:g} s: {last}")


def _until_running(supervision: Supervision) -> None:
    """Until supervisord believes it, too: it calls a program RUNNING after `startsecs`."""
    while any(state == "STARTING" for state in supervision.states().values()):
        time.sleep(0.05)
    _check_programs(supervision)


def _put_through(
    client: Client,
    supervision: Supervision,
    job_type: str,
    payload: dict[str, object],
    expected: dict[str, int],
) -> None:
    job = client.submit(job_type, payload)
    deadline = time.monotonic() + _JOB_WITHIN
    while job["state"] not in ("done", "failed", "cancelled"):
        _check_programs(supervision)
        if time.monotonic() > deadline:
            raise SupervisionError(
                f"job {job['id']} ({job_type}) is still {job['state']} after {_JOB_WITHIN:g} s; "
                f"see {supervision.log_dir}"
            )
        job = client.get(job["id"], wait=1)
    if job["result"] != expected:
        raise SupervisionError(f"job {job['id']} ({job_type}) {job['state']}: {job['error']}")
    print(json.dumps(job["result"]), flush=True)


def _check_programs(supervision: Supervision) -> None:
    for name, state in supervision.states().items():
        if state in _GIVEN_UP:
            raise SupervisionError(
                f"{name} is {state}:\n{supervision.complaints(name)}\n"
                f"(its log: {supervision.log_dir})"
            )


def _read(record: Path) -> dict[str, str] | None:
    try:
        value = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and {"url", "data_dir"} <= value.keys() else None


def main(arguments: list[str]) -> int:
    """Exit code of `start` or `stop`; expected problems are one message."""
    try:
        return {"start": start, "stop": stop}[arguments[0]]()
    except SupervisionError as error:
        print(error, file=sys.stderr)
        return EXIT_TEMPORARY
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OrpheusError as error:
        print(error, file=sys.stderr)
        return EXIT_INTERNAL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
