"""`python -m bench.peers.produce ADAPTER setup | enqueue N | latency N`: the producer's process."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

from bench.paced import paced

# The first calls import the library and connect; they are not timed.
_WARM = 5


def main() -> int:
    """Do it and print how long it took."""
    adapter = importlib.import_module(f"bench.peers.{sys.argv[1]}")
    what, times = sys.argv[2], int(sys.argv[3])
    begun = time.perf_counter()
    if what == "setup":
        adapter.setup()
    elif what == "enqueue":
        adapter.enqueue(_WARM)
        begun = time.perf_counter()
        adapter.enqueue(times - _WARM)
    else:
        paced(adapter.stamp, times)
    print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)
    return 0


if __name__ == "__main__":
    # DBOS and others leave threads behind that would hold the process.
    os._exit(main())
