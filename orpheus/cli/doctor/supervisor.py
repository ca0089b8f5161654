"""supervisord's settings, where its file is at the root: what would make it kill jobs."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from pathlib import Path

from orpheus.cli.doctor.finding import Finding, ok, problem, warning
from orpheus.errors import EXIT_CONFIGURATION
from orpheus.settings import Settings

_FILE = "supervisord.conf"
# Maintenance settles after the workers' drain.
_SETTLING = 5
# What supervisord takes where nothing is said.
_DEFAULTS = {
    "stopwaitsecs": "10",
    "stopsignal": "TERM",
    "stopasgroup": "false",
    "killasgroup": "false",
    "autorestart": "unexpected",
    "exitcodes": "0",
}
_WANTED = (
    ("stopsignal", "TERM", "another signal does not drain"),
    ("stopasgroup", "false", "TERM is for the master alone, which drains its workers"),
    ("killasgroup", "true", "nothing may be left when it is killed"),
    ("autorestart", "unexpected", "all but exit 78 is worth a restart"),
    ("exitcodes", str(EXIT_CONFIGURATION), "78 means that a restart does not help"),
)


def check(settings: Settings) -> Iterator[Finding]:
    """Findings for each `orpheus` program in the file."""
    path = settings.root / _FILE
    if not path.is_file():
        yield ok("supervisor", f"no {path}; not looked at")
        return
    # As supervisord does it; %(here)s is not ours to fill in.
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        yield problem("supervisor", f"cannot read {path}: {error}", "repair it")
        return
    found = False
    for section in parser.sections():
        words = parser.get(section, "command", fallback="").replace('"', " ").split()
        if not section.startswith("program:") or not _is_ours(words):
            continue
        found = True
        values = {**_DEFAULTS, **dict(parser.items(section))}
        complaints = list(_complaints(section, values, settings, is_worker="worker" in words))
        yield from complaints or [ok("supervisor", f"{section} in {path}")]
    if not found:
        yield warning(
            "supervisor", f"{path} starts no program of Orpheus", "see the shipped supervisord.conf"
        )


def _is_ours(words: list[str]) -> bool:
    programs = [Path(word).name for word in words]
    return "orpheus" in programs and ("worker" in words or "api" in words)


def _complaints(
    section: str, values: dict[str, str], settings: Settings, is_worker: bool
) -> Iterator[Finding]:
    needed = settings.drain_seconds + _SETTLING if is_worker else _SETTLING
    waits = values["stopwaitsecs"]
    if not waits.isdigit() or int(waits) <= needed:
        yield warning(
            "supervisor",
            f"{section}: stopwaitsecs={waits}, but stopping may take {needed:g} s",
            f"set stopwaitsecs to {needed + 10:.0f}: running jobs are killed when it is over",
        )
    for name, wanted, reason in _WANTED:
        if values[name].strip().lower() != wanted.lower():
            yield warning("supervisor", f"{section}: {name}={values[name]}", f"{wanted}: {reason}")
