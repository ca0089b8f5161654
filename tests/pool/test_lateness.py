"""A worker that does not get ready is ended and tried again, and nobody waits for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orpheus.clock import SECOND_NS
from orpheus.ipc.process import SHOW_STACK
from orpheus.pool.children import ANSWER_NS, Child, Role
from orpheus.pool.crew import _record
from orpheus.pool.lateness import end_late_start
from orpheus.pool.restarts import Restarts
from tests.pool.harness import StartPool
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes


def test_a_start_that_hangs_is_killed_and_the_others_go_on(start_pool: StartPool) -> None:
    pool = start_pool(processes=2, start=0.3, hangs=1)
    (settled,) = pool.noted("settled")
    assert os.waitstatus_to_exitcode(settled["status"]) == -signal.SIGKILL
    assert len(pool.workers(2)) == 2
    assert "a worker is not ready after 0.3 s: killing it" in pool.log()
    assert pool.stop() == 0


def test_starts_that_hang_for_ever_never_end_the_pool() -> None:
    restarts = Restarts()
    for _ in range(100):
        late = Child(Role.WORKER, 1, 1, since=0, late_since=SECOND_NS)
        _record(restarts, late, status=signal.SIGKILL, now=2 * SECOND_NS)
    assert not restarts.exhausted
    assert restarts.not_before == 7 * SECOND_NS


def test_a_worker_that_leaves_after_work_is_followed_without_a_wait(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, worker="recycled")
    settled = pool.noted("settled", 15, timeout=10)
    assert {note["status"] for note in settled} == {0}
    assert pool.stop() == 0


@pytest.mark.timeout(60)
def test_a_handler_module_that_hangs_is_shown_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(
        "import os, time\n"
        "from pathlib import Path\n"
        "first = Path(__file__).with_name('first')\n"
        "try:\n"
        "    if 'worker' in os.environ:\n"
        "        first.touch(exist_ok=False)\n"
        "        sum(range(10**11))  # no Python code of ours runs before it ends\n"
        "except FileExistsError:\n"
        "    pass\n"
    )
    system = System(tmp_path, {"START_SECONDS": "1", "PROCESSES": "2"}, handlers="hangs")
    system.environment["worker"] = "1"
    try:
        system.start_pool()
        eventually(lambda: "line 7 in <module>" in system.log(), timeout=30)
        eventually(lambda: system.log().count('"worker ready"') == 2, timeout=20)
        assert system.log().count("line 7 in <module>") == 1
    finally:
        system.stop()


def test_a_late_start_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dying takes a while on a busy machine."""
    sent: list[int] = []
    monkeypatch.setattr(Child, "send", lambda _, number: sent.append(number))
    child = Child(Role.WORKER, 1, 0, 0)
    for now in range(0, 20 * ANSWER_NS, ANSWER_NS // 4):
        end_late_start(child, now, limit=2 * ANSWER_NS)
    assert sent == [SHOW_STACK, signal.SIGKILL]
