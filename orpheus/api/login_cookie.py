"""The cookie a browser gets for the token: a date and its HMAC under the token, never the token.

`api.login` sets and checks it. Nothing is stored, so it outlives a restart; it ends with its date,
and with the token: another token makes every cookie void (ADR 0015).
"""

from __future__ import annotations

import hashlib
import hmac
import re

from orpheus.clock import SECOND_US, Clock

NAME = "orpheus_login"
LIFETIME_SECONDS = 30 * 86_400
_VALUE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")
_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Strict"


class LoginCookie:
    """Makes and checks the cookies of one token."""

    def __init__(self, token: str, clock: Clock) -> None:
        self._key = token.encode()
        self._clock = clock

    def fresh(self, secure: bool) -> str:
        """`Set-Cookie` for who has shown the token; `secure` where it came over TLS."""
        until = self._now() + LIFETIME_SECONDS
        value = f"{until}.{self._sign(str(until))}"
        return f"{NAME}={value}; Max-Age={LIFETIME_SECONDS}; {_ATTRIBUTES}{'; Secure' * secure}"

    @staticmethod
    def gone() -> str:
        """`Set-Cookie` that takes it back."""
        return f"{NAME}=; Max-Age=0; {_ATTRIBUTES}"

    def is_valid(self, value: str) -> bool:
        """Whether we made `value` under this token and its time is not over."""
        match = _VALUE.fullmatch(value)
        return (
            match is not None
            and hmac.compare_digest(match[2], self._sign(match[1]))
            and int(match[1]) > self._now()
        )

    def _sign(self, until: str) -> str:
        return hmac.new(self._key, f"orpheus login until {until}".encode(), "sha256").hexdigest()

    def _now(self) -> int:
        return self._clock.now() // SECOND_US


def same_secret(given: bytes, secret: bytes) -> bool:
    """Compare in a time that tells neither the secret nor its length."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(secret).digest())
