"""Whether these settings may be served at all: who could reach us, and what would stop them.

Asked once, by `api.main`, before anything listens. Loaded before the fork of the writer, so nothing
heavy here.
"""

from __future__ import annotations

import re

from orpheus.api.loopback import is_loopback_bind
from orpheus.errors import ConfigurationError
from orpheus.log import get_logger
from orpheus.settings import Settings

_log = get_logger(__name__)

# Every address of the machine: a name for none of them.
_ANY = ("", "0.0.0.0", "::", "[::]")  # noqa: S104 - to recognise it
# What an Authorization header can carry after "Bearer ".
_TOKEN = re.compile(r"[\x21-\x7e]+")
# As browsers write it: a scheme, a host, a port where it is not the scheme's own.
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?/?", re.IGNORECASE)


def check_exposure(settings: Settings) -> None:
    """Raise ConfigurationError for settings that would let in who should not be."""
    if settings.token is None:
        if not is_loopback_bind(settings.host):
            raise ConfigurationError(
                f"ORPHEUS_HOST={settings.host} is reachable from other machines, and without a "
                "token anybody there could run jobs: name a file with a long random one in "
                "ORPHEUS_TOKEN_FILE (python3 -c 'import secrets; print(secrets.token_urlsafe())' "
                "prints one), or use 127.0.0.1"
            )
    elif not _TOKEN.fullmatch(settings.token.get_secret_value()):
        raise ConfigurationError(
            "the token has characters that a header cannot carry; use printable ASCII without "
            "spaces, such as python3 -c 'import secrets; print(secrets.token_urlsafe())' prints"
        )
    for origin in settings.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigurationError(
                f"ORPHEUS_ALLOWED_ORIGINS: {origin!r} is no origin; list each one as "
                "https://name or https://name:port, without path and wildcard"
            )
    if settings.host in _ANY and not settings.allowed_hosts:
        _log.warning(
            "only requests to a loopback Host will be answered; list in ORPHEUS_ALLOWED_HOSTS "
            "the names and addresses by which other machines reach this one",
            host=settings.host,
        )


def own_hosts(settings: Settings) -> tuple[str, ...]:
    """What `Host` may say besides loopback: what is listed, and the address we were told to use."""
    bound = () if settings.host in _ANY else (settings.host.strip("[]"),)
    return (*settings.allowed_hosts, *bound)
