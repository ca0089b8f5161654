"""One attempt run in this process, with a plain slot, a clock that stands and a list as sink."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from orpheus.domain.attempt import Claim
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.handlers.loader import job_type_of
from orpheus.ipc.process import SOFT_STOP
from orpheus.worker.execute import ContextSupply, execute
from orpheus.worker.soft_stop import SoftStop

ATTEMPT_ID = 41
WALL = 1_700_000_000_000_000
MONOTONIC = 5_000_000_000


@contextmanager
def signals_restored() -> Iterator[None]:
    """Arming an attempt takes the signal; a test gives it back."""
    before = signal.getsignal(SOFT_STOP)
    try:
        yield
    finally:
        signal.signal(SOFT_STOP, before)


@dataclass
class FakeSlot:
    armed: int = 0
    cancel: int = 0
    timeout: int = 0
    started_mono: int = 0
    started_wall: int = 0
    deadline_mono: int = 0


@dataclass
class FakeClock:
    wall: int = WALL
    mono: int = MONOTONIC
    boot_id: str = "boot"

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> int:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.wall += round(seconds * 1e6)
        self.mono += round(seconds * 1e9)


@dataclass
class Record:
    kind: str
    at: int
    level: str
    message: str
    fields: dict[str, object]


@dataclass
class ListSink:
    records: list[Record] = field(default_factory=list)

    def emit(
        self,
        kind: Literal["log", "progress"],
        claim: Claim,
        at: int,
        level: str,
        message: str,
        fields: Mapping[str, object],
    ) -> None:
        assert claim.attempt_id == ATTEMPT_ID
        self.records.append(Record(kind, at, level, message, dict(fields)))


@dataclass
class Attempt:
    """Everything a worker has around one attempt."""

    slot: FakeSlot = field(default_factory=FakeSlot)
    clock: FakeClock = field(default_factory=FakeClock)
    sink: ListSink = field(default_factory=ListSink)
    stop_class: type[SoftStop] = SoftStop

    def __post_init__(self) -> None:
        self.soft_stop = self.stop_class(self.slot)

    def run(
        self,
        handler: Callable[..., Any],
        payload: Mapping[str, object] | None = None,
        timeout: float = 60,
    ) -> FinishedAttempt:
        job_type = job_type_of(handler)
        claim = Claim(
            attempt_id=ATTEMPT_ID,
            job_id=7,
            number=2,
            type=job_type.name,
            queue=job_type.queue,
            lane=job_type.lane,
            payload=json.dumps(payload or {}),
            timeout=round(timeout * 1e6),
            retries=0,
            crashes=0,
            run_at=0,
        )
        supply = ContextSupply(self.slot, self.soft_stop, self.sink)
        return execute(claim, job_type, supply, self.clock)


def error_of(finished: FinishedAttempt) -> AttemptError:
    assert finished.error is not None
    assert finished.result is None
    return finished.error
