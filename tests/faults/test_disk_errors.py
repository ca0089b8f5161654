"""The disk refuses a write or a sync: nothing acknowledged is lost, the process ends with 75."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import EXIT_TEMPORARY
from orpheus.settings import Settings
from orpheus.store import admission
from orpheus.store.migrate import migrate
from tests.faults.small_disk import fill, small_disk_at
from tests.faults.strace import SYNCS, WRITES, failing
from tests.store.writer_peer import Peer, started, wire
from tests.support.stores import integrity, settings_at

ATTEMPTS = 60
# Each payload takes a page, so that the log comes to be copied back within a test.
PAYLOAD = '{"x": "' + "a" * 3000 + '"}'
# (the calls that fail, on which file, the nth of them)
SOME = [
    (SYNCS, "-wal", 1),
    (SYNCS, "-wal", 3),
    (WRITES, "-wal", 1),
    (WRITES, "-wal", 6),
    (WRITES, "", 1),
    (WRITES, "gate", 2),
]
# The gate's file is not synced, and the database's own seldom within a test.
ALL = [
    *((calls, "-wal", n) for calls in (SYNCS, WRITES) for n in range(1, 21)),
    *((WRITES, file, n) for file in ("", "gate") for n in range(1, 21)),
    (SYNCS, "", 1),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


def submit_until_it_fails(peer: Peer, batch: int = 1) -> tuple[set[int], bool]:
    """The ids that were acknowledged, and whether the writer gave up."""
    acknowledged: set[int] = set()
    for _ in range(ATTEMPTS):
        try:
            jobs = [wire(payload=PAYLOAD)] * batch
            peer.send(("submit", {"jobs": jobs, "idempotency": None}))
            answer = peer.receive()
        except (EOFError, OSError):
            return acknowledged, True
        if answer[1] == "ok":
            acknowledged |= {item["id"] for item in answer[2]["items"]}
        else:
            assert answer[2] in ("store_busy", "storage_low"), answer
    return acknowledged, False


def check(settings: Settings, acknowledged: set[int]) -> None:
    """After a new start every acknowledged job is there, and one more can be added."""
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        there = {id_ for (id_,) in peer.rows("SELECT id FROM jobs")}
        assert acknowledged <= there
        assert peer.submit()["items"][0]["state"] == "pending"
    assert integrity(settings.database_path) == "ok"


def attack(settings: Settings, calls: str, file: str, n: int) -> None:
    if file == "gate":
        target = settings.gate_path
    else:
        target = settings.database_path.with_name(settings.database_path.name + file)
    # The database file itself is written by checkpoints only.
    batch = 100 if file == "" else 1
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        before = peer.submit()["items"][0]["id"]
        with failing(peer.pid, calls, str(n), [target]):
            acknowledged, failed = submit_until_it_fails(peer, batch)
        code = peer.end()
    assert failed, "no call failed"
    assert code == EXIT_TEMPORARY
    check(settings, acknowledged | {before})


@pytest.mark.parametrize(("calls", "file", "n"), SOME)
def test_an_error_of_the_disk(settings: Settings, calls: str, file: str, n: int) -> None:
    attack(settings, calls, file, n)


@pytest.mark.long
@pytest.mark.parametrize(("calls", "file", "n"), ALL)
def test_an_error_at_each_call(settings: Settings, calls: str, file: str, n: int) -> None:
    attack(settings, calls, file, n)


def test_a_file_that_may_not_grow(settings: Settings) -> None:
    """What a quota looks like: an error of writing, not a full disk."""
    limit = 300 * 1024
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        subprocess.run(
            ["prlimit", f"--fsize={limit}", "--pid", str(peer.pid)], check=True, timeout=10
        )
        acknowledged, failed = submit_until_it_fails(peer)
        code = peer.end()
    assert (failed, code) == (True, EXIT_TEMPORARY)
    assert acknowledged
    check(settings, acknowledged)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    with small_disk_at(folder, 4):
        yield folder


def test_a_full_disk_is_refused_politely_and_passes_by_itself(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should it fill up faster than the writer, which stops taking jobs before, can see."""
    monkeypatch.setattr(admission, "_SUBMIT_FLOOR_BYTES", 0)
    monkeypatch.setattr(admission, "_LOGS", 0)
    settings = settings_at(small_disk)
    migrate(settings, SystemClock())
    ballast = small_disk / "ballast"
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        first = peer.submit()["items"][0]["id"]
        fill(ballast)
        assert shutil.disk_usage(small_disk).free == 0
        acknowledged, failed = submit_until_it_fails(peer)
        assert not failed
        assert len(acknowledged) < ATTEMPTS
        assert peer.refused("submit", jobs=[wire(payload=PAYLOAD)], idempotency=None) == (
            "storage_low"
        )
        ballast.unlink()
        last = peer.submit()["items"][0]["id"]
    check(settings, acknowledged | {first, last})
