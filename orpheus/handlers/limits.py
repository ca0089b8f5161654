"""The ranges of the contract, in one place for requests and for `@job`."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")
DEFAULT_QUEUE = "default"

PRIORITY = (-100, 100)
MAX_RETRIES = (0, 100)
MAX_CRASHES = (1, 100)
TIMEOUT_SECONDS = 30 * 86_400
DELAY_SECONDS = 10 * 366 * 86_400
TAGS = 20
META_BYTES = 16 * 1024
