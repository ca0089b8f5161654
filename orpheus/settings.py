"""The one typed model of all settings: defaults < config file < environment < flags.

`load_settings` is called once by each program; everything else is handed the result. An unknown
key in the file is an error, an unknown `ORPHEUS_*` variable a warning: the file is ours, the
environment is shared.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from orpheus.errors import ConfigurationError

_PREFIX = "ORPHEUS_"
_CONFIG_VARIABLE = "ORPHEUS_CONFIG"
_CONFIG_PATH = Path("config") / "orpheus.toml"

Names = tuple[str, ...]


class _Values(BaseModel):
    """The settings as the contract names them, without the prefix."""

    data_dir: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    processes: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    async_processes: int = Field(1, ge=0, le=256)
    concurrency: int = Field(100, ge=1, le=10_000)
    handlers: Names = ()
    lease_seconds: float = Field(15, ge=1, le=3600)
    drain_seconds: float = Field(25, ge=0, le=86_400)
    timeout_seconds: float = Field(3600, gt=0, le=2_592_000)
    grace_seconds: float = Field(5, ge=0, le=3600)
    start_seconds: float = Field(120, ge=1, le=86_400)
    recycle_jobs: int = Field(0, ge=0)
    recycle_rss_mb: int = Field(0, ge=0)
    max_retries: int = Field(3, ge=0, le=100)
    max_crashes: int = Field(3, ge=1, le=100)
    durability: Literal["full", "normal"] = "full"
    max_pending: int = Field(1_000_000, ge=1)
    keep_done_days: float = Field(7, ge=0, le=36_500)
    keep_failed_days: float = Field(30, ge=0, le=36_500)
    keep_events: int = Field(1_000_000, ge=1000)
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    token: SecretStr | None = None
    token_file: Path | None = None
    allowed_hosts: Names = ()
    allowed_origins: Names = ()
    url: str | None = None

    @field_validator("handlers", "allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """`a, b` as well as a list."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


class Settings(_Values):
    """All settings, validated, paths absolute.

    `root` is the folder relative paths start at, `origins` says where each value came from
    (default, the file's path, the variable or "flag"), `warnings` what the operator should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    config_file: Path | None = None
    origins: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def database_path(self) -> Path:
        return self.data_dir / "orpheus.db"

    @property
    def gate_path(self) -> Path:
        return self.data_dir / "orpheus.gate"

    @property
    def locks_dir(self) -> Path:
        return self.data_dir / "locks"

    @property
    def run_dir(self) -> Path:
        return self.data_dir / "run"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def backups_dir(self) -> Path:
        return self.data_dir / "backups"


SETTING_NAMES = tuple(_Values.model_fields)


def load_settings(
    flags: Mapping[str, object] | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings of this process.

    `flags` are values given on the command line, None meaning "not given". Raises
    ConfigurationError with one line that names the setting and where it was set.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    root, config_file = _find_root(cwd, environ)

    values: dict[str, Any] = {}
    origins = dict.fromkeys(SETTING_NAMES, "default")
    for name, value in _read_file(config_file).items():
        values[name] = value
        origins[name] = str(config_file)
    for name, value in _read_environment(environ).items():
        values[name] = value
        origins[name] = _PREFIX + name.upper()
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = value
            origins[name] = "flag"

    try:
        settings = Settings(
            **values,
            root=root,
            config_file=config_file,
            origins=origins,
            warnings=_warnings(environ),
        )
    except ValidationError as error:
        raise ConfigurationError(_explain(error, origins)) from None
    return settings.model_copy(
        update={
            "data_dir": _absolute(root, settings.data_dir),
            "token_file": settings.token_file and _absolute(root, settings.token_file),
            "token": _token(settings, root),
        }
    )


def prepare_data_dir(settings: Settings) -> None:
    """Make the data folder and its parts, readable by their owner only.

    Raises ConfigurationError where that is not possible.
    """
    os.umask(0o077)
    make_data_folders(settings)


def make_data_folders(settings: Settings) -> None:
    """`prepare_data_dir` for a process that is not ours, whose umask must stay as it is."""
    folders = (
        settings.data_dir,
        settings.locks_dir,
        settings.run_dir,
        settings.run_dir / "bells",
        settings.log_dir,
        settings.backups_dir,
    )
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot create the data folder {settings.data_dir}: {error.strerror}; "
            "make it writable or set ORPHEUS_DATA_DIR"
        ) from None
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the data folder {settings.data_dir} is not writable; "
            "make it writable or set ORPHEUS_DATA_DIR"
        )


def _find_root(cwd: Path, environ: Mapping[str, str]) -> tuple[Path, Path | None]:
    """The root and the config file.

    `ORPHEUS_CONFIG` names another file, not another root, unless no config/orpheus.toml is above.
    """
    found = next(
        (folder for folder in (cwd, *cwd.parents) if (folder / _CONFIG_PATH).is_file()), None
    )
    root = found or cwd
    named = environ.get(_CONFIG_VARIABLE)
    if named:
        path = _absolute(cwd, Path(named))
        if not path.is_file():
            raise ConfigurationError(f"{_CONFIG_VARIABLE} names {path}, which is not a file")
        return root, path
    return root, found and found / _CONFIG_PATH


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    unknown = sorted(set(values) - set(SETTING_NAMES))
    if unknown:
        raise ConfigurationError(
            f"{path}: unknown key {unknown[0]!r}; known keys: {', '.join(SETTING_NAMES)}"
        )
    return values


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    given = {key.lower(): value for key, value in environ.items()}
    found = {name: given.get(_PREFIX.lower() + name) for name in SETTING_NAMES}
    # An empty variable means "not set": `ORPHEUS_TOKEN= orpheus api` must not set a token of "".
    return {name: value for name, value in found.items() if value}


def _warnings(environ: Mapping[str, str]) -> tuple[str, ...]:
    known = {_PREFIX + name.upper() for name in SETTING_NAMES} | {_CONFIG_VARIABLE}
    return tuple(
        f"unknown environment variable {name}; it has no effect"
        for name in sorted(environ)
        if name.startswith(_PREFIX) and name not in known and name not in _TOOL_VARIABLES
    )


# Read by the scripts and tests of the checkout, not by the programs.
_TOOL_VARIABLES = frozenset({"ORPHEUS_CHROMIUM"})


def _token(settings: Settings, root: Path) -> SecretStr | None:
    if settings.token is not None or settings.token_file is None:
        return settings.token
    path = _absolute(root, settings.token_file)
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the token file {path}: {error}") from None
    if not token:
        raise ConfigurationError(f"the token file {path} is empty")
    return SecretStr(token)


def _absolute(root: Path, path: Path) -> Path:
    return Path(os.path.abspath(root / path.expanduser()))


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    return f"{name} (from {origins.get(name, 'flag')}): {first['msg']}"
