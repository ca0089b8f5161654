"""The commands that look after the database file itself, whether or not programs run.

`backup` works beside them, `restore` refuses to, `doctor` only looks. Each ends with 0, 75 (may
work later) or 78 (somebody has to change something).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orpheus.absent import absent
from orpheus.cli.render import printable
from orpheus.settings import Settings, load_settings, prepare_data_dir

with absent("rich", "greenlet"):
    from orpheus import log

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(backup)
    app.command()(restore)
    app.command()(doctor)


def backup(
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="A file, or a folder for a dated file.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace DEST if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the database to DEST, checked and whole, while everything runs."""
    settings = _settings("backup")
    from orpheus.clock import SystemClock
    from orpheus.store.backup import backup as make

    made = make(settings, destination, SystemClock(), force)
    if as_json:
        document = {
            "path": str(made.path),
            "bytes": made.bytes,
            "seconds": round(made.seconds, 3),
            **made.contents.as_dict(),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(
        f"{made.path}: {made.contents.jobs} jobs, {made.bytes} bytes, checked, {made.seconds:.1f} s"
    )


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A file made by backup.")],
    as_json: AsJson = False,
) -> None:
    """Put SRC in the place of the database. Stop Orpheus first; the old database is kept."""
    settings = _settings("restore")
    prepare_data_dir(settings)
    from orpheus.clock import SystemClock
    from orpheus.store.restore import restore as put_back

    restored = put_back(settings, source, SystemClock())
    if as_json:
        document = {
            "path": str(restored.path),
            "kept": restored.kept and str(restored.kept),
            "interrupted": restored.interrupted,
            **restored.contents.as_dict(),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{restored.path}: {restored.contents.jobs} jobs from {source}")
    if restored.interrupted:
        typer.echo(f"{restored.interrupted} attempts were under way; their jobs run again")
    if restored.kept:
        typer.echo(f"the database before is now {restored.kept}")


def doctor(as_json: AsJson = False) -> None:
    """Look at everything Orpheus relies on, change nothing, and say what to do."""
    settings = _settings("doctor")
    from orpheus.cli.doctor import data_folder, database, locks, supervisor
    from orpheus.clock import SystemClock

    clock = SystemClock()
    # The locks first: looking at them takes a process without a connection.
    findings = [
        *data_folder.check(settings),
        *locks.check(settings, clock),
        *database.check(settings, clock),
        *supervisor.check(settings),
    ]
    worst = max((finding.exit_code for finding in findings), default=0)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(printable(f"{finding.level:<8} {finding.check:<15} {finding.message}"))
            if finding.advice:
                typer.echo(printable(f"{'':<24} {finding.advice}"))
    raise typer.Exit(worst)


def _settings(program: str) -> Settings:
    settings = load_settings()
    log.configure(program, settings.log_format, settings.log_level)
    return settings
