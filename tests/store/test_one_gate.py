"""Law 1 seen from inside: who holds the gate when a connection closes, a call goes out, a log is
copied back."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from orpheus.clock import SystemClock
from orpheus.ipc.doorbell import Ringer
from orpheus.ipc.locks import read_record
from orpheus.settings import Settings
from orpheus.store import database, writer
from orpheus.store.admission import Admission
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.wal import WriteAheadLog
from tests.store.writer_peer import started, wire
from tests.support.stores import settings_at


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_at(tmp_path)
    migrate(settings, SystemClock())
    return settings


def inside(settings: Settings) -> int | None:
    record = read_record(settings.gate_path)
    return record.pid if record else None


def test_a_connection_is_closed_inside(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    holders = []
    close = database.close
    opened = Database(settings, SystemClock())

    def watched(connection: object) -> None:
        holders.append(inside(settings))
        close(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(database, "close", watched)
    opened.close()
    assert holders == [os.getpid()]


def test_a_worker_is_called_from_inside(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is next in line, and wakes while the submit is written (ADR 0014)."""
    holders = []
    clock = SystemClock()
    opened = Database(settings, clock)
    ringer = Ringer(settings.run_dir / "bells", clock)

    def ring(prefix: str) -> None:
        holders.append((prefix, inside(settings)))

    monkeypatch.setattr(ringer, "ring", ring)
    group = writer._Group(opened, Admission(settings, clock), clock, ringer)
    answers = group.run([(1, "submit", {"jobs": [wire()], "idempotency": None})])
    assert answers[0][:2] == [1, "ok"]
    assert holders == [("jobs", os.getpid())]
    opened.close()


def test_the_writer_tends_the_log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the only one who writes for hours: a pool that stands still."""
    reading, writing = os.pipe()
    monkeypatch.setattr(WriteAheadLog, "tend", lambda *_: os.write(writing, b"!"))
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        peer.submit()
        assert select.select([reading], [], [], 5)[0]
    os.close(reading)
    os.close(writing)
