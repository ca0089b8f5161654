"""The API's writer: one process that commits what many requests ask for in one transaction.

Forked by the API before its loop and threads start; speaks over one socket, imports no handlers,
has one thread. Requests that wait together are written and synced together (group commit); each
is answered only after the sync, because acknowledged means synced (law 6). New jobs are visible
before it, so that a worker starts while the disk still writes (ADR 0013).

Frames are a 4-byte big-endian length and JSON: `[id, verb, args]` in, `[id, "ok", value]` or
`[id, "error", code, detail]` out. The first frame out is `{"ready": true}`.
"""

from __future__ import annotations

import gc
import json
import signal
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from pydantic_core import from_json

from orpheus.clock import SECOND_NS, Clock, SystemClock
from orpheus.domain.job import JobState, NewJob
from orpheus.errors import EXIT_OK, EXIT_TEMPORARY, ProgramError, RequestError, StoreBusy, StoreFull
from orpheus.ipc.doorbell import Ringer
from orpheus.log import get_logger
from orpheus.settings import Settings
from orpheus.store import control, queues
from orpheus.store.admission import Admission
from orpheus.store.database import Database
from orpheus.store.idempotency import IdempotencyKey, recall, remember
from orpheus.store.migrate import migrate
from orpheus.store.staging import LARGE, Staged, discard, stage
from orpheus.store.submit import Submitted, submit
from orpheus.store.submit_alike import Run, payloads_of, submit_alike
from orpheus.store.transaction import Transaction

GATE_TIMEOUT = 2.0
PROBE_TIMEOUT = 1.0
# Bounds the hold of the gate: one group is written while the next one gathers (ADR 0019). What is
# larger by itself is a group of its own, and its payloads are staged.
_MAX_GROUP = 256
_MAX_GROUP_BYTES = LARGE
_READ_AHEAD = 16 * 1024 * 1024 + 65536
_CHUNK = 1 << 18
_SUBMITS = frozenset({"submit", "submit_alike"})
_MAKE_CLAIMABLE = _SUBMITS | {"retry", "resume"}
_HEADER = struct.Struct(">I")
_encode = json.JSONEncoder(separators=(",", ":")).encode
_log = get_logger("store.writer")

Frame = tuple[int, str, dict[str, Any]]
Answer = list[Any]
Later = Callable[[], dict[str, Any]]
"""Makes an answer after the commit: of ten thousand jobs it takes a while."""


def serve(sock: socket.socket, settings: Settings, clock: Clock | None = None) -> int:
    """Write until the other end closes the socket; returns the exit code."""
    clock = clock or SystemClock()
    # The API drains its requests first and then closes the socket; until then we must answer.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        migrate(settings, clock)
        database = Database(settings, clock)
    except ProgramError as error:
        _send(sock, {"ready": False, "exit": error.exit_code, "error": str(error)})
        return error.exit_code
    except StoreBusy as error:
        _send(sock, {"ready": False, "exit": EXIT_TEMPORARY, "error": str(error)})
        return EXIT_TEMPORARY
    _send(sock, {"ready": True})
    # What lives as long as the process is not searched for garbage again and again.
    gc.freeze()
    try:
        ringer = Ringer(settings.run_dir / "bells", clock)
        admission = Admission(settings, clock)
        for frames, size in _groups(sock):
            group = _Group(database, admission, clock, ringer)
            with database.large() if size > LARGE else nullcontext():
                answers = group.run(frames)
            sock.sendall(b"".join([_pack(answer) for answer in answers]))
            if group.wrote:
                # After the answers: those who watch are in less of a hurry.
                ringer.ring("feed-")
                _tend(database)
    except ProgramError as error:
        _log.error("writer stops", error=str(error))
        return error.exit_code
    except OSError:
        pass  # The API is gone; what was asked for and not answered was not acknowledged.
    database.close()
    return EXIT_OK


class _Group:
    """One group of requests and its transaction."""

    def __init__(
        self, database: Database, admission: Admission, clock: Clock, ringer: Ringer
    ) -> None:
        self._database = database
        self._admission = admission
        self._clock = clock
        self._ringer = ringer
        self.wrote = False
        self._scheduled = False
        self._wake_maintenance = False
        self._verbs: dict[str, Callable[[Transaction, dict[str, Any]], Any]] = {
            "submit": self._submit,
            "submit_alike": self._submit_alike,
            "cancel": self._cancel,
            "retry": self._retry,
            "delete": self._delete,
            "pause": self._pause,
            "resume": self._resume,
        }

    def run(self, group: list[Frame]) -> list[Answer]:
        """Carry the requests out and return their answers, in order."""
        writes = [_decoded(frame) for frame in group if frame[1] in self._verbs]
        answers = [self._read(frame) for frame in group if frame[1] not in self._verbs]
        if any(frame[1] in _SUBMITS for frame in writes):
            try:
                self._admission.check_disk()
            except RequestError as low:
                submits = [frame for frame in writes if frame[1] in _SUBMITS]
                answers += [[frame[0], "error", low.code, low.detail] for frame in submits]
                writes = [frame for frame in writes if frame[1] not in _SUBMITS]
        answers += self._written(writes)
        return [_made(answer) for answer in answers]

    def _written(self, writes: list[Frame]) -> list[Answer]:
        if not writes:
            return []
        staged: Staged | None = None
        try:
            if len(writes) == 1 and (staged := self._staged(writes[0])):
                writes[0][2]["staged"] = staged
        except StoreBusy as error:
            return [_busy(writes[0], error)]
        # A job nobody was told of may vanish in a power cut, with all that came of it. What
        # changes a job that was acknowledged is durable before anybody can see it.
        early = all(frame[1] in _SUBMITS for frame in writes)
        answers = self._commit(writes, synced=not early)
        self.wrote = True
        self._ring()
        if early:
            self._database.sync()
        if staged is not None:
            # Refused after all, or sent again while the first one was still on its way.
            discard(self._database, staged, GATE_TIMEOUT)
        return answers

    def _staged(self, frame: Frame) -> Staged | None:
        """The payloads of a large submit, written ahead; None where it is small, or nothing to
        write: an answer that is kept, a queue that is full."""
        _, verb, args = frame
        if verb not in _SUBMITS:
            return None
        payloads = payloads_of(args["run" if verb == "submit_alike" else "jobs"])
        if sum(map(len, payloads)) <= LARGE:
            return None
        if not self._admission.would_write(self._database.connection, len(payloads), _key(args)):
            return None
        return stage(self._database, payloads, GATE_TIMEOUT)

    def _commit(self, writes: list[Frame], synced: bool) -> list[Answer]:
        try:
            with self._database.write(GATE_TIMEOUT, synced=synced) as tx:
                if any(frame[1] in _MAKE_CLAIMABLE for frame in writes):
                    # Early: who is called wakes while this is written, and is next at the gate.
                    self._ringer.ring("jobs")
                answers = self._together(tx, [frame for frame in writes if _is_plain(frame)])
                answered = {answer[0] for answer in answers}
                answers += [self._one(tx, frame) for frame in writes if frame[0] not in answered]
            return answers
        except StoreBusy as error:
            return [_busy(frame, error) for frame in writes]
        except ProgramError:
            raise
        except Exception as error:
            _log.exception("a request could not be written", requests=len(writes))
            if len(writes) == 1:
                return [[writes[0][0], "error", "internal", f"{type(error).__name__}: {error}"]]
        # A defect in one request must not cost the others of its group: each by itself.
        return [answer for frame in writes for answer in self._commit([frame], synced)]

    def _together(self, tx: Transaction, frames: list[Frame]) -> list[Answer]:
        """Plain submits of one job as one submit of many; none where that is refused."""
        if len(frames) < 2:
            return []
        jobs = [frame[2]["jobs"][0] for frame in frames]
        try:
            submitted = submit(tx, jobs, self._admission.max_pending)
        except RequestError:
            # Too many together; one by one, the first of them may still find room.
            return []
        return [
            [frame[0], "ok", self._submitted(tx, [one])]
            for frame, one in zip(frames, submitted, strict=True)
        ]

    def _one(self, tx: Transaction, frame: Frame) -> Answer:
        id_, verb, args = frame
        # A verb checks before it writes, so a refused request has changed nothing.
        try:
            answer = self._verbs[verb](tx, args)
        except RequestError as error:
            self._admission.note(error)
            return [id_, "error", error.code, error.detail]
        if verb in _SUBMITS:
            self._admission.note(None)
        return [id_, "ok", answer]

    def _read(self, frame: Frame) -> Answer:
        id_, verb, _ = frame
        if verb == "ping":
            self._database.check_files()
            return [id_, "ok", {}]
        if verb != "probe":
            return [id_, "error", "not_supported", f"unknown verb {verb}"]
        started = self._clock.monotonic()
        try:
            with self._database.write(PROBE_TIMEOUT):
                raise _ProbeDone
        except _ProbeDone:
            return [id_, "ok", {"ms": (self._clock.monotonic() - started) / SECOND_NS * 1000}]
        except StoreBusy as error:
            return [id_, "error", "store_busy", str(error)]

    def _submit(self, tx: Transaction, args: dict[str, Any]) -> Later:
        key = _key(args)
        kept = recall(tx, key) if key is not None else None
        if kept is not None:
            return partial(_answer, kept, replayed=True)
        submitted = submit(tx, args["jobs"], self._admission.max_pending, args.get("staged"))
        if key is not None:
            remember(tx, key, submitted)
        return self._submitted(tx, submitted)

    def _submit_alike(self, tx: Transaction, args: dict[str, Any]) -> dict[str, Any]:
        first, state = submit_alike(
            tx, args["run"], self._admission.max_pending, args.get("staged")
        )
        self._scheduled |= state == JobState.SCHEDULED
        return {"first": first, "state": state}

    def _submitted(self, tx: Transaction, submitted: Sequence[Submitted]) -> Later:
        self._scheduled |= any(one.state == JobState.SCHEDULED for one in submitted)
        return partial(_answer, submitted, created_at=tx.now)

    def _cancel(self, tx: Transaction, args: dict[str, Any]) -> dict[str, Any]:
        accepted = control.cancel(tx, args["id"])
        self._wake_maintenance |= accepted
        return {"accepted": accepted}

    def _retry(self, tx: Transaction, args: dict[str, Any]) -> dict[str, Any]:
        control.retry(tx, args["id"])
        return {}

    def _delete(self, tx: Transaction, args: dict[str, Any]) -> dict[str, Any]:
        control.delete(tx, args["id"])
        return {}

    def _pause(self, tx: Transaction, args: dict[str, Any]) -> dict[str, Any]:
        queues.pause(tx, args["queue"])
        return {}

    def _resume(self, tx: Transaction, args: dict[str, Any]) -> dict[str, Any]:
        queues.resume(tx, args["queue"])
        return {}

    def _ring(self) -> None:
        if self._scheduled:
            # All: whoever is idle when the time comes must know when that is.
            self._ringer.ring("work-")
        if self._wake_maintenance:
            self._ringer.ring("maint-")


class _ProbeDone(Exception):
    """Rolls the probe's transaction back."""


def _tend(database: Database) -> None:
    """What the log needs after a group can wait for the next one."""
    try:
        database.log.tend(GATE_TIMEOUT)
    except StoreBusy:
        pass


def _made(answer: Answer) -> Answer:
    *head, value = answer
    return [*head, value() if callable(value) else value]


def _decoded(frame: Frame) -> Frame:
    """The request with its jobs made, outside the gate."""
    id_, verb, args = frame
    if verb == "submit":
        return id_, verb, {**args, "jobs": [NewJob.from_wire(values) for values in args["jobs"]]}
    if verb == "submit_alike":
        run = Run(NewJob.from_wire(args["job"]), args["payloads"], args["count"])
        return id_, verb, {"run": run}
    return frame


def _key(args: dict[str, Any]) -> IdempotencyKey | None:
    return IdempotencyKey(*args["idempotency"]) if args.get("idempotency") else None


def _busy(frame: Frame, error: StoreBusy) -> Answer:
    code = "storage_low" if isinstance(error, StoreFull) else "store_busy"
    return [frame[0], "error", code, str(error)]


def _is_plain(frame: Frame) -> bool:
    """A submit of one job that needs nothing remembered."""
    return frame[1] == "submit" and len(frame[2]["jobs"]) == 1 and not frame[2].get("idempotency")


def _answer(
    submitted: Sequence[Submitted], *, replayed: bool = False, created_at: int | None = None
) -> dict[str, Any]:
    """`created_at` only where all of it is new: whoever asked knows the rest of such jobs."""
    if any(one.deduplicated for one in submitted):
        created_at = None
    items = [one.item() for one in submitted]
    return {"items": items, "replayed": replayed, "created_at": created_at}


def _groups(sock: socket.socket) -> Iterator[tuple[list[Frame], int]]:
    """Complete frames that wait, up to the bounds of one transaction, and their size."""
    buffer = bytearray()
    closed = False
    while not closed:
        closed = _receive(sock, buffer, 0)
        while (waiting := len(buffer)) and (frames := _take(buffer)):
            yield frames, waiting - len(buffer)
            closed = _receive(sock, buffer, socket.MSG_DONTWAIT) or closed


def _receive(sock: socket.socket, buffer: bytearray, flags: int) -> bool:
    """Read what is there, waiting for the first of it unless told not to; True at the end."""
    while True:
        try:
            data = sock.recv(_CHUNK, flags)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        if not data:
            return True
        buffer += data
        if len(data) < _CHUNK or len(buffer) > _READ_AHEAD:
            return False
        flags = socket.MSG_DONTWAIT


def _take(buffer: bytearray) -> list[Frame]:
    frames: list[Frame] = []
    position = 0
    while len(frames) < _MAX_GROUP and len(buffer) - position >= _HEADER.size:
        (length,) = _HEADER.unpack_from(buffer, position)
        end = position + _HEADER.size + length
        if end > len(buffer) or (frames and end > _MAX_GROUP_BYTES):
            break
        id_, verb, args = from_json(bytes(buffer[position + _HEADER.size : end]))
        frames.append((id_, verb, args))
        position = end
    del buffer[:position]
    return frames


def _pack(answer: object) -> bytes:
    data = _encode(answer).encode("ascii")
    return _HEADER.pack(len(data)) + data


def _send(sock: socket.socket, answer: object) -> None:
    try:
        sock.sendall(_pack(answer))
    except OSError:
        _log.error("the API ended while its writer started")
