"""The commands that are programs of their own, without a server to talk to.

`worker` hands the master the main functions of its children. Those import their parts only in
the child, after the fork: the master stays without SQLite, the store and handlers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orpheus.absent import absent
from orpheus.errors import ConfigurationError, ProgramError
from orpheus.settings import SETTING_NAMES, Settings, load_settings, prepare_data_dir

# structlog loads rich for tracebacks in colour, and greenlet for a deprecated kind of context: 6 MB
# in each process. Ours are plain text before its renderer sees them, and we use contextvars.
with absent("rich", "greenlet"):
    from orpheus import log

if TYPE_CHECKING:
    from orpheus.ipc.seats import MaintenanceSeat, WorkerSeat

_POOL_NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(api)
    app.command()(worker)
    app.command()(migrate)
    app.command()(config)


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the API, the dashboard and the event feed."""
    settings = _begin("api", host=host, port=port)

    def serve() -> int:
        from orpheus.api.main import run

        return run(settings)

    raise typer.Exit(_logged(serve))


def worker(
    pool: Annotated[
        str, typer.Option(help="Name of this pool; pools of different names run side by side.")
    ] = "main",
    processes: Annotated[int | None, typer.Option(help="Number of workers.")] = None,
) -> None:
    """Run jobs: a master and its workers."""
    if not _POOL_NAME.fullmatch(pool):
        raise ConfigurationError(f"--pool {pool!r}: a name has 1 to 100 of A-Z a-z 0-9 . _ : -")
    settings = _begin("worker", processes=processes)
    from orpheus.pool.master import run
    from orpheus.pool.spec import PoolSpec

    def prepare() -> int:
        from orpheus.store.prepare import main

        return main(settings)

    def maintenance(seat: MaintenanceSeat) -> int:
        from orpheus.maintenance.main import main

        return main(seat, settings)

    def run_jobs(seat: WorkerSeat) -> int:
        from orpheus.worker.main import main

        return main(seat, settings)

    spec = PoolSpec(
        pool=pool,
        processes=settings.processes,
        run_dir=settings.run_dir,
        locks_dir=settings.locks_dir,
        gate_path=settings.gate_path,
        lease_seconds=settings.lease_seconds,
        drain_seconds=settings.drain_seconds,
        grace_seconds=settings.grace_seconds,
        start_seconds=settings.start_seconds,
        prepare=prepare,
        maintenance=maintenance,
        worker=run_jobs,
    )
    raise typer.Exit(_logged(lambda: run(spec)))


def migrate() -> None:
    """Bring the database to this version's schema, then stop. The programs do so by themselves."""
    settings = _begin("migrate")
    from orpheus.store.prepare import main

    code = main(settings)
    if code == 0:
        typer.echo(f"{settings.database_path} is up to date")
    raise typer.Exit(code)


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting, its value and where it comes from."""
    settings = load_settings()
    rows = {
        name: {"value": _shown(getattr(settings, name)), "origin": settings.origins[name]}
        for name in SETTING_NAMES
    }
    if as_json:
        document = {
            "root": str(settings.root),
            "config_file": settings.config_file and str(settings.config_file),
            "settings": rows,
            "warnings": list(settings.warnings),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"root         {settings.root}")
    typer.echo(f"config file  {settings.config_file or 'none'}")
    width = max(len(name) for name in rows)
    for name, row in rows.items():
        typer.echo(f"{name:<{width}}  {json.dumps(row['value'])}  ({row['origin']})")
    for warning in settings.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _begin(program: str, **flags: object) -> Settings:
    """Settings, data folder and logging of a program; its first line says where its data are."""
    settings = load_settings(flags)
    log.configure(program, settings.log_format, settings.log_level)
    logger = log.get_logger("cli")
    logger.info("starting", data_dir=str(settings.data_dir))
    for warning in settings.warnings:
        logger.warning(warning)
    prepare_data_dir(settings)
    return settings


def _logged(program: Callable[[], int]) -> int:
    """Run a program to its exit code; what ends it is a line of its log like all others."""
    try:
        return program()
    except ProgramError as error:
        log.get_logger("cli").error(str(error))
        return error.exit_code


def _shown(value: Any) -> object:
    if hasattr(value, "get_secret_value"):
        return "[set]"
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
