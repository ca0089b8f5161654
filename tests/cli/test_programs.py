"""The commands without a server: config, and how a program refuses to start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orpheus.settings import SETTING_NAMES


def orpheus(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orpheus.cli.main", *arguments],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_config_says_where_each_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "orpheus.toml"
    file.write_text("processes = 3\nport = 4000\n", encoding="utf-8")
    done = orpheus(tmp_path, "config", "--json", ORPHEUS_PORT="4001", ORPHEUS_TOKEN="secret")
    document = json.loads(done.stdout)
    assert document["root"] == str(tmp_path)
    assert set(document["settings"]) == set(SETTING_NAMES)
    assert document["settings"]["processes"] == {"value": 3, "origin": str(file)}
    assert document["settings"]["port"] == {"value": 4001, "origin": "ORPHEUS_PORT"}
    assert document["settings"]["lease_seconds"]["origin"] == "default"
    assert "secret" not in done.stdout


def test_config_names_an_unknown_variable(tmp_path: Path) -> None:
    done = orpheus(tmp_path, "config", ORPHEUS_PROT="1")
    assert done.returncode == 0
    assert "ORPHEUS_PROT" in done.stderr


@pytest.mark.parametrize("command", ["config", "api", "worker", "migrate", "health"])
def test_a_wrong_setting_is_one_line_and_78(tmp_path: Path, command: str) -> None:
    done = orpheus(tmp_path, command, ORPHEUS_PROCESSES="many", ORPHEUS_DATA_DIR=str(tmp_path))
    assert done.returncode == 78
    assert "ORPHEUS_PROCESSES" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pool_name_that_is_a_path_is_refused(tmp_path: Path) -> None:
    done = orpheus(tmp_path, "worker", "--pool", "../x", ORPHEUS_DATA_DIR=str(tmp_path / "d"))
    assert done.returncode == 78
    assert "--pool" in done.stderr


def test_migrate_makes_the_database_and_does_nothing_the_second_time(tmp_path: Path) -> None:
    for _ in range(2):
        done = orpheus(tmp_path, "migrate", ORPHEUS_DATA_DIR=str(tmp_path / "d"))
        assert done.returncode == 0, done.stderr
        assert "up to date" in done.stdout
    assert (tmp_path / "d" / "orpheus.db").stat().st_mode & 0o777 == 0o600


def test_usage_errors_are_2(tmp_path: Path) -> None:
    assert orpheus(tmp_path, "nonsense").returncode == 2
    assert orpheus(tmp_path, "job", "x").returncode == 2


def test_version_and_help(tmp_path: Path) -> None:
    assert orpheus(tmp_path, "--version").stdout.strip() == "0.1.0"
    assert "Durable background jobs" in orpheus(tmp_path, "--help").stdout
