"""Settings: where each value comes from, and what is refused with which words."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from orpheus.errors import ConfigurationError
from orpheus.settings import SETTING_NAMES, Settings, load_settings, prepare_data_dir


def load(folder: Path, flags: dict[str, object] | None = None, **environ: str) -> Settings:
    return load_settings(flags, folder, {f"ORPHEUS_{k}": v for k, v in environ.items()})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config file to write; its folder is the root."""
    path = tmp_path / "config" / "orpheus.toml"
    path.parent.mkdir()
    path.write_text("")
    return path


def test_defaults_are_the_contracts(tmp_path: Path) -> None:
    settings = load(tmp_path)
    expected: dict[str, Any] = {
        "host": "127.0.0.1", "port": 8000, "processes": os.cpu_count(), "async_processes": 1,
        "concurrency": 100, "handlers": (), "lease_seconds": 15, "drain_seconds": 25,
        "timeout_seconds": 3600, "grace_seconds": 5, "start_seconds": 120,
        "recycle_jobs": 0, "recycle_rss_mb": 0, "max_retries": 3, "max_crashes": 3,
        "durability": "full", "max_pending": 1_000_000, "keep_done_days": 7,
        "keep_failed_days": 30, "keep_events": 1_000_000, "log_format": "auto",
        "log_level": "info", "token": None, "token_file": None, "allowed_hosts": (),
        "allowed_origins": (), "url": None, "data_dir": tmp_path / "var",
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in SETTING_NAMES} == expected
    assert set(settings.origins.values()) == {"default"}
    assert settings.warnings == ()


class TestPrecedence:
    def test_flags_over_environment_over_file_over_defaults(
        self, tmp_path: Path, config: Path
    ) -> None:
        config.write_text("port = 1\nprocesses = 1\nconcurrency = 1\n")
        settings = load(tmp_path, {"port": 3, "host": None}, PORT="2", PROCESSES="2")
        assert (settings.port, settings.processes, settings.concurrency) == (3, 2, 1)
        assert settings.host == "127.0.0.1"
        assert settings.origins["port"] == "flag"
        assert settings.origins["processes"] == "ORPHEUS_PROCESSES"
        assert settings.origins["concurrency"] == str(config)
        assert settings.origins["host"] == "default"

    def test_an_empty_variable_is_not_set(self, tmp_path: Path) -> None:
        settings = load(tmp_path, None, TOKEN="", PORT="")
        assert (settings.token, settings.port) == (None, 8000)

    @pytest.mark.parametrize("value", ["a.b, c", "a.b,c,", " a.b ,, c "])
    def test_lists_are_separated_by_commas(self, tmp_path: Path, value: str) -> None:
        assert load(tmp_path, None, HANDLERS=value).handlers == ("a.b", "c")

    def test_lists_of_the_file_are_lists(self, tmp_path: Path, config: Path) -> None:
        config.write_text('handlers = ["a.b", "c"]')
        assert load(tmp_path).handlers == ("a.b", "c")


class TestRoot:
    def test_is_the_folder_above_the_config_found_upwards(
        self, tmp_path: Path, config: Path
    ) -> None:
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        settings = load(below)
        assert (settings.root, settings.config_file) == (tmp_path, config)
        assert settings.data_dir == tmp_path / "var"

    def test_is_else_the_current_folder(self, tmp_path: Path) -> None:
        settings = load(tmp_path)
        assert (settings.root, settings.config_file) == (tmp_path, None)

    def test_a_named_file_moves_the_file_and_not_the_root(
        self, tmp_path: Path, config: Path
    ) -> None:
        other = tmp_path / "elsewhere" / "other.toml"
        other.parent.mkdir()
        other.write_text("port = 9")
        settings = load(tmp_path, None, CONFIG=str(other))
        assert (settings.root, settings.config_file, settings.port) == (tmp_path, other, 9)

    def test_a_named_file_that_is_missing_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"ORPHEUS_CONFIG names .*missing\.toml"):
            load(tmp_path, None, CONFIG="missing.toml")

    def test_absolute_folders_stay(self, tmp_path: Path) -> None:
        assert load(tmp_path / "x", None, DATA_DIR=str(tmp_path)).data_dir == tmp_path

    def test_paths_are_below_the_data_folder(self, tmp_path: Path) -> None:
        settings = load(tmp_path, {"data_dir": "d"})
        assert settings.database_path == tmp_path / "d" / "orpheus.db"
        assert settings.gate_path == tmp_path / "d" / "orpheus.gate"
        assert settings.locks_dir == tmp_path / "d" / "locks"


class TestRefusals:
    def test_an_unknown_key_names_file_and_key(self, tmp_path: Path, config: Path) -> None:
        config.write_text("prot = 1")
        with pytest.raises(ConfigurationError, match=r"orpheus\.toml: unknown key 'prot'.*port"):
            load(tmp_path)

    def test_an_unknown_variable_is_a_warning(self, tmp_path: Path) -> None:
        (warning,) = load(tmp_path, None, PROT="1").warnings
        assert "ORPHEUS_PROT" in warning

    def test_a_broken_file(self, tmp_path: Path, config: Path) -> None:
        config.write_text("port = = 1")
        with pytest.raises(ConfigurationError, match=r"cannot read .*orpheus\.toml"):
            load(tmp_path)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PORT", "99999"), ("PORT", "http"), ("PROCESSES", "0"), ("LEASE_SECONDS", "0"),
            ("MAX_CRASHES", "0"), ("MAX_RETRIES", "-1"), ("DURABILITY", "off"),
            ("TIMEOUT_SECONDS", "0"), ("TIMEOUT_SECONDS", "nan"), ("LOG_LEVEL", "loud"),
            ("KEEP_EVENTS", "5"), ("DRAIN_SECONDS", "inf"),
        ],
    )  # fmt: skip
    def test_a_value_out_of_range_names_its_place(
        self, tmp_path: Path, name: str, value: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=rf"{name.lower()} \(from ORPHEUS_{name}\)"):
            load(tmp_path, None, **{name: value})

    def test_settings_do_not_change(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load(tmp_path).port = 1


class TestToken:
    def test_is_never_shown(self, tmp_path: Path) -> None:
        settings = load(tmp_path, None, TOKEN="hunter2")
        assert settings.token is not None
        assert settings.token.get_secret_value() == "hunter2"
        assert "hunter2" not in repr(settings)

    def test_comes_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("hunter2\n")
        settings = load(tmp_path, None, TOKEN_FILE="token")
        assert settings.token is not None
        assert settings.token.get_secret_value() == "hunter2"

    @pytest.mark.parametrize("content", [None, " \n"])
    def test_a_file_without_one_is_an_error(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "token").write_text(content)
        with pytest.raises(ConfigurationError, match="token file"):
            load(tmp_path, None, TOKEN_FILE="token")


class TestDataFolder:
    def test_is_the_owners_only(self, tmp_path: Path) -> None:
        settings = load(tmp_path, {"data_dir": "deep/er"})
        prepare_data_dir(settings)
        for folder in (settings.data_dir, *settings.data_dir.rglob("*")):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
        prepare_data_dir(settings)

    def test_where_a_file_is_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "var").write_text("")
        with pytest.raises(ConfigurationError, match="ORPHEUS_DATA_DIR"):
            prepare_data_dir(load(tmp_path))
