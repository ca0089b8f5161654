"""ADR 0014 and 0017, and the feed: who is called, how the log stays short, what readers see."""

from __future__ import annotations

from planted.bug import Bug

_CALLS = "tests/worker/test_calls.py"
_WAL = "tests/store/test_wal.py"
_WINDOW = "tests/feed/test_window.py"

BUGS = (
    Bug(
        "no-ring-for-jobs",
        "ADR 0014",
        "The writer rings without the bell for jobs.",
        "orpheus/store/writer.py",
        '                    self._ringer.ring("jobs")\n',
        "                    pass\n",
        "tests/store/test_writer.py -k rings",
    ),
    Bug(
        "rung-after-the-commit",
        "ADR 0014",
        "Who is called for a job wakes only after it was committed.",
        "orpheus/store/writer.py",
        """\
                if any(frame[1] in _MAKE_CLAIMABLE for frame in writes):
                    # Early: who is called wakes while this is written, and is next at the gate.
                    self._ringer.ring("jobs")
                answers = self._together(tx, [frame for frame in writes if _is_plain(frame)])
                answered = {answer[0] for answer in answers}
                answers += [self._one(tx, frame) for frame in writes if frame[0] not in answered]
            return answers
""",
        """\
                answers = self._together(tx, [frame for frame in writes if _is_plain(frame)])
                answered = {answer[0] for answer in answers}
                answers += [self._one(tx, frame) for frame in writes if frame[0] not in answered]
            if any(frame[1] in _MAKE_CLAIMABLE for frame in writes):
                self._ringer.ring("jobs")
            return answers
""",
        "tests/store/test_one_gate.py -k called_from_inside",
    ),
    Bug(
        "no-call-for-the-next",
        "ADR 0014",
        "Who leaves jobs behind calls nobody.",
        "orpheus/worker/sync_lane.py",
        "        if result.more:\n",
        "        if result.more is None:\n",
        f"{_CALLS} -k leaves_jobs_behind",
    ),
    Bug(
        "more-never-told",
        "ADR 0014",
        "A claim does not tell that there was more to claim.",
        "orpheus/store/claim.py",
        "    more = len(rows) > room\n",
        "    more = False\n",
        "tests/store/test_leases.py -k others_should_look",
    ),
    Bug(
        "call-not-handed-on",
        "ADR 0014",
        "A worker that leaves with a call in hand keeps it.",
        "orpheus/worker/sync_lane.py",
        """\
        # A call this one took and did not follow is somebody else's now.
        self._ringer.ring("jobs")
""",
        "",
        f"{_CALLS} -k hands_a_call_on",
    ),
    Bug(
        "all-wake",
        "ADR 0014",
        "One ring wakes all idle workers.",
        "orpheus/ipc/doorbell.py",
        "select.EPOLLIN | select.EPOLLEXCLUSIVE",
        "select.EPOLLIN",
        "tests/unit/ipc/test_doorbell.py -k wakes_one",
    ),
    Bug(
        "later-told-to-one",
        "ADR 0014",
        "A job for later is told to one worker, who may be busy then.",
        "orpheus/store/writer.py",
        '            self._ringer.ring("work-")\n',
        '            self._ringer.ring("jobs")\n',
        "tests/store/test_writer.py -k later",
    ),
    Bug(
        "retry-told-to-nobody",
        "ADR 0014",
        "Idle workers do not learn when a retry is due.",
        "orpheus/worker/sync_lane.py",
        '            self._ringer.ring("work-")\n',
        "            pass\n",
        f"{_CALLS} -k retry_for_later",
    ),
    Bug(
        "log-never-emptied",
        "ADR 0017",
        "Readers that overlap keep the log growing.",
        "orpheus/store/wal.py",
        "        if used >= _EMPTY_AT and now >= self._try_after:\n",
        "        if used < 0:\n",
        f"{_WAL} -k one_reader_after",
    ),
    Bug(
        "log-never-copied",
        "ADR 0017",
        "Nobody copies the log back.",
        "orpheus/store/wal.py",
        "        elif used >= self._copied + _CHECKPOINT_AGAIN:\n",
        "        elif used < 0:\n",
        f"{_WAL} -k grown",
    ),
    Bug(
        "checkpoint-in-a-commit",
        "ADR 0017",
        "A commit copies the log back before it lets go of the gate.",
        "orpheus/store/database.py",
        'f"wal_autocheckpoint = {LAST_RESORT_PAGES}"',
        '"wal_autocheckpoint = 1000"',
        f"{_WAL} -k no_commit",
    ),
    Bug(
        "reader-waited-for-again",
        "ADR 0017",
        "A reader that stays is waited for in the gate again and again.",
        "orpheus/store/wal.py",
        "                self._try_after = now + _TRY_AGAIN_NS\n",
        "                self._try_after = now\n",
        f"{_WAL} -k stays",
    ),
    Bug(
        "log-untended-by-the-writer",
        "ADR 0017",
        "The API's writer leaves the log to the others.",
        "orpheus/store/writer.py",
        "        database.log.tend(GATE_TIMEOUT)\n",
        "        pass\n",
        "tests/store/test_one_gate.py -k tends",
    ),
    Bug(
        "feed-off-by-one",
        "section 4",
        "A reader of the feed that keeps up misses an event.",
        "orpheus/feed/window.py",
        "        start = seq + 1 - ring[0].seq\n",
        "        start = seq + 2 - ring[0].seq\n",
        _WINDOW,
    ),
    Bug(
        "feed-gap-untold",
        "section 4",
        "A reader whose next events were pruned goes on as if there had been none.",
        "orpheus/feed/window.py",
        "            if seq > page.newest or seq < page.oldest - 1:\n",
        "            if seq > page.newest:\n",
        f"{_WINDOW} -k no_longer_kept",
    ),
    Bug(
        "feed-epoch-ignored",
        "protocol G",
        "A position of before a restore is taken for one of now.",
        "orpheus/feed/stream.py",
        "    if start.epoch not in (None, await reads.epoch()) or position > newest:\n",
        "    if position > newest:\n",
        f"{_WINDOW} -k void_position",
    ),
    Bug(
        "wait-that-came-too-late",
        "section 4",
        "Who waits for a job that ended just before waits for the next event.",
        "orpheus/feed/waits.py",
        "                if not await self._reads.ended([job_id]):\n"
        "                    await done.wait()\n",
        "                await done.wait()\n",
        "tests/feed/test_waits.py",
    ),
    Bug(
        "silent-writer-lives",
        "section 1",
        "An API whose writer answers nothing goes on.",
        "orpheus/api/writer_client.py",
        "                self._kill()\n",
        "                pass\n",
        "tests/api/test_writer_client.py -k silent",
    ),
)
