"""What uvicorn, websockets and asyncio have to say, in the same log as everything else.

Those use the standard library's logging. Warnings and worse pass; requests are logged by
`api.access`, so the servers' own chatter does not.
"""

from __future__ import annotations

import logging

from orpheus.log import get_logger

_NOISE = (
    # After every refused handshake, although the refusal was sent.
    "ASGI callable returned without completing handshake.",
    # With a traceback, for what a client did.
    "Invalid UTF-8 sequence received from client.",
)


def install() -> None:
    """Take over the root logger of this process."""
    root = logging.getLogger()
    root.handlers = [_Forward(logging.WARNING)]
    root.setLevel(logging.WARNING)


class _Forward(logging.Handler):
    """Hands records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage().strip()
        if message in _NOISE:
            return
        log = get_logger(record.name)
        write = log.error if record.levelno >= logging.ERROR else log.warning
        write(message, exc_info=record.exc_info or None)
