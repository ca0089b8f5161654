"""Redis and PostgreSQL for the peers that need them: started here on loopback, stopped by pid.

Taken from Debian's packages if they are there. Data are in temporary folders; the ports are free
ones. PostgreSQL refuses to be root's, so as root it runs as `postgres` or `nobody`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.bare_server import listening
from bench.ports import free_port
from bench.processes import environment, start, stop, wait_for


class NoServer(Exception):
    """This machine has none."""


@contextlib.contextmanager
def server(kind: str | None, folder: Path) -> Iterator[str]:
    """The address of a fresh server, "" where none is needed."""
    if kind is None:
        yield ""
    elif kind == "redis":
        with _redis(folder) as url:
            yield url
    else:
        with _postgres() as url:
            yield url


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise NoServer("no redis-server on this machine (Debian: apt install redis-server)")
    port = free_port()
    data = folder / "redis"
    data.mkdir()
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data)]
    # Its own default of snapshots, stated because the packaged file is not read.
    argv += ["--save", "3600 1 300 100 60 10000"]
    process = start(argv, folder / "redis.txt", environment(), folder)
    try:
        wait_for(lambda: listening(port), 10, "redis-server")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        stop(process, signal.SIGTERM)


def postgres_bin() -> Path | None:
    """The newest installed PostgreSQL."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    programs = postgres_bin()
    if programs is None:
        raise NoServer("no PostgreSQL on this machine (Debian: apt install postgresql)")
    # Not below the run's folder: that is private to its owner, and the server is another user.
    home = Path(tempfile.mkdtemp(prefix="orpheus-bench-pg-"))
    user = _server_user()
    try:
        if user:
            os.chown(home, user.pw_uid, user.pw_gid)
        more: dict[str, Any] = (
            {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        )
        env = environment(HOME=str(home))
        data = home / "data"
        init = [str(programs / "initdb"), "-D", str(data), "-U", "bench", "-A", "trust", "-N"]
        done = subprocess.run(
            init, cwd=home, env=env, capture_output=True, timeout=60, check=False, **more
        )
        if done.returncode:
            raise NoServer(f"initdb failed: {done.stderr.decode(errors='replace')[-300:]}")
        port = free_port()
        argv = [str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port)]
        process = start([*argv, "-k", str(home)], home / "log.txt", env, home, **more)
        try:
            wait_for(lambda: _accepts(programs, port), 30, "PostgreSQL")
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            stop(process, signal.SIGINT)  # a fast shutdown
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _server_user() -> pwd.struct_passwd | None:
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoServer("PostgreSQL refuses root, and there is no user postgres or nobody")


def _accepts(programs: Path, port: int) -> bool:
    ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(ready, check=False, timeout=10).returncode == 0
