"""Text from user code, made safe to store and to show."""

from __future__ import annotations

_MARK = "… [cut]"


def clean(value: object, limit: int) -> str:
    """The text of a value, at most `limit` characters, valid UTF-8. A broken `__str__` is named."""
    try:
        text = str(value)
    except Exception:
        return f"<{type(value).__name__} without a working __str__>"
    if len(text) > limit:
        text = text[: limit - len(_MARK)] + _MARK
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def clean_middle(text: str, head: int, tail: int) -> str:
    """Like `clean`, but what is too long loses its middle: the end says most."""
    if len(text) > head + tail:
        text = f"{text[:head]}\n… [cut]\n{text[-tail:]}"
    return clean(text, len(text))
