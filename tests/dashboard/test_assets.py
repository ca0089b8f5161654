"""Static files and themes, as a browser gets them."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from orpheus.api.pages import mount_static, router
from orpheus.api.pages.rendering import Pages

pytestmark = pytest.mark.anyio


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()
    mount_static(app)
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def version() -> str:
    return Pages().assets.version


async def test_a_versioned_file_is_kept_for_good(client: httpx.AsyncClient, version: str) -> None:
    answer = await client.get(f"/static/{version}/js/app.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"


async def test_a_plain_path_works_and_is_asked_for_again(client: httpx.AsyncClient) -> None:
    answer = await client.get("/static/css/base.css", headers={"Accept-Encoding": "identity"})
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-encoding" not in answer.headers
    known = await client.get(
        "/static/css/base.css", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert known.status_code == 304
    assert known.content == b""


async def test_the_favicon_is_there(client: httpx.AsyncClient) -> None:
    for address in ("/static/favicon.svg", "/favicon.ico"):
        answer = await client.get(address)
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.text.startswith("<svg")


@pytest.mark.parametrize(
    "path", ["nothing.js", "", "../vendor.toml", "%2e%2e/vendor.toml", "0" * 16 + "/js/app.js"]
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/static/{path}")).status_code == 404


async def test_a_page_preloads_every_module(
    client: httpx.AsyncClient, version: str, project_root: Path
) -> None:
    html = (await client.get("/ui/nowhere")).text
    static = project_root / "orpheus" / "dashboard" / "static"
    for path in static.rglob("*.js"):
        address = f"/static/{version}/{path.relative_to(static).as_posix()}"
        assert f'<link rel="modulepreload" href="{address}">' in html


@pytest.mark.parametrize(
    ("cookie", "theme", "scheme"),
    [
        ("dark", "dark", "dark"),
        ("light", "light", "light"),
        ("auto", "auto", "light dark"),
        ('"><script>', "auto", "light dark"),
        ("", "auto", "light dark"),
    ],
)
async def test_the_cookie_decides_the_theme(
    client: httpx.AsyncClient, cookie: str, theme: str, scheme: str
) -> None:
    answer = await client.get("/ui/nowhere", headers={"Cookie": f"orpheus_theme={cookie}"})
    assert answer.status_code == 404
    assert f'data-theme="{theme}"' in answer.text
    assert f'<meta name="color-scheme" content="{scheme}">' in answer.text
    assert answer.headers["vary"] == "Accept-Encoding, Cookie"


def test_vendored_files_are_as_published(project_root: Path) -> None:
    folder = project_root / "orpheus" / "dashboard"
    entries = tomllib.loads((folder / "vendor.toml").read_text(encoding="utf-8"))["vendored"]
    for entry in entries:
        assert sha256(folder / entry["file"]) == entry["sha256"], entry["name"]
        assert sha256(folder / entry["licence_file"]) == entry["licence_sha256"], entry["name"]
    listed = {entry["file"] for entry in entries} | {entry["licence_file"] for entry in entries}
    found = {p.relative_to(folder).as_posix() for p in (folder / "static/vendor").rglob("*.*")}
    assert found == listed


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
