"""Laws 3, 4 and 8, protocols E and G: leases, fences, deaths, ids, time."""

from __future__ import annotations

from planted.bug import Bug

_RECOVERY = "tests/maintenance/test_recovery.py"
_LEASES = "tests/store/test_leases.py"

BUGS = (
    Bug(
        "settle-unfenced",
        "law 3",
        "A result is written although the attempt was closed by somebody else.",
        "orpheus/store/settle.py",
        "CROSS JOIN jobs AS j ON j.id = a.job_id\nWHERE a.outcome IS NULL\n",
        "CROSS JOIN jobs AS j ON j.id = a.job_id\n",
        "tests/store/test_settle.py -k stale",
    ),
    Bug(
        "settle-unfenced-and-uncounted",
        "law 3",
        "The same, and the rows changed are not counted either.",
        "orpheus/store/settle.py",
        """\
    if closed != len(rows) or moved != len(rows):
        raise RuntimeError(f"settled {closed} attempts and {moved} jobs of {len(rows)}")
""",
        """\
    lost = _lost(tx, batch, {row[0] for row in rows})
    late = [batch.finished[id_] for id_ in lost]
    tx.connection.executemany(
        "UPDATE jobs SET result = ? WHERE state = 'done'"
        " AND id = (SELECT job_id FROM attempts WHERE id = ?)",
        [(one.result, one.attempt_id) for one in late],
    )
""",
        "tests/store/test_settle.py -k 'stale or given_back'",
    ),
    Bug(
        "fenced-write-uncounted",
        "law 3",
        "A result that is dropped is not counted.",
        "orpheus/store/settle.py",
        '            tx.totals.add("fenced_writes")\n',
        "",
        "tests/store/test_settle.py -k 'stale or lost'",
    ),
    Bug(
        "renew-unfenced",
        "law 3",
        "Leases that were closed are extended too.",
        "orpheus/store/renew.py",
        '"UPDATE attempts SET lease_expires = ? WHERE outcome IS NULL"\n        " AND worker_id',
        '"UPDATE attempts SET lease_expires = ? WHERE"\n        " worker_id',
        f"{_LEASES} -k revive",
    ),
    Bug(
        "release-unfenced",
        "law 3",
        "A worker releases an attempt that is not its own.",
        "orpheus/store/release.py",
        "WHERE a.id = ? AND a.worker_id = ? AND a.outcome IS NULL",
        "WHERE a.id = ? AND ? AND a.outcome IS NULL",
        f"{_LEASES} -k fenced",
    ),
    Bug(
        "release-keeps-the-number",
        "protocol B",
        "Giving back does not return the attempt's number.",
        "orpheus/store/release.py",
        '                "attempt": number - 1,\n',
        '                "attempt": number,\n',
        f"{_LEASES} -k 'as_if or number'",
    ),
    Bug(
        "id-by-maximum",
        "protocol G",
        "Ids are the largest there is plus one, so that a deleted one is given again.",
        "orpheus/store/transaction.py",
        '"SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)',
        'f"SELECT coalesce(max(id), 0) FROM {table}"',
        "tests/store/test_claim.py tests/store/test_submit.py -k never_given_again",
    ),
    Bug(
        "events-without-autoincrement",
        "protocol G",
        "The numbers of events begin again when the newest is pruned.",
        "orpheus/store/migrations/0001_initial.sql",
        "CREATE TABLE events (\n    seq     INTEGER PRIMARY KEY AUTOINCREMENT,",
        "CREATE TABLE events (\n    seq     INTEGER PRIMARY KEY,",
        "tests/store/test_prune.py -k numbers_go_on",
    ),
    Bug(
        "claims-backwards",
        "ADR 0002",
        "The ids of a claim descend in the order in which the jobs are run.",
        "orpheus/store/claim.py",
        "        Claim(attempt_id, job_id, attempt + 1, *rest)\n",
        "        Claim(2 * first_id + len(rows) - 1 - attempt_id, job_id, attempt + 1, *rest)\n",
        "tests/store/test_claim.py",
    ),
    Bug(
        "plain-batch-unfenced",
        "law 3",
        "A worker's own batch is settled although some of its leases are gone.",
        "orpheus/store/settle_plain.py",
        "plain.attempts).rowcount != count:",
        "plain.attempts).rowcount < 0:",
        "tests/store/test_settle_plain.py",
    ),
    Bug(
        "epoch-without-boot",
        "protocol G",
        "The feed's epoch stays the same over a power cut.",
        "orpheus/store/reads.py",
        "{meta['restores']} {self._clock.boot_id}\"",
        "{meta['restores']}\"",
        "tests/feed/test_epoch.py -k boot",
    ),
    Bug(
        "epoch-without-restores",
        "protocol G",
        "The feed's epoch stays the same over the restore of a backup.",
        "orpheus/store/reads.py",
        "{meta['database_id']} {meta['restores']} ",
        "{meta['database_id']} ",
        "tests/feed/test_epoch.py -k restore",
    ),
    Bug(
        "reclaim-by-time",
        "law 4",
        "A lease that ran out is reclaimed although its worker may live.",
        "orpheus/maintenance/recovery.py",
        "        elif is_free(lock):\n",
        "        elif worker.id:\n",
        f"{_RECOVERY} -k 'live_holder or left_alone'",
    ),
    Bug(
        "another-boot-is-dead",
        "law 4",
        "A worker of another boot, or time namespace, loses its jobs while it holds its lock.",
        "orpheus/maintenance/recovery.py",
        "            if is_free(lock) or not lock.exists():\n",
        "            if lock:\n",
        f"{_RECOVERY} -k another_boot",
    ),
    Bug(
        "gap-of-the-gate-unseen",
        "protocol E",
        "Who waited for the gate longer than its own renewals allow still judges others.",
        "orpheus/maintenance/renewals.py",
        """\
        with self._pool.write(synced=False) as tx:
            renew(tx, living, self._pool.lease)
        # Read after the write: who waited at the gate did so beside everybody else.
        now = self._pool.clock.monotonic()
""",
        """\
        now = self._pool.clock.monotonic()
        with self._pool.write(synced=False) as tx:
            renew(tx, living, self._pool.lease)
""",
        "tests/maintenance/test_duties.py -k wait_at_the_gate",
    ),
    Bug(
        "no-kill-before-reclaim",
        "law 4",
        "A live holder of expired leases loses its jobs without being killed.",
        "orpheus/maintenance/recovery.py",
        "            _kill_foreign(worker)\n",
        '            _reclaim_plain(pool, worker, "expired")\n',
        f"{_RECOVERY} -k 'live_holder or left_alone'",
    ),
    Bug(
        "kill-by-pid-alone",
        "protocol E",
        "SIGKILL goes to whoever has the number now.",
        "orpheus/ipc/process.py",
        "        if start_time(pid) != started:\n",
        "        if start_time(pid) is None:\n",
        "tests/unit/ipc/test_process.py -k kill_exactly",
    ),
    Bug(
        "judged-after-a-gap",
        "protocol E",
        "Who did not write itself for a while blames others for their leases.",
        "orpheus/maintenance/renewals.py",
        "        if self._last and now - self._last > 2 * self.interval:\n",
        "        if self._last < 0:\n",
        "tests/maintenance/test_duties.py -k gap",
    ),
    Bug(
        "judged-at-once",
        "protocol E",
        "Maintenance kills holders of expired leases without having waited for a lease itself.",
        "orpheus/maintenance/loop.py",
        "may_kill=self._renewals.unbroken_for_a_lease()",
        "may_kill=True",
        "tests/maintenance/test_judging.py -k judged",
    ),
    Bug(
        "missing-lock-is-free",
        "protocol E",
        "A lock file that is not there is taken for a proof of death.",
        "orpheus/ipc/locks.py",
        """\
        return False
    try:
        # Shared""",
        """\
        return True
    try:
        # Shared""",
        "tests/unit/ipc/test_locks.py -k missing_file",
    ),
    Bug(
        "renew-the-dead",
        "protocol E",
        "Leases of workers that were reaped are extended.",
        "orpheus/maintenance/pool.py",
        "if slot.state == ALIVE and slot.worker_id]",
        "if slot.state >= ALIVE and slot.worker_id]",
        "tests/maintenance/test_judging.py -k dead",
    ),
    Bug(
        "freed-before-settled",
        "protocol E",
        "A dead worker's slot is free before it is settled.",
        "orpheus/maintenance/recovery.py",
        """\
        _settle_slot(pool, pool.board, slot, "worker_died")
        slot.state = FREE
""",
        """\
        slot.state = FREE
        _settle_slot(pool, pool.board, slot, "worker_died")
""",
        f"{_RECOVERY} -k free_only_after",
    ),
    Bug(
        "outbox-of-the-dead-forgotten",
        "protocol C",
        "What a worker had finished when it died is run again.",
        "orpheus/maintenance/recovery.py",
        "        settle(tx, finished, pool.rng)\n        if worker_id:\n",
        "        if worker_id:\n",
        f"{_RECOVERY} tests/worker/test_outbox_settlement.py -k 'next_run or before_a_death'",
    ),
    Bug(
        "board-of-another-boot",
        "protocol E",
        "A scoreboard of before the reboot says who crashed.",
        "orpheus/maintenance/recovery.py",
        "        if board.boot_id == pool.clock.boot_id:\n",
        "        if board.boot_id:\n",
        f"{_RECOVERY} -k reboot",
    ),
    Bug(
        "no-boot-id",
        "law 8",
        "A lease of before the reboot is measured on today's monotonic clock.",
        "orpheus/store/workers.py",
        "(w.boot_id <> ? OR a.lease_expires < ?)",
        "(? = '' OR a.lease_expires < ?)",
        f"{_LEASES} -k are_leases",
    ),
    Bug(
        "wall-clock-lease",
        "law 8",
        "A lease runs out by the wall clock, which people set.",
        "orpheus/store/claim.py",
        "worker.boot_id, tx.monotonic + worker.lease)",
        "worker.boot_id, tx.now * 1000 + worker.lease)",
        f"{_LEASES} tests/store/test_claim.py -k 'wall_clock or lease'",
    ),
    Bug(
        "wall-clock-deadline",
        "law 8",
        "A job's timeout is measured by the wall clock.",
        "orpheus/worker/execute.py",
        "    slot.started_mono = clock.monotonic()\n",
        "    slot.started_mono = clock.now() * 1000\n",
        "tests/worker/test_execute.py",
    ),
    Bug(
        "own-clock",
        "law 8",
        "A module reads the time by itself, where no test can set it.",
        "orpheus/store/promote.py",
        "    rows = tx.connection.execute(_DUE, (tx.now, limit)).fetchall()\n",
        "    import time\n\n"
        "    now = time.time_ns() // 1000\n"
        "    rows = tx.connection.execute(_DUE, (now, limit)).fetchall()\n",
        "tests/architecture/test_house_rules.py",
    ),
    Bug(
        "waiting-counts-as-crashed",
        "section 3",
        "A crash is counted for jobs that only waited behind the one that crashed.",
        "orpheus/store/reclaim.py",
        "    if attempt_id != death.running:\n",
        "    if attempt_id < 0:\n",
        f"{_LEASES} -k crashed",
    ),
    Bug(
        "drain-counts-as-crash",
        "section 3",
        "A worker killed at the end of a drain spends one of its job's crashes.",
        "orpheus/maintenance/recovery.py",
        "    return Outcome.INTERRUPTED if board.draining else Outcome.CRASHED\n",
        "    return Outcome.CRASHED\n",
        f"{_RECOVERY} -k drain",
    ),
    Bug(
        "kill-explains-a-later-attempt",
        "protocol D",
        "A kill meant for one attempt is the recorded end of the next.",
        "orpheus/maintenance/recovery.py",
        "slot.killed_for and slot.killed_for == slot.armed and slot.killed_why",
        "slot.killed_for and slot.killed_why",
        f"{_RECOVERY} -k earlier_attempt",
    ),
    Bug(
        "stopped-worker-lives",
        "protocol E",
        "A worker that stands still keeps its leases for ever.",
        "orpheus/pool/liveness.py",
        "now - child.stopped_since >= self._lease:",
        "now - child.stopped_since >= 100 * self._lease:",
        "tests/pool/test_liveness.py -k stopped_for",
    ),
    Bug(
        "silent-maintenance-lives",
        "protocol E",
        "Maintenance that no longer beats is not replaced.",
        "orpheus/pool/liveness.py",
        "_SILENCE = 4 * SECOND_NS\n#",
        "_SILENCE = 4000 * SECOND_NS\n#",
        "tests/pool/test_liveness.py -k beat",
    ),
    Bug(
        "stuck-in-the-gate-lives",
        "protocol A",
        "A child that stands still inside the gate freezes everybody.",
        "orpheus/pool/watchdog.py",
        "        child.kill(STUCK)\n",
        "        self._done_with = True\n",
        "tests/pool/test_watchdog.py -k own_child",
    ),
    Bug(
        "client-killed-in-the-gate",
        "protocol A",
        "A user's own process is killed because it stays in the gate.",
        "orpheus/pool/watchdog.py",
        "        if record.kind != ORPHEUS:\n",
        "        if record.kind < 0:\n",
        "tests/pool/test_watchdog.py -k client",
    ),
    Bug(
        "programs-of-jobs-live-on",
        "protocol D",
        "What a job started outlives the worker that was killed.",
        "orpheus/pool/children.py",
        "            os.killpg(self.pid, signal.SIGKILL)\n",
        "            pass\n",
        "tests/pool/test_deaths.py -k job_started",
    ),
    Bug(
        "dead-slot-given-again",
        "protocol E",
        "A new worker gets a slot that maintenance has not settled yet.",
        "orpheus/pool/crew.py",
        "if slot.state == FREE), None)",
        "if slot.state in (FREE, DEAD)), None)",
        "tests/pool/test_deaths.py -k 'dead_slot or without_a_free'",
    ),
)
