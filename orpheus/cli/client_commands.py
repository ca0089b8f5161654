"""The commands that talk HTTP to a running server.

What they print on standard output is the answer and nothing else: readable columns, or with
`--json` the API's own document. A negative answer (a job that failed, a health that fails) ends
with 1; problems are raised and become one line in `main`.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orpheus.cli.render import columns, printable

if TYPE_CHECKING:
    from orpheus.client.http import Client, Job

Url = Annotated[
    str | None,
    typer.Option("--url", help="Server address; else ORPHEUS_URL, else from the settings."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
JobId = Annotated[int, typer.Argument(metavar="ID", min=1)]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(submit)
    app.command()(jobs)
    app.command()(job)
    app.command()(cancel)
    app.command()(retry)
    app.command()(health)


def submit(
    job_type: Annotated[str, typer.Argument(metavar="TYPE")],
    payload: Annotated[
        str, typer.Argument(metavar="[PAYLOAD]", help="A JSON object; - reads standard input.")
    ] = "{}",
    wait: Annotated[bool, typer.Option("--wait", help="Wait and print the result.")] = False,
    wait_timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait at most.", min=0)
    ] = None,
    queue: Annotated[str | None, typer.Option()] = None,
    priority: Annotated[int | None, typer.Option(help="-100 to 100, higher first.")] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds from now.")] = None,
    run_at: Annotated[str | None, typer.Option(help="RFC 3339 time with zone.")] = None,
    max_retries: Annotated[int | None, typer.Option()] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds one attempt may take.")] = None,
    unique_key: Annotated[str | None, typer.Option()] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    idempotency_key: Annotated[str | None, typer.Option()] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job; with --wait, end with 1 unless it is done."""
    options = {
        "queue": queue,
        "priority": priority,
        "delay": delay,
        "run_at": run_at,
        "max_retries": max_retries,
        "timeout": timeout,
        "unique_key": unique_key,
        "tags": tag or None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    with _client(url) as client:
        submitted = client.submit(
            job_type, _payload(payload), idempotency_key=idempotency_key, **given
        )
        if not wait:
            _print_job(submitted, as_json)
            return
        final = client.wait(submitted["id"], timeout=wait_timeout)
    if as_json:
        _print_json(final)
    elif final["state"] == "done":
        typer.echo(json.dumps(final["result"]))
    else:
        typer.echo(f"job {final['id']} {final['state']}{_reason(final)}", err=True)
    if final["state"] != "done":
        raise typer.Exit(1)


def jobs(
    state: Annotated[list[str] | None, typer.Option()] = None,
    job_type: Annotated[list[str] | None, typer.Option("--type")] = None,
    queue: Annotated[list[str] | None, typer.Option()] = None,
    tag: Annotated[list[str] | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    filters = {"state": state, "type": job_type, "queue": queue, "tag": tag}
    given = {name: value for name, value in filters.items() if value}
    with _client(url) as client:
        rows = client.jobs(limit=limit, **given)
    if as_json:
        _print_json({"items": rows})
        return
    header = ("ID", "STATE", "TYPE", "QUEUE", "ATTEMPT", "CREATED")
    table = [
        (
            str(row["id"]),
            str(row["state"]),
            str(row["type"]),
            str(row["queue"]),
            str(row["attempt"]),
            str(row["created_at"]),
        )
        for row in rows
    ]
    for line in columns([header, *table]):
        typer.echo(line)


def job(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Show one job with its attempts."""
    with _client(url) as client:
        found = client.get(job_id)
    if as_json:
        _print_json(found)
        return
    for name in _SHOWN:
        value = found.get(name)
        if value is not None and value != [] and value != {}:
            typer.echo(f"{name:<12} {_text(value)}")
    if found.get("cancel_requested"):
        typer.echo("asked to stop")
    if found["error"]:
        error = found["error"]
        typer.echo(f"{'error':<12} {printable(error['type'])}: {printable(error['message'])}")
    header = ("ATTEMPT", "WORKER", "OUTCOME", "STARTED", "FINISHED", "EXIT")
    table = [
        (
            str(attempt["attempt"]),
            str(attempt["worker"]),
            attempt["outcome"] or "open",
            attempt["started_at"] or "",
            attempt["finished_at"] or "",
            attempt["exit"] or "",
        )
        for attempt in found["attempts"]
    ]
    if table:
        typer.echo()
        for line in columns([header, *table]):
            typer.echo(line)


def cancel(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel a waiting job; ask a running one to stop."""
    with _client(url) as client:
        answer = client.cancel(job_id)
    if as_json or answer["state"] == "cancelled":
        _print_job(answer, as_json)
    else:
        typer.echo(f"job {job_id} {answer['state']}, asked to stop")


def retry(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Run a failed or cancelled job again, or a scheduled one now."""
    with _client(url) as client:
        _print_job(client.retry(job_id), as_json)


def health(url: Url = None, as_json: AsJson = False) -> None:
    """Ask the server how it is; ends with 0 only if it is well."""
    with _client(url) as client:
        answer = client.health()
    if as_json:
        _print_json(answer)
    else:
        typer.echo(answer["status"])
        for name, check in answer["checks"].items():
            facts = "  ".join(f"{key} {value}" for key, value in check.items() if key != "ok")
            typer.echo(f"  {name:<9} {'ok' if check['ok'] else 'failing':<8} {facts}")
    if answer["status"] != "ok":
        raise typer.Exit(1)


_SHOWN = (
    "id",
    "type",
    "queue",
    "state",
    "priority",
    "attempt",
    "retries",
    "crashes",
    "payload",
    "result",
    "progress",
    "tags",
    "meta",
    "unique_key",
    "created_at",
    "run_at",
    "started_at",
    "finished_at",
    "worker",
)


def _client(url: str | None) -> Client:
    from orpheus.client.http import Client

    return Client(url)


def _payload(text: str) -> dict[str, Any]:
    source = sys.stdin.read() if text == "-" else text
    try:
        payload = json.loads(source)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="PAYLOAD") from None
    if not isinstance(payload, dict):
        raise typer.BadParameter('must be a JSON object such as {"n": 10}', param_hint="PAYLOAD")
    return payload


def _print_job(shown: Job, as_json: bool) -> None:
    if as_json:
        _print_json(shown)
    else:
        typer.echo(f"job {shown['id']} {shown['state']}")


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2))


def _reason(final: Job) -> str:
    error = final.get("error")
    return f": {printable(error['type'])}: {printable(error['message'])}" if error else ""


def _text(value: object) -> str:
    return printable(value) if isinstance(value, str) else json.dumps(value)
