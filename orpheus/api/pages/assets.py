"""The dashboard's static files, read once at start and served from memory.

`mount_static` loads them; templates ask for addresses. An address carries a hash of the whole set,
so that relative imports between modules inherit it and a browser may keep every file for a year.
Nothing is read from disk, transformed or built after the start.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

# Fixed here: the system's own table of types differs from machine to machine.
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOREVER = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it goes over the wire."""

    body: bytes
    gzipped: bytes
    media_type: str
    etag: str


class Assets:
    """Every static file by its path below `static/`, and the hash of them all."""

    def __init__(self, root: Path) -> None:
        self._files = {
            path.relative_to(root).as_posix(): _load(path)
            for path in sorted(root.rglob("*"))
            if path.suffix in _MEDIA_TYPES
        }
        joined = "\n".join(f"{path} {asset.etag}" for path, asset in self._files.items())
        self.version = hashlib.sha256(joined.encode()).hexdigest()[:16]

    @property
    def modules(self) -> list[str]:
        """Addresses of all script modules, to be preloaded side by side."""
        return [self.url(path) for path in self._files if path.endswith(".js")]

    def url(self, path: str) -> str:
        """Address of a file; a template that names a missing one fails loudly."""
        if path not in self._files:
            raise LookupError(f"no static file {path!r}")
        return f"/static/{self.version}/{path}"

    def respond(self, request: Request, path: str) -> Response:
        """Serve `<version>/<path>` for good, and `<path>` with revalidation."""
        versioned = path.startswith(f"{self.version}/")
        asset = self._files.get(path.removeprefix(f"{self.version}/"))
        if asset is None:
            raise HTTPException(404, "There is no such static file.")
        headers = {
            "Cache-Control": _FOREVER if versioned else _REVALIDATE,
            "ETag": asset.etag,
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        body = asset.body
        if accepts_gzip(request):
            body = asset.gzipped
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, media_type=asset.media_type)


def _load(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(
        body=body,
        gzipped=gzip.compress(body, 9, mtime=0),
        media_type=_MEDIA_TYPES[PurePosixPath(path.name).suffix],
        etag=f'W/"{hashlib.sha256(body).hexdigest()[:16]}"',
    )


def accepts_gzip(request: Request) -> bool:
    """Whether the visitor's browser names gzip without a lower preference."""
    offers = request.headers.get("accept-encoding", "").lower().split(",")
    return any(offer.replace(" ", "") in ("gzip", "gzip;q=1", "gzip;q=1.0") for offer in offers)
