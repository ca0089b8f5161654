"""supervisord.conf and config/ as they are shipped, read without running them."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from orpheus.errors import EXIT_CONFIGURATION
from orpheus.settings import SETTING_NAMES, load_settings

# Maintenance gets 5 s to settle after the workers' drain; then some air.
_SETTLING = 5
PROGRAMS = ("program:orpheus-worker", "program:orpheus-api")


@pytest.fixture
def shipped(project_root: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
    parser.read(project_root / "supervisord.conf", encoding="utf-8")
    return parser


def test_supervisord_waits_longer_than_the_drain(
    shipped: configparser.RawConfigParser, project_root: Path
) -> None:
    drain = load_settings(cwd=project_root, environ={}).drain_seconds
    wait = shipped.getint("program:orpheus-worker", "stopwaitsecs")
    assert wait > drain + _SETTLING


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_cannot_run_stays_down(
    shipped: configparser.RawConfigParser, program: str
) -> None:
    assert shipped.get(program, "autorestart") == "unexpected"
    assert shipped.getint(program, "exitcodes") == EXIT_CONFIGURATION
    assert not shipped.getboolean(program, "stopasgroup")
    assert shipped.getboolean(program, "killasgroup")


def test_the_control_socket_is_private_and_the_only_door(
    shipped: configparser.RawConfigParser,
) -> None:
    assert not shipped.has_section("inet_http_server")
    assert shipped.get("unix_http_server", "chmod") == "0700"
    assert shipped.get("supervisord", "umask") == "077"


def test_no_secret_can_be_in_it_and_no_path_needs_an_edit(
    shipped: configparser.RawConfigParser,
) -> None:
    for section in shipped.sections():
        assert not shipped.has_option(section, "environment")
        for name in ("file", "logfile", "pidfile", "stdout_logfile", "directory", "serverurl"):
            if shipped.has_option(section, name):
                assert "%(here)s" in shipped.get(section, name)


def test_each_program_has_a_log_of_its_own(shipped: configparser.RawConfigParser) -> None:
    logs = [shipped.get(program, "stdout_logfile") for program in PROGRAMS]
    assert len(set(logs)) == len(PROGRAMS)


def test_the_shipped_settings_are_valid_and_name_only_real_keys(project_root: Path) -> None:
    text = (project_root / "config" / "orpheus.toml").read_text(encoding="utf-8")
    load_settings(cwd=project_root, environ={})
    commented = {
        line.removeprefix("# ").partition(" = ")[0]
        for line in text.splitlines()
        if line.startswith("# ") and " = " in line
    }
    assert commented <= set(SETTING_NAMES)


def test_the_shown_defaults_are_the_defaults(project_root: Path, tmp_path: Path) -> None:
    """What is commented out in config/orpheus.toml, taken literally, changes nothing."""
    text = (project_root / "config" / "orpheus.toml").read_text(encoding="utf-8")
    shown = "\n".join(
        line.removeprefix("# ")
        for line in text.splitlines()
        if line.startswith("# ") and " = " in line
    )
    (tmp_path / "written" / "config").mkdir(parents=True)
    (tmp_path / "written" / "config" / "orpheus.toml").write_text(shown, encoding="utf-8")
    default = load_settings(cwd=tmp_path, environ={})
    written = load_settings(cwd=tmp_path / "written", environ={})
    assert written.config_file is not None
    ignored = {"origins", "config_file", "root", "data_dir", "processes"}
    assert written.model_dump(exclude=ignored) == default.model_dump(exclude=ignored)
