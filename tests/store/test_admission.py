"""New jobs are refused before the queue or the disk is full, and taken again a little later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.settings import Settings
from orpheus.store import admission
from orpheus.store.admission import Disk
from tests.store.writer_peer import Peer, started, wire
from tests.support.clock import FakeClock
from tests.support.stores import settings_at

MIB = 1024 * 1024


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path, max_pending=20)


@pytest.fixture
def free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the MiB that seem to be free, in this process and those it forks."""
    file = tmp_path / "free"
    file.write_text("1000")
    monkeypatch.setattr(admission, "_free_bytes", lambda _: int(file.read_text()) * MIB)
    return file


class TestDisk:
    def test_opens_a_little_later_than_it_closed(self, settings: Settings, free: Path) -> None:
        clock = FakeClock()
        disk = Disk(settings, clock)
        found = []
        for mib in (256, 255, 256, 281, 282, 256):
            free.write_text(str(mib))
            clock.advance(1)
            found.append(disk.is_low())
        assert found == [False, True, True, True, False, False]

    def test_is_looked_at_once_a_second(self, settings: Settings, free: Path) -> None:
        clock = FakeClock()
        disk = Disk(settings, clock)
        assert disk.free() == 1000 * MIB
        free.write_text("1")
        clock.advance(0.9)
        assert disk.free() == 1000 * MIB
        clock.advance(0.1)
        assert disk.free() == MIB

    def test_a_long_log_needs_more(self, settings: Settings, free: Path) -> None:
        """Until it is copied back it stands beside the file it grows."""
        log = Path(f"{settings.database_path}-wal")
        log.touch()
        with log.open("r+b") as file:
            file.truncate(300 * MIB)
        clock = FakeClock()
        assert Disk(settings, clock).is_low()
        free.write_text("1200")
        assert not Disk(settings, clock).is_low()

    def test_a_folder_that_is_gone_has_none(self, settings: Settings) -> None:
        gone = settings.model_copy(update={"data_dir": settings.data_dir / "gone"})
        assert Disk(gone, FakeClock()).free() == 0


class TestTheWriter:
    @pytest.fixture
    def peer(self, settings: Settings, free: Path) -> Iterator[Peer]:
        with started(settings) as peer:
            assert peer.receive() == {"ready": True}
            yield peer

    def test_refuses_what_is_new_and_nothing_else_on_a_low_disk(
        self, settings: Settings, free: Path
    ) -> None:
        with started(settings) as peer:
            peer.receive()
            peer.submit()
        free.write_text("100")
        with started(settings) as peer:
            peer.receive()
            peer.send(("submit", {"jobs": [wire()], "idempotency": None}), ("cancel", {"id": 1}))
            answers = {answer[0]: answer for answer in (peer.receive(), peer.receive())}
            assert answers[1][1:3] == ["error", "storage_low"]
            assert "100 MiB" in answers[1][3]
            assert answers[2][1:] == ["ok", {"accepted": False}]
            assert peer.rows("SELECT count(*) FROM jobs") == [(1,)]

    def test_a_full_queue_opens_with_some_room(self, peer: Peer) -> None:
        peer.ask("submit", jobs=[wire()] * 20, idempotency=None)
        assert peer.refused("submit", jobs=[wire()], idempotency=None) == "queue_full"
        peer.ask("cancel", id=1)
        assert peer.refused("submit", jobs=[wire()], idempotency=None) == "queue_full"
        peer.ask("cancel", id=2)
        peer.submit()
        # From here on all of it is open again.
        peer.submit()

    def test_a_batch_too_large_closes_it_to_nobody(self, peer: Peer) -> None:
        peer.ask("submit", jobs=[wire()] * 19, idempotency=None)
        assert peer.refused("submit", jobs=[wire()] * 2, idempotency=None) == "queue_full"
        peer.submit()
