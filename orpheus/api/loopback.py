"""Which addresses reach this machine only. Loaded before the fork of the writer: nothing heavy."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


def is_loopback_bind(host: str) -> bool:
    """Whether listening on `host` reaches this machine only."""
    return host.lower() == "localhost" or is_loopback(host.strip("[]"))


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether `name` is a loopback address; a name is none."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
