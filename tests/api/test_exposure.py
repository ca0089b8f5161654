"""What would let in who should not be is refused at start."""

from __future__ import annotations

from pathlib import Path

import pytest

from orpheus.api.exposure import check_exposure, own_hosts
from orpheus.errors import ConfigurationError
from orpheus.settings import load_settings
from tests.api.running import refused, running_api
from tests.support.stores import settings_at
from tests.support.system import System

OPEN = ["0.0.0.0", "::", "192.0.2.1", "example.org", "", "127.0.0.1.evil.example", "0", "127.1"]


@pytest.mark.parametrize("host", OPEN)
def test_an_open_address_needs_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ORPHEUS_TOKEN_FILE|127\.0\.0\.1"):
        check_exposure(settings_at(tmp_path, host=host))
    check_exposure(settings_at(tmp_path, host=host, token="s3cret"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_needs_none(tmp_path: Path, host: str) -> None:
    check_exposure(settings_at(tmp_path, host=host))


@pytest.mark.parametrize("token", ["two words", "schlüssel", " ", "line\nbreak", "nul\0"])
def test_a_token_that_no_header_can_carry_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigurationError, match="printable ASCII"):
        check_exposure(settings_at(tmp_path, token=token))


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "ours.test", "https://*.ours.test", "https://ours.test/path", "ftp://ours.test",
     "https://ours.test, https://b.test", "https://user@ours.test", "https://"],
)  # fmt: skip
def test_an_origin_that_is_none_is_refused(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ConfigurationError, match="ORPHEUS_ALLOWED_ORIGINS"):
        check_exposure(settings_at(tmp_path, allowed_origins=(origin,)))


@pytest.mark.parametrize(
    "origin", ["https://ours.test", "http://localhost:5173", "HTTP://[::1]:80", "https://a.b/"]
)
def test_an_origin_may_have_a_port(tmp_path: Path, origin: str) -> None:
    check_exposure(settings_at(tmp_path, allowed_origins=(origin,)))


def test_the_address_we_are_bound_to_is_a_host_of_ours(tmp_path: Path) -> None:
    def hosts(host: str) -> tuple[str, ...]:
        return own_hosts(settings_at(tmp_path, host=host, allowed_hosts=("orpheus.test",)))

    assert hosts("192.0.2.1") == ("orpheus.test", "192.0.2.1")
    assert hosts("0.0.0.0") == hosts("::") == ("orpheus.test",)


def test_the_program_says_so_and_stays_down(tmp_path: Path) -> None:
    done = System(tmp_path, {"HOST": "0.0.0.0"}).run("api")
    assert done.returncode == 78
    (line,) = [line for line in done.stderr.splitlines() if "ORPHEUS_HOST=0.0.0.0" in line]
    assert "ORPHEUS_TOKEN_FILE" in line
    assert not (tmp_path / "data" / "orpheus.db").exists()


@pytest.mark.processes
def test_an_open_address_with_a_token_file_is_served(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-a-file\n")
    environment = {"HOST": "0.0.0.0", "TOKEN_FILE": str(secret)}
    with running_api(tmp_path, environment) as api:
        refused(api.get("/jobs"), 401, "unauthorized")
        headers = {"Authorization": "Bearer s3cret-of-a-file"}
        assert api.get("/jobs", headers=headers).status_code == 200
        refused(api.get("/jobs", headers=headers | {"Host": "0.0.0.0"}), 400, "invalid_host")
        assert "ORPHEUS_ALLOWED_HOSTS" in api.system.log()
        # The command line and the Client find the token where the server does.
        done = api.system.run("submit", "sum_range", '{"n": 3}', "--json")
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in api.system.log() + done.stdout + done.stderr
        shown = load_settings(cwd=tmp_path, environ=api.system.environment)
        assert "s3cret" not in repr(shown)
