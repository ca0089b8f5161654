"""The HTTP client: submit jobs, look at them, wait, cancel and retry.

Used by the CLI, the scripts and the tests, and public as `orpheus.Client`. It knows the contract's
routes and nothing of the store, and never turns a network failure into a second submission: each
`submit` carries an idempotency key, so the one resend it allows itself is recognised.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from orpheus.errors import OrpheusError

Job = dict[str, Any]
"""A job as the API shows it; the contract lists its fields."""

FINAL_STATES = frozenset({"done", "failed", "cancelled"})

_LONGEST_WAIT = 60.0
"""What the API accepts for `?wait=`; longer waits are several requests."""
_RESTART_PATIENCE = 30.0
"""How long `wait` puts up with a server that restarts."""
_RESTART_POLL = 0.2
# The server closes what is idle for 5 s (uvicorn's default); a request sent at that moment is lost.
IDLE_SECONDS = 3.0


class OrpheusHTTPError(OrpheusError):
    """The server answered with an error.

    `code` is from the contract's closed list (`not_found`, `invalid_payload`, …), `problem` the
    whole problem document, `retry_after` the seconds the server asks to wait, or None.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        problem: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{detail} ({code}, HTTP {status})")
        self.status = status
        self.code = code
        self.detail = detail
        self.problem = dict(problem or {})
        self.retry_after = retry_after


class ServerUnreachable(OrpheusError):
    """Nobody answered at the server's address."""

    def __init__(self, url: str, cause: Exception) -> None:
        super().__init__(f"no Orpheus answers at {url}: {cause}")
        self.url = url


class Client:
    """A connection to one Orpheus server; use it as a context manager.

    Without `url` it goes where ORPHEUS_URL says, else to the host and port of the settings found
    from the current folder; `token` likewise.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, timeout: float = 30.0
    ) -> None:
        if url is None or token is None:
            url, token = _from_settings(url, token)
        self.url = url.rstrip("/")
        self._timeout = timeout
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout,
            limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
            # A proxy from the environment must not see, nor break, requests to this machine.
            trust_env=not _is_loopback(self.url),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        job_type: str,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Submit one job and return it; once this returns, the job cannot be lost.

        `options` are those of POST /jobs: queue, priority, delay, run_at, max_retries, timeout,
        unique_key, tags, meta.
        """
        body = {"type": job_type, "payload": dict(payload or {}), **options}
        return self._object(
            "POST", "/jobs", json=body, headers=_key(idempotency_key), resend_once=True
        )

    def submit_many(
        self, jobs: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> list[Job]:
        """Submit up to 10,000 jobs, all or none; returns `{id, ref, state, deduplicated}` each."""
        body = {"jobs": [dict(job) for job in jobs]}
        return self._items(
            "POST", "/jobs/batch", json=body, headers=_key(idempotency_key), resend_once=True
        )

    def get(self, job_id: int, wait: float | None = None) -> Job:
        """The job with its attempts; with `wait`, answered when it is final or after the wait."""
        params = {} if wait is None else {"wait": f"{wait:.3f}"}
        return self._object(
            "GET",
            f"/jobs/{job_id}",
            params=params,
            timeout=self._timeout + (wait or 0),
            resend_once=True,
        )

    def wait(self, job_id: int, timeout: float | None = None) -> Job:
        """The job once it is done, failed or cancelled; TimeoutError if that takes longer.

        A server that restarts meanwhile is waited for.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        silent_since: float | None = None
        while True:
            now = time.monotonic()
            left = _LONGEST_WAIT if deadline is None else max(0.0, deadline - now)
            try:
                job = self.get(job_id, wait=min(left, _LONGEST_WAIT))
            except ServerUnreachable:
                silent_since = silent_since or now
                patience = _RESTART_PATIENCE if deadline is None else min(_RESTART_PATIENCE, left)
                if now - silent_since >= patience:
                    raise
                time.sleep(_RESTART_POLL)
                continue
            silent_since = None
            if job["state"] in FINAL_STATES:
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {job_id} is still {job['state']} after {timeout:g} s")

    def cancel(self, job_id: int) -> Job:
        """Cancel a waiting job; ask a running one to stop."""
        return self._object("POST", f"/jobs/{job_id}/cancel")

    def retry(self, job_id: int) -> Job:
        """Run a failed or cancelled job again, or a scheduled one now."""
        return self._object("POST", f"/jobs/{job_id}/retry")

    def delete(self, job_id: int) -> None:
        """Delete a job that is done, failed or cancelled."""
        self._call("DELETE", f"/jobs/{job_id}")

    def jobs(self, **filters: Any) -> list[Job]:
        """One page of jobs, newest first: state, type, queue, tag, limit, order as GET /jobs."""
        return self._items("GET", "/jobs", params=filters, resend_once=True)

    def logs(self, job_id: int, after: int = 0, limit: int = 200) -> list[dict[str, Any]]:
        """What the job's handler logged."""
        params = {"after": after, "limit": limit}
        return self._items("GET", f"/jobs/{job_id}/logs", params=params, resend_once=True)

    def workers(self) -> list[dict[str, Any]]:
        """The workers and what each runs."""
        return self._items("GET", "/workers", resend_once=True)

    def stats(self) -> dict[str, Any]:
        """Counts by state, the last minute, the database's size."""
        return self._object("GET", "/stats", resend_once=True)

    def health(self) -> dict[str, Any]:
        """The health document, also when it says failing."""
        return self._object("GET", "/healthz", resend_once=True, accept={503})

    def _items(self, method: str, path: str, **request: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._object(method, path, **request)["items"]
        return items

    def _object(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._call(method, path, **request)
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise OrpheusHTTPError(
                response.status_code, "invalid_json", f"{self.url} does not speak like Orpheus"
            )
        return body

    def _call(
        self,
        method: str,
        path: str,
        *,
        resend_once: bool = False,
        accept: set[int] | None = None,
        **request: Any,
    ) -> httpx.Response:
        try:
            try:
                response = self._http.request(method, path, **request)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                # A kept connection whose server restarted: the request may or may not have run.
                if not resend_once:
                    raise
                response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise ServerUnreachable(self.url, error) from error
        if response.status_code >= 400 and response.status_code not in (accept or ()):
            raise _problem(response)
        return response


def _key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or uuid.uuid4().hex}


def _problem(response: httpx.Response) -> OrpheusHTTPError:
    try:
        body = response.json()
    except ValueError:
        body = None
    problem = body if isinstance(body, dict) else {}
    detail = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    places = [_place(error) for error in problem.get("errors") or () if isinstance(error, dict)]
    unsaid = "; ".join(text for message, text in places if message not in detail)
    if unsaid:
        detail = f"{detail} [{unsaid}]"
    retry_after = response.headers.get("Retry-After", "")
    return OrpheusHTTPError(
        response.status_code,
        str(problem.get("code") or "unknown"),
        detail,
        problem,
        float(retry_after) if retry_after.isdigit() else None,
    )


def _place(error: dict[str, Any]) -> tuple[str, str]:
    """What is wrong, and the same with the place in the request."""
    message = str(error.get("msg"))
    return message, f"{'.'.join(str(part) for part in error.get('loc', ()))}: {message}"


def _from_settings(url: str | None, token: str | None) -> tuple[str, str | None]:
    # Imported here: a program that passes both needs no settings of ours.
    from orpheus.settings import load_settings

    settings = load_settings()
    if token is None and settings.token is not None:
        token = settings.token.get_secret_value()
    return url or server_url(settings.url, settings.host, settings.port), token


def server_url(url: str | None, host: str, port: int) -> str:
    """Where clients of a server bound to `host` and `port` find it; `url` wins where set."""
    if url:
        return url
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
