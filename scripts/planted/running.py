"""Protocols B, C and D: starting, giving back, the outbox, stopping one attempt."""

from __future__ import annotations

from planted.bug import Bug

_GIVE_BACK = "tests/worker/test_give_back.py"
_OUTBOX = "tests/unit/ipc/test_outbox.py"
_SETTLEMENT = "tests/worker/test_outbox_settlement.py"
_SOFT_STOP = "tests/worker/test_soft_stop.py"
_DEADLINES = "tests/pool/test_deadlines.py"

BUGS = (
    Bug(
        "revoke-word-read-first",
        "protocol B",
        "The revoke word is read while the slot still shows the job before.",
        "orpheus/worker/sync_lane.py",
        """\
        self.slot.token = claim.attempt_id
        revoke_from = self.slot.revoke_from
        if revoke_from and claim.attempt_id >= revoke_from:
            self.slot.token = 0
            return False
        self._started[claim.attempt_id] = claim
        return True

    def _finish(self, finished: FinishedAttempt) -> None:
        self._finished.append(finished)
        fits = self._outbox.append(finished.encode())
        self.slot.finished += 1
        self.slot.token = 0
""",
        """\
        revoke_from = self.slot.revoke_from
        self.slot.token = claim.attempt_id
        if revoke_from and claim.attempt_id >= revoke_from:
            self.slot.token = 0
            return False
        self._started[claim.attempt_id] = claim
        return True

    def _finish(self, finished: FinishedAttempt) -> None:
        self._finished.append(finished)
        fits = self._outbox.append(finished.encode())
        self.slot.finished += 1
""",
        "tests/worker/test_give_back_order.py -k after_its_look",
    ),
    Bug(
        "revoke-word-ignored",
        "protocol B",
        "A worker starts what was taken from it.",
        "orpheus/worker/sync_lane.py",
        "        if revoke_from and claim.attempt_id >= revoke_from:\n",
        "        if revoke_from < 0:\n",
        _GIVE_BACK,
    ),
    Bug(
        "given-back-by-time",
        "protocol B",
        "Claims go back although the worker has gone on to them meanwhile.",
        "orpheus/maintenance/give_back.py",
        "            if slot.token != running:\n",
        "            if slot.token < 0:\n",
        f"{_GIVE_BACK} -k paused",
    ),
    Bug(
        "given-back-without-a-word",
        "protocol B",
        "Claims go back and the worker is not told.",
        "orpheus/maintenance/give_back.py",
        "            slot.revoke_from = running + 1\n",
        "            slot.revoke_from = 0\n",
        _GIVE_BACK,
    ),
    Bug(
        "nothing-given-back",
        "protocol B",
        "Claims wait behind a slow job for as long as it takes.",
        "orpheus/maintenance/give_back.py",
        "                and now - slot.started_mono > SLOW_AFTER_NS\n",
        "                and now - slot.started_mono > 10_000 * SLOW_AFTER_NS\n",
        f"{_GIVE_BACK} -k 'run_on_a_free'",
    ),
    Bug(
        "revoke-word-stays",
        "protocol B",
        "A worker that was taken claims from never starts one again.",
        "orpheus/worker/sync_lane.py",
        "        self.slot.revoke_from = 0\n",
        "",
        f"{_GIVE_BACK} -k takes_new_ones",
    ),
    Bug(
        "skipped-claims-kept",
        "protocol B",
        "What a worker skipped it keeps instead of releasing it.",
        "orpheus/worker/sync_lane.py",
        "                self._give_back.append(claim.attempt_id)\n",
        "                pass\n",
        "tests/worker/test_give_back_order.py -k skipped",
    ),
    Bug(
        "outcome-kept-in-memory",
        "protocol C",
        "An outcome is not in the outbox when the next job starts, and dies with the worker.",
        "orpheus/worker/sync_lane.py",
        "        fits = self._outbox.append(finished.encode())\n",
        "        fits = True\n",
        _SETTLEMENT,
    ),
    Bug(
        "large-outcome-kept-in-memory",
        "protocol C",
        "An outcome that does not fit the outbox waits behind the next job.",
        "orpheus/worker/sync_lane.py",
        "        if fits:\n            return\n",
        "        if fits is not None:\n            return\n",
        f"{_SETTLEMENT} -k too_large",
    ),
    Bug(
        "outbox-emptied-before-the-commit",
        "protocol C",
        "The outbox is emptied before the transaction that settles what is in it.",
        "orpheus/worker/sync_lane.py",
        "        batch = Batch.of(self._finished, self._started)\n",
        "        batch = Batch.of(self._finished, self._started)\n        self._outbox.clear()\n",
        "tests/worker/test_hints.py -k outbox",
    ),
    Bug(
        "busy-outbox-not-settled",
        "protocol C",
        "Results wait behind a slow job.",
        "orpheus/maintenance/loop.py",
        "        self._outboxes.settle()\n",
        "",
        "tests/maintenance/test_round.py -k outbox",
    ),
    Bug(
        "counted-before-written",
        "protocol C",
        "An entry of the outbox counts before its bytes are there.",
        "orpheus/ipc/outbox.py",
        "        _ENTRY.pack_into(slot.data, start, len(data), zlib.crc32(data))\n",
        "        slot.outbox_used = end\n"
        "        _ENTRY.pack_into(slot.data, start, len(data), zlib.crc32(data))\n",
        "tests/unit/ipc/test_outbox_order.py",
    ),
    Bug(
        "checksum-ignored",
        "protocol C",
        "Damaged bytes of an outbox are settled.",
        "orpheus/ipc/outbox.py",
        "        if len(entry) != length or zlib.crc32(entry) != checksum:\n",
        "        if len(entry) != length:\n",
        _OUTBOX,
    ),
    Bug(
        "generation-ignored",
        "protocol C",
        "Bytes of two batches of an outbox are read as one.",
        "orpheus/ipc/outbox.py",
        "        if generation % 2 or slot.outbox_generation != generation:\n",
        "        if generation < 0:\n",
        _OUTBOX,
    ),
    Bug(
        "soft-stop-anywhere",
        "protocol D",
        "A soft stop raises in our own bookkeeping, too.",
        "orpheus/worker/soft_stop.py",
        "        if not attempt_id or not _in_user_code(frame):\n",
        "        if not attempt_id:\n",
        f"{_SOFT_STOP} -k any_opcode",
    ),
    Bug(
        "soft-stop-of-any-attempt",
        "protocol D",
        "A soft stop meant for another attempt stops this one.",
        "orpheus/worker/soft_stop.py",
        "        if self._slot.cancel == attempt_id:\n",
        "        if self._slot.cancel:\n",
        f"{_SOFT_STOP} -k 'another_attempt'",
    ),
    Bug(
        "signal-left-to-the-handler",
        "protocol D",
        "A handler that took the signal keeps it for all later jobs.",
        "orpheus/worker/soft_stop.py",
        "        if handler_of(SOFT_STOP) is not self._handler:\n",
        "        if handler_of(SOFT_STOP) is None:\n",
        f"{_SOFT_STOP} -k does_not_keep_it",
    ),
    Bug(
        "stopped-worker-goes-on",
        "protocol D",
        "A worker in which user code was interrupted takes further jobs.",
        "orpheus/worker/soft_stop.py",
        "        self.raised = True\n",
        "",
        "tests/worker/test_soft_stop.py tests/worker/test_endings.py -k 'stop'",
    ),
    Bug(
        "soft-stop-once",
        "protocol D",
        "A soft stop that got lost is not repeated.",
        "orpheus/pool/deadlines.py",
        "    elif now - child.soft_stopped_at < _REPEAT:\n",
        "    else:\n",
        f"{_DEADLINES} -k asked_each_second",
    ),
    Bug(
        "cancel-never-forced",
        "protocol D",
        "A cancelled attempt that does not listen runs until its timeout.",
        "orpheus/pool/deadlines.py",
        "    elif cancelled and asked and now >= child.soft_stopped_since + grace:\n",
        "    elif cancelled and grace < 0:\n",
        f"{_DEADLINES} -k killed_after_the_grace",
    ),
    Bug(
        "kill-without-a-stop",
        "protocol D",
        "The master looks and kills, and may hit the next attempt.",
        "orpheus/pool/deadlines.py",
        "        child.send(signal.SIGSTOP)\n",
        "        child.kill(sentence.why, sentence.attempt)\n",
        f"{_DEADLINES} -k 'never_hits or verdict'",
    ),
    Bug(
        "killed-though-it-went-on",
        "protocol D",
        "A stopped worker is killed although another attempt runs by now.",
        "orpheus/pool/deadlines.py",
        "    if slot.armed == sentence.attempt:\n",
        "    if sentence.attempt:\n",
        f"{_DEADLINES} -k 'ended_in_time'",
    ),
    Bug(
        "never-killed",
        "protocol D",
        "An attempt that ignores its timeout is asked for ever.",
        "orpheus/pool/deadlines.py",
        "    if overdue and now >= deadline + grace:\n",
        "    if overdue and now >= deadline + 1000 * grace:\n",
        f"{_DEADLINES} -k then_killed",
    ),
    Bug(
        "drain-without-end",
        "section 1",
        "A drain waits for a job that never ends.",
        "orpheus/pool/master.py",
        "                child.kill(DRAIN)\n",
        "                pass\n",
        "tests/pool/test_lifecycle.py -k drain_has_an_end",
    ),
)
