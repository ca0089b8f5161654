"""Traps of supervisord's own file format and of its control socket, in the file we ship."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

import pytest

PROGRAMS = ("program:orpheus-worker", "program:orpheus-api")


@pytest.fixture
def text(project_root: Path) -> str:
    return (project_root / "supervisord.conf").read_text(encoding="utf-8")


@pytest.fixture
def shipped(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
    parser.read_string(text)
    return parser


def test_a_percent_sign_stands_for_the_folder_and_for_nothing_else(
    shipped: configparser.RawConfigParser,
) -> None:
    """A stray one can put the whole environment into a value, an unknown name keeps it down."""
    for section in shipped.sections():
        for name, value in shipped.items(section):
            assert "%" not in value.replace("%(here)s", ""), (section, name)


def test_it_changes_no_user_and_runs_as_whoever_starts_it(
    shipped: configparser.RawConfigParser,
) -> None:
    """Becoming another user would take the death signal from the children."""
    for section in shipped.sections():
        assert not shipped.has_option(section, "user"), section


def test_the_socket_is_in_the_private_folder(shipped: configparser.RawConfigParser) -> None:
    assert shipped.get("unix_http_server", "file") == "%(here)s/var/run/supervisor.sock"
    assert shipped.get("supervisorctl", "serverurl").endswith("/var/run/supervisor.sock")
    assert not shipped.has_section("inet_http_server")


@pytest.mark.parametrize("program", PROGRAMS)
def test_both_streams_of_a_program_go_into_its_one_log_which_has_a_limit(
    shipped: configparser.RawConfigParser, program: str
) -> None:
    """Two processes that write and rotate one file spoil it."""
    assert shipped.getboolean(program, "redirect_stderr")
    assert not shipped.has_option(program, "stderr_logfile")
    assert not shipped.has_option(program, "numprocs")
    assert re.fullmatch(r"\d+MB", shipped.get(program, "stdout_logfile_maxbytes"))
    assert shipped.getint(program, "stdout_logfile_backups") > 0


def test_older_releases_with_known_holes_are_not_installed(project_root: Path) -> None:
    """supervisord's control socket, Starlette's ranges and forms; and no parser of forms at all."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    lock = tomllib.loads((project_root / "uv.lock").read_text(encoding="utf-8"))
    locked = {one["name"]: one.get("version", "0") for one in lock["package"]}
    for name, floor in (("supervisor", "4.3.0"), ("starlette", "0.49.1")):
        assert f"{name}>={floor}" in project["project"]["dependencies"]
        assert parts(locked[name]) >= parts(floor)
    assert "python-multipart" not in locked
    assert "multipart" not in locked


def parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
