"""A running system under a small stand-in for supervisord, which starts again what ended."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from typing import Any, Self

from orpheus.errors import EXIT_CONFIGURATION
from tests.support.system import System
from tests.support.waiting import eventually


class Supervised(System):
    """Remembers how its programs ended; those that end with 78 stay down, as supervisord does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ends: dict[str, list[int]] = {"api": [], "main": []}

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def tend(self) -> None:
        """Start again what has ended, unless that does not help."""
        if self.api is not None and (code := self.api.poll()) is not None:
            self.ends["api"].append(code)
            self.api = None if code == EXIT_CONFIGURATION else self.spawn("api")
        pool = self.pools.get("main")
        if pool is not None and (code := pool.poll()) is not None:
            self.ends["main"].append(code)
            del self.pools["main"]
            if code != EXIT_CONFIGURATION:
                self.start_pool()

    def post(self, n: int = 1, timeout: float = 20) -> tuple[int, Any]:
        """POST a job as plainly as can be; 0 where nobody answered."""
        request = urllib.request.Request(
            self.url + "/jobs",
            data=json.dumps({"type": "sum_range", "payload": {"n": n}}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, None

    def submits(self, within: float = 30) -> int:
        """Tend until a job is accepted; its id. Anything but 201, 503 and silence is wrong."""

        def accepted() -> int:
            self.tend()
            status, body = self.post()
            assert status in (0, 201, 503), (status, body)
            return int(body["id"]) if status == 201 else 0

        return eventually(accepted, timeout=within)

    def ends_done(self, job_id: int, within: float = 30) -> None:
        """Tend until the job is done."""

        def done() -> bool:
            self.tend()
            return self.rows("SELECT state FROM jobs WHERE id = ?", job_id) == [("done",)]

        eventually(done, timeout=within)

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        uri = f"{(self.data_dir / 'orpheus.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(sql, parameters).fetchall()
