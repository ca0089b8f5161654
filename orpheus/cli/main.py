"""The `orpheus` command: puts the command groups together and turns errors into exit codes.

Nothing heavy is imported here. `orpheus worker` becomes the master, which must never load SQLite,
the store or handlers (design 1); each command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from orpheus.cli import client_commands, programs, store_commands
from orpheus.errors import OrpheusError, ProgramError

EXIT_NEGATIVE = 1
EXIT_UNREACHABLE = 69

app = typer.Typer(
    name="orpheus",
    help="Durable background jobs on one machine from one SQLite file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
programs.register(app)
client_commands.register(app)
store_commands.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("orpheus"))
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    pass


def run() -> None:
    """Entry point of the `orpheus` script: expected problems are one line and an exit code."""
    try:
        app(prog_name="orpheus")
    except ProgramError as error:
        _stop(str(error), error.exit_code)
    except OrpheusError as error:
        # Only the client commands get here, so its module is loaded already or not needed.
        from orpheus.client.http import ServerUnreachable

        unreachable = isinstance(error, ServerUnreachable)
        _stop(str(error), EXIT_UNREACHABLE if unreachable else EXIT_NEGATIVE)
    except TimeoutError as error:
        _stop(str(error), EXIT_NEGATIVE)


def _stop(message: str, code: int) -> None:
    typer.echo(f"orpheus: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    run()
