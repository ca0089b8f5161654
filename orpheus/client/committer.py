"""Commits submits to the database file from inside a user's process: one daemon thread a folder.

Owns that process's connection and its place at the gate; used by `client.direct` only. Callers hand
over what is ready to be written and wait with a deadline. The thread waits at the gate as long as
it takes, takes inside it what is still wanted, all together in one transaction, and answers after
the commit. So a breakpoint, a signal handler or a timeout of a caller never stands inside the gate,
and a thread that waits for a lock keeps no process from ending. Runs no user code.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from weakref import WeakSet

from orpheus.client.group import Group
from orpheus.client.order import Order, Written
from orpheus.clock import Clock
from orpheus.errors import ConfigurationError, StoreBusy
from orpheus.ipc.doorbell import Ringer
from orpheus.ipc.locks import CLIENT
from orpheus.ipc.process import keeps_one_thread
from orpheus.settings import Settings, make_data_folders
from orpheus.store import also
from orpheus.store.admission import Admission
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.staging import LARGE, discard, stage

# One hold of the gate: as the API's writer has it.
_MAX_GROUP = 256
_MAX_GROUP_JOBS = 10_000
# How long a fork, or the end of the process, waits for the connection to be closed in the gate.
_CLOSE_WITHIN = 5.0
# One short transaction; nobody may wait for ever for a thread that came to harm in it.
_FINISHED_WITHIN = 60.0


class Committer:
    """The thread and the orders that wait for it. Safe to use from any thread, and after a fork."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.path = settings.database_path
        self._settings = settings
        self._clock = clock
        self._admission = Admission(settings, clock)
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._kept: Order | None = None
        self._thread: threading.Thread | None = None
        # Whether the thread looks at the orders no more, so that the next one needs a new thread.
        self._ended = True
        self._pausing = False
        self.closed = False
        with _starting:
            _committers.add(self)

    def commit(self, order: Order, timeout: float) -> Written:
        """Have an order written. Raises StoreBusy when it was not begun in time.

        Once begun it is waited for, a minute at most: that is one short transaction.
        """
        self._refuse_unsafe()
        self._orders.put(order)
        try:
            self._start()
            if not order.visible.wait(timeout) and order.drop():
                raise StoreBusy(
                    f"the write gate was not free within {timeout:g} s; nothing was written"
                )
            if order.written is not None and not order.finished.is_set():
                order.written.items()
            if not order.finished.wait(_FINISHED_WITHIN):
                raise StoreBusy(
                    f"the submit was begun and not finished within {_FINISHED_WITHIN:g} s: whether "
                    "it was written is not known; with an idempotency_key it can be sent again"
                )
        except BaseException:
            order.drop()
            raise
        if order.error is not None:
            raise order.error
        assert order.written is not None
        return order.written

    def close(self, within: float = _CLOSE_WITHIN) -> bool:
        """Write what waits, close the connection; False if the gate was not free in time.

        The thread then goes on trying, for as long as the process lives.
        """
        self.closed = True
        thread = self._thread
        if thread is None:
            return True
        self._orders.put(None)  # wakes it
        thread.join(within)
        return not thread.is_alive()

    def pause(self) -> bool:
        """Close the connection before a fork; what waits stays. False if that took too long."""
        thread = self._thread
        if thread is None:
            return True
        self._pausing = True
        self._orders.put(None)
        thread.join(_CLOSE_WITHIN)
        return not thread.is_alive()

    def resume(self) -> None:
        """Go on after a fork, in the parent, if there is something to write."""
        self._pausing = False
        if self._thread is not None and self._thread.is_alive():
            return
        # None can be started meanwhile. What only woke the last one is dropped: a client that has
        # long been closed must not open its file again for it.
        while self._kept is None and not self._orders.empty():
            self._kept = self._orders.get_nowait()
        if self._kept is not None:
            self._start()

    def reset(self) -> None:
        """Begin anew in a forked process: thread, locks and orders are the parent's."""
        self._orders = SimpleQueue()
        self._kept = None
        self._thread = None
        self._ended = True
        self._pausing = False

    def _refuse_unsafe(self) -> None:
        if self.closed:
            raise RuntimeError("this client is closed")
        if keeps_one_thread():
            raise ConfigurationError(
                "a worker writes to the database itself and has one thread only: "
                "inside a handler submit over HTTP, with orpheus.Client"
            )
        if self.path in _carried:
            raise ConfigurationError(
                "this process was forked while the database connection could not be closed; "
                "submit over HTTP, or from a process that was started otherwise"
            )
        also.check_adapters()

    def _start(self) -> None:
        with _starting:
            if self._ended:
                self._ended = False
                self._thread = threading.Thread(
                    target=self._run, name="orpheus-commit", daemon=True
                )
                self._thread.start()

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        # The user's signals are for the user's threads.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        failure: BaseException | None = None
        opened = False
        try:
            with self._database() as database:
                opened = True
                ringer = Ringer(self._settings.run_dir / "bells", self._clock)
                try:
                    while self._wait():
                        self._write(database, ringer)
                finally:
                    ringer.close()
        except BaseException as error:
            # The next order starts a thread that opens the file again, as a program restarts.
            failure = error
        if failure is None and self.closed:
            failure = RuntimeError("this client is closed")
        kept = self._kept
        if failure is not None and kept is not None:
            self._kept = None
            _refuse(kept, failure)
        # Whoever puts an order from here on starts another thread; what came before is answered.
        self._ended = True
        # What came after the order that failed gets a thread that opens the file again; only a file
        # that cannot be opened, or a client that is closed, is an end for all.
        if failure is not None and (self.closed or not opened):
            self._refuse_all(failure)
        elif not self._pausing and not self._orders.empty():
            self._start()

    def _write(self, database: Database, ringer: Ringer) -> None:
        """Write the orders that wait, in one transaction."""
        order = self._kept
        assert order is not None
        group = Group(database, ringer, self._admission, alone=bool(order.statements))
        if order.size <= LARGE:
            group.run(self._waiting(alone=group.alone))
        else:
            self._write_large(database, order, group)
        database.log.tend()

    def _write_large(self, database: Database, order: Order, group: Group) -> None:
        with database.large():
            if self._admission.would_write(database.connection, order.count, order.key):
                order.staged = stage(database, order.payloads)
            group.run(self._waiting(alone=group.alone))
            if order.staged is not None:
                # Given up meanwhile, refused after all, or known by now.
                discard(database, order.staged)

    @contextmanager
    def _database(self) -> Iterator[Database]:
        make_data_folders(self._settings)
        # As private as the programs' umask makes it; the log and its index take after it.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        migrate(self._settings, self._clock, CLIENT, None)
        database = Database(self._settings, self._clock, CLIENT)
        try:
            yield database
        finally:
            database.close()

    def _wait(self) -> bool:
        """Until there is an order; False when the thread is to end."""
        while not self._pausing:
            if self._kept is not None:
                return True
            if self.closed and self._orders.empty():
                return False
            self._kept = self._orders.get()
        return False

    def _waiting(self, alone: bool) -> Iterator[Order]:
        """The orders that go into one transaction: with statements one `alone`, as a statement may
        roll back everything that is in its transaction, else those that have none."""
        jobs = orders = size = 0
        while True:
            try:
                order = self._kept or self._orders.get_nowait()
            except Empty:
                return
            self._kept = None
            if order is None:
                continue
            full = jobs + order.count > _MAX_GROUP_JOBS or orders == _MAX_GROUP
            full |= size + order.size > LARGE
            if (orders and full) or (order.statements and (orders or not alone)):
                self._kept = order
                return
            if order.take():
                yield order
                orders += 1
                jobs += order.count
                size += order.size
            if order.statements:
                return

    def _refuse_all(self, error: BaseException) -> None:
        while True:
            try:
                order = self._orders.get_nowait()
            except Empty:
                return
            if order is not None:
                _refuse(order, error)


def _refuse(order: Order, error: BaseException) -> None:
    if order.take():
        order.fail(error)


# --- forks ----------------------------------------------------------------------------------------
# SQLite keeps one record per process of the locks it has on a file. A copy of that record without
# the locks would let the child and others write at the same time; so no connection is open while
# the user's process forks.

_committers: WeakSet[Committer] = WeakSet()
_carried: set[Path] = set()
_unclosed: set[Path] = set()
# Held over the fork, so that nobody opens a connection in between.
_starting = threading.RLock()


def _before_fork() -> None:
    _starting.acquire()
    for committer in list(_committers):
        if not committer.pause():
            _unclosed.add(committer.path)


def _after_in_parent() -> None:
    _unclosed.clear()
    try:
        for committer in list(_committers):
            committer.resume()
    finally:
        _starting.release()


def _after_in_child() -> None:
    global _starting
    _starting = threading.RLock()
    _carried.update(_unclosed)
    _unclosed.clear()
    for committer in list(_committers):
        committer.reset()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
