"""What ./scripts/start and ./scripts/stop do, on the shipped configuration."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.supervisor.conftest import MakeCheckout
from tests.support.ports import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(180)]

RESULTS = ['{"sum": 5000050000}', '{"count": 5}']

STUBBORN = '''
import subprocess
from orpheus import job

@job
def leaves_things_behind(flag: str) -> None:
    """Starts two processes, one in a session of its own, and never ends."""
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "601"], start_new_session=True)
    with open(flag, "w") as file:
        file.write("both started")
    subprocess.run(["sleep", "602"])
'''


def test_start_twice_then_stop(make_checkout: MakeCheckout, project_root: Path) -> None:
    readme = (project_root / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("$ ./scripts/start\n")[2].partition("```")[0]
    checkout = make_checkout()
    first = checkout.start()
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert lines == [*RESULTS, f"Dashboard: http://127.0.0.1:{checkout.port}/"]
    assert first.stdout == shown.replace("8000", str(checkout.port))

    commands = re.findall(r"^\$ (\.venv/bin/supervisorctl .*)$", readme, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        done = checkout.run(*command.split())
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ERROR" not in done.stdout

    begun = time.monotonic()
    second = checkout.start()
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert time.monotonic() - begun < 10

    shared = [
        path
        for path in (checkout.root / "var").rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert shared == []

    moved = checkout.start(PORT=str(free_port()))
    assert moved.returncode == 75
    assert "./scripts/stop first" in moved.stderr

    stopped = checkout.stop()
    assert (stopped.returncode, stopped.stdout) == (0, "Orpheus is stopped.\n")
    assert checkout.processes() == {}
    again = checkout.stop()
    assert (again.returncode, again.stdout) == (0, "Orpheus is not running.\n")


def test_a_taken_port_is_named_at_once(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", checkout.port))
        listener.listen()
        begun = time.monotonic()
        for command in (["scripts/start"], None):
            done = checkout.run(*command) if command else checkout.start()
            assert done.returncode == 75, done.stdout + done.stderr
            assert "ORPHEUS_PORT" in done.stderr
            assert str(checkout.port) in done.stderr
        assert time.monotonic() - begun < 5
    assert checkout.processes() == {}


def test_a_handler_module_that_does_not_import_is_named(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout(HANDLERS="no_such_module")
    begun = time.monotonic()
    done = checkout.start()
    assert done.returncode == 75
    assert "no_such_module" in done.stderr
    assert time.monotonic() - begun < 20


def test_stop_ends_what_a_job_started(make_checkout: MakeCheckout, tmp_path: Path) -> None:
    checkout = make_checkout(HANDLERS="stubborn", DRAIN_SECONDS="1")
    (checkout.root / "stubborn.py").write_text(STUBBORN, encoding="utf-8")
    assert checkout.start().returncode == 0
    flag = tmp_path / "flag"
    with checkout.client() as client:
        client.submit("leaves_things_behind", {"flag": str(flag)})
        eventually(flag.exists, timeout=20)

    def sleeping() -> int:
        return sum("sleep 60" in command for command in checkout.processes().values())

    # The third is started after the flag is there.
    eventually(lambda: sleeping() == 3, timeout=20)
    assert checkout.stop().returncode == 0
    assert checkout.processes() == {}


def test_stop_without_a_living_supervisord(make_checkout: MakeCheckout) -> None:
    checkout = make_checkout(DRAIN_SECONDS="1")
    assert checkout.start().returncode == 0
    pid = int((checkout.root / "var/run/supervisord.pid").read_text(encoding="ascii"))
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pid not in checkout.processes())
    assert checkout.stop().returncode == 0
    assert checkout.processes() == {}
    # What the killed one left lying about is no obstacle.
    assert checkout.start().returncode == 0
