"""Nine writers at one file: the turnstile, a plain flock, and SQLite's busy handler."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

from bench.processes import environment, python, stop, wait_for
from bench.run_state import Run

_WRITERS = 9
_KINDS = {
    "turnstile": "turnstile (Orpheus)",
    "flock": "plain flock",
    "busy": "SQLite's busy handler",
}


def run(run: Run) -> None:
    """Each for half a minute, in one run."""
    for kind, subject in _KINDS.items():
        with run.scratch(f"gate-{kind}") as folder:
            _measure(run, kind, subject, folder, run.seconds(30, 8))


def _measure(run: Run, kind: str, subject: str, folder: Path, seconds: float) -> None:
    connection = sqlite3.connect(folder / "gate.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE facts (id INTEGER PRIMARY KEY, at INTEGER, text TEXT)")
    connection.close()
    begin = folder / "begin"
    argv = python("bench.gate_writer", kind, str(folder), str(seconds), str(begin))
    writers = [
        subprocess.Popen(
            argv,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(_WRITERS)
    ]
    try:
        wait_for(lambda: len(list(folder.glob("begin-*"))) == _WRITERS, 60, "nine writers")
        begin.touch()
        found = [json.loads(one.communicate(timeout=seconds + 90)[0]) for one in writers]
    finally:
        for writer in writers:
            stop(writer)
    commits = [one["commits"] for one in found]
    add = run.results.add
    note = f"least {min(commits)}, most {max(commits)} commits; {seconds:g} s"
    add("gate", subject, "commits", "commits/s", sum(commits) / seconds, note)
    add("gate", subject, "shares apart", "×", max(commits) / max(1, min(commits)), note)
    add("gate", subject, "worst wait", "ms", max(one["worst"] for one in found) * 1000)
    add("gate", subject, "largest p99 wait", "ms", max(one["p99"] for one in found) * 1000)
