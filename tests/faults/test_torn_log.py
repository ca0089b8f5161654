"""A power cut tears the log somewhere after the last sync: all that was acknowledged is there."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from orpheus.errors import EXIT_OK
from tests.faults.test_disk_errors import PAYLOAD
from tests.store.writer_peer import started, wire
from tests.support.stores import settings_at

GROUPS = 12
# How the bytes after the cut come out of a power cut.
TEARS = ("cut", "zeros", "garbage")


class Recorded:
    """Database and log of a writer, and what it had acknowledged at which length of the log."""

    def __init__(self, folder: Path) -> None:
        settings = settings_at(folder)
        self.database = folder / "copy.db"
        self.acknowledged: list[tuple[int, int]] = []
        path = settings.database_path
        log = path.with_name(path.name + "-wal")
        with started(settings) as peer:
            assert peer.receive() == {"ready": True}
            for group in range(GROUPS):
                jobs = [wire(payload=PAYLOAD if n % 3 == 0 else "{}") for n in range(group + 1)]
                last = peer.ask("submit", jobs=jobs, idempotency=None)["items"][-1]["id"]
                self.acknowledged.append((log.stat().st_size, last))
            shutil.copy(path, self.database)
            self.log = log.read_bytes()
            assert peer.end() == EXIT_OK

    def torn(self, folder: Path, at: int, how: str, rng: Random) -> Path:
        lost = len(self.log) - at
        rest = {"cut": b"", "zeros": bytes(lost), "garbage": rng.randbytes(lost)}[how]
        path = folder / "torn.db"
        shutil.copy(self.database, path)
        Path(f"{path}-wal").write_bytes(self.log[:at] + rest)
        Path(f"{path}-shm").unlink(missing_ok=True)
        return path


@pytest.mark.parametrize("how", TEARS)
def test_every_acknowledged_job_survives(tmp_path: Path, how: str) -> None:
    recorded = Recorded(tmp_path)
    rng = Random(5)
    first, size = recorded.acknowledged[0][0], len(recorded.log)
    edges = [length + by for length, _ in recorded.acknowledged for by in (-1, 0, 1)]
    inside = [at for at in edges if first <= at <= size]
    cuts = sorted({*inside, *rng.sample(range(first, size + 1), 80)})
    lost = 0
    for at in cuts:
        path = recorded.torn(tmp_path, at, how, rng)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), at
            count, newest = connection.execute("SELECT count(*), max(id) FROM jobs").fetchone()
            (counted,) = connection.execute("SELECT total(n) FROM counters").fetchone()
        # The log's length when it was acknowledged says what had been synced.
        promised = max(last for length, last in recorded.acknowledged if length <= at)
        assert newest >= promised, f"cut at {at} of {size}"
        # Nothing between, and nothing half: whole groups up to some point.
        assert count == newest == counted
        assert newest in {last for _, last in recorded.acknowledged}
        lost += newest < recorded.acknowledged[-1][1]
    assert len(cuts) > 90
    assert lost > 40
