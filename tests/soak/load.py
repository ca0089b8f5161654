"""The mixed load: everything users do, a little of each, evenly, for as long as it is wanted."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from orpheus import DirectClient
from orpheus.client.http import IDLE_SECONDS
from tests.support.system import System

_TEXT = "orpheus looked back " * 25_000
_PAGES = (
    "/",
    "/ui/jobs",
    "/jobs?limit=100",
    "/jobs?state=failed",
    "/stats",
    "/workers",
    "/metrics",
    "/healthz",
)
_READERS = 5


class Load:
    """Many small loads, a thread each; a context manager. Answers are counted by status."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._direct = DirectClient(system.data_dir, handlers=("orpheus.handlers.samples",))
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        self._every(0.05, self._job("sum_range", {"n": 100}))
        self._every(1.0, self._batch)
        self._every(0.5, self._job("sum_range", {"n": 5}, delay=2))
        self._every(1.0, self._job("flaky", {"failures": 1}))
        self._every(1.0, self._job("fail", {"permanent": True}))
        self._every(2.0, self._job("countdown", {"steps": 2}))
        self._every(5.0, self._job("wordcount", {"text": _TEXT}))
        # Each takes a worker with it, so that what a death leaves behind would pile up.
        self._every(20.0, self._job("crash", {"how": "kill"}))
        self._every(1.0, self._cancelled)
        self._every(1.0, self._job("no_such_type", {}))
        self._every(0.2, self._page())
        self._every(0.5, lambda _: self._direct.submit("sleep", {"seconds": 0}))
        for _ in range(_READERS):
            self._thread(self._read)
        self._every(1.0, self._come_and_go)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        self._direct.close()
        alive = [thread.name for thread in self._threads if thread.is_alive()]
        assert not alive, f"a load that does not end: {alive}"

    # --- threads ----------------------------------------------------------------------------------

    def _thread(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(run,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def _every(self, seconds: float, act: Callable[[httpx.Client], object]) -> None:
        def run() -> None:
            due = time.monotonic()
            limits = httpx.Limits(keepalive_expiry=IDLE_SECONDS)
            with httpx.Client(base_url=self._system.url, timeout=30, limits=limits) as client:
                while not self._over.wait(max(0.0, due - time.monotonic())):
                    act(client)
                    due = max(due + seconds, time.monotonic())

        self._thread(run)

    def _noted(self, response: httpx.Response) -> httpx.Response:
        self.statuses[response.status_code] += 1
        return response

    # --- what they do -----------------------------------------------------------------------------

    def _job(
        self, type_: str, payload: dict[str, object], **options: object
    ) -> Callable[[httpx.Client], object]:
        body = {"type": type_, "payload": payload, **options}
        return lambda client: self._noted(client.post("/jobs", json=body))

    def _batch(self, client: httpx.Client) -> None:
        jobs = [{"type": "wordcount", "payload": {"text": f"line {n}"}} for n in range(100)]
        key = f'"{time.monotonic_ns()}"'
        for _ in range(2):
            self._noted(
                client.post("/jobs/batch", json={"jobs": jobs}, headers={"Idempotency-Key": key})
            )

    def _cancelled(self, client: httpx.Client) -> None:
        body = {"type": "sum_range", "payload": {"n": 1}, "delay": 60}
        job = self._noted(client.post("/jobs", json=body)).json()
        self._noted(client.post(f"/jobs/{job['id']}/cancel", json={}))

    def _page(self) -> Callable[[httpx.Client], object]:
        turn = 0

        def act(client: httpx.Client) -> None:
            nonlocal turn
            turn += 1
            self._noted(client.get(_PAGES[turn % len(_PAGES)]))

        return act

    def _read(self) -> None:
        url = f"ws://127.0.0.1:{self._system.port}/ws"
        with connect(url, max_size=None) as socket:
            while not self._over.is_set():
                with suppress(TimeoutError):
                    json.loads(socket.recv(timeout=0.5))

    def _come_and_go(self, _: httpx.Client) -> None:
        with suppress(WebSocketException):
            url = f"ws://127.0.0.1:{self._system.port}/ws?since=0"
            with connect(url, max_size=None) as socket:
                socket.recv(timeout=5)
