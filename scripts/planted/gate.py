"""Laws 1 and 2, protocols A and F: the write gate, transactions, threads, forks."""

from __future__ import annotations

from planted.bug import Bug

_TURNSTILE = "tests/unit/ipc/test_turnstile.py"
_PROCESS = "tests/unit/ipc/test_process.py"

BUGS = (
    Bug(
        "gate-open",
        "law 1",
        "Nobody waits at the gate: everybody is inside at once.",
        "orpheus/ipc/locks.py",
        """\
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._turn, fcntl.LOCK_UN)
""",
        "",
        f"{_TURNSTILE} -k one_at_a_time",
    ),
    Bug(
        "gate-one-flock",
        "protocol A",
        "The gate is one plain lock, which its last holder takes again before the others wake.",
        "orpheus/ipc/locks.py",
        """\
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._turn, fcntl.LOCK_UN)
""",
        "        fcntl.flock(self._gate, fcntl.LOCK_EX)\n",
        f"{_TURNSTILE} -k fair",
    ),
    Bug(
        "gate-inherited",
        "protocol A",
        "A child uses the gate descriptors of the process it was forked from.",
        "orpheus/ipc/locks.py",
        "        if self._process == pid:\n",
        "        if self._process:\n",
        f"{_TURNSTILE} -k inherited",
    ),
    Bug(
        "gate-file-removed-unseen",
        "protocol A",
        "A gate file that was removed is still taken for the gate.",
        "orpheus/ipc/locks.py",
        "os.fstat(self._gate).st_nlink == 0",
        "os.fstat(self._gate).st_nlink < 0",
        f"{_TURNSTILE} -k removed",
    ),
    Bug(
        "gate-unsigned",
        "protocol A",
        "Who enters the gate does not write down who it is.",
        "orpheus/ipc/locks.py",
        "        if entered:\n",
        "        if entered is None:\n",
        f"{_TURNSTILE} -k record",
    ),
    Bug(
        "begin-deferred",
        "protocol A",
        "A write transaction begins DEFERRED and may fail in its middle.",
        "orpheus/store/gate.py",
        '"BEGIN IMMEDIATE"',
        '"BEGIN"',
        "tests/store/test_gate.py",
    ),
    Bug(
        "stranger-waited-for-inside",
        "protocol A",
        "A stranger's lock is waited for inside the gate, by SQLite's own busy handler.",
        "orpheus/store/gate.py",
        '                connection.execute("BEGIN IMMEDIATE")\n',
        '                connection.execute("PRAGMA busy_timeout = 1000")\n'
        '                connection.execute("BEGIN IMMEDIATE")\n',
        "tests/store/test_gate.py -k 'keep_the_gate_closed or busy'",
    ),
    Bug(
        "commit-outside-the-gate",
        "law 1",
        "The gate is given up before the commit.",
        "orpheus/store/gate.py",
        """\
                yield
                connection.execute("COMMIT")
""",
        """\
                yield
                self._turnstile.release()
                connection.execute("COMMIT")
""",
        "tests/store/test_gate.py tests/store/test_database.py",
    ),
    Bug(
        "no-rollback",
        "law 1",
        "What failed in its middle is left open instead of rolled back.",
        "orpheus/store/gate.py",
        """\
                _roll_back(connection)
                raise
""",
        "                raise\n",
        "tests/store/test_gate.py -k rolled_back",
    ),
    Bug(
        "open-outside-the-gate",
        "law 1",
        "A connection is opened beside the others' transactions.",
        "orpheus/store/database.py",
        """\
        with self.gate.held():
            # Making it""",
        """\
        if True:
            # Making it""",
        "tests/store/test_database.py -k opening",
    ),
    Bug(
        "close-outside-the-gate",
        "law 1",
        "A connection is closed outside the gate, where the last one copies the log back.",
        "orpheus/store/database.py",
        """\
        with self.gate.held():
            close(self.connection)
""",
        "        close(self.connection)\n",
        "tests/store/test_one_gate.py -k closed_inside",
    ),
    Bug(
        "checkpoint-outside-the-gate",
        "law 1",
        "The log is copied back beside somebody's transaction.",
        "orpheus/store/wal.py",
        """\
            with self._gate.held(timeout):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
""",
        """\
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
""",
        "tests/store/test_wal.py",
    ),
    Bug(
        "no-time-limit-at-the-gate",
        "protocol A",
        "The API's writer waits for a busy gate for as long as it takes.",
        "orpheus/store/writer.py",
        "self._database.write(GATE_TIMEOUT, synced=synced)",
        "self._database.write(synced=synced)",
        "tests/store/test_writer.py -k stranger",
    ),
    Bug(
        "second-transaction-helper",
        "protocol A",
        "A write verb begins a transaction of its own, past the gate.",
        "orpheus/store/queues.py",
        "    ensure(tx, [name])\n    changed",
        '    ensure(tx, [name])\n    tx.connection.execute("BEGIN")\n    changed',
        "tests/architecture/test_house_rules.py -k begins",
    ),
    Bug(
        "fork-beside-a-thread",
        "law 2",
        "A process with a second thread may fork.",
        "orpheus/ipc/process.py",
        "    if threads > 1:\n",
        "    if threads > 99:\n",
        f"{_PROCESS} -k thread",
    ),
    Bug(
        "handlers-in-the-writer",
        "law 2",
        "The API's writer imports the code that loads handlers.",
        "orpheus/store/writer.py",
        "from orpheus.ipc.doorbell import Ringer\n",
        "import orpheus.handlers.loader  # noqa: F401\nfrom orpheus.ipc.doorbell import Ringer\n",
        "tests/architecture/test_imports.py tests/architecture/test_process_imports.py",
    ),
    Bug(
        "sqlite-in-the-master",
        "protocol F",
        "The master, which forks, loads SQLite.",
        "orpheus/pool/master.py",
        "import signal\nimport time\n",
        "import signal\nimport sqlite3  # noqa: F401\nimport time\n",
        "tests/architecture/test_imports.py -k master",
    ),
    Bug(
        "fork-beside-a-connection",
        "protocol F",
        "A process with an open connection may fork.",
        "orpheus/store/database.py",
        "register_fork_guard(_refuse_fork)\n",
        "",
        "tests/store/test_database.py -k fork_beside",
    ),
    Bug(
        "connection-used-after-fork",
        "protocol F",
        "A connection is used by a process it was not opened in.",
        "orpheus/store/database.py",
        "        if os.getpid() != self._pid:\n",
        "        if self._pid < 0:\n",
        "tests/store/test_database.py -k refused_to_write",
    ),
    Bug(
        "connection-closed-in-a-fork",
        "protocol F",
        "A forked copy of a connection is closed by its destructor.",
        "orpheus/store/database.py",
        "os.register_at_fork(after_in_child=_abandon)\n",
        "",
        "tests/store/test_database.py",
    ),
    Bug(
        "no-death-signal",
        "protocol F",
        "A child does not ask to be killed with its parent.",
        "orpheus/ipc/process.py",
        "        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)\n",
        "        pass\n",
        f"{_PROCESS} -k survives_its_parent",
    ),
    Bug(
        "parent-not-looked-for",
        "protocol F",
        "A child whose parent died before its first line lives on.",
        "orpheus/ipc/process.py",
        "    if os.getppid() != expected_parent:\n",
        "    if expected_parent < 0:\n",
        f"{_PROCESS} -k before_its_first_line",
    ),
    Bug(
        "terminal-kept",
        "protocol F",
        "A child keeps the standard input of its parent.",
        "orpheus/ipc/process.py",
        "    os.dup2(null, 0, inheritable=True)\n",
        "",
        "tests/unit/ipc/test_first_lines.py",
    ),
    Bug(
        "locks-kept-by-a-jobs-fork",
        "protocol F",
        "What a job forks inherits the worker's locks and pipes.",
        "orpheus/ipc/process.py",
        "os.register_at_fork(after_in_child=_close_in_fork)\n",
        "",
        f"{_PROCESS} -k jobs_fork",
    ),
    Bug(
        "pool-lock-not-inherited",
        "section 1",
        "Children do not hold their pool's lock, so that a second master starts beside them.",
        "orpheus/pool/spawn.py",
        "fork(child_main, close=unwanted)",
        "fork(child_main, close=(*unwanted, self._lock.descriptor))",
        "tests/pool/test_lock_of_the_pool.py",
    ),
)
