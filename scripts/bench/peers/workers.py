"""`python -m bench.peers.workers ADAPTER`: prints the command lines of a peer's workers."""

from __future__ import annotations

import importlib
import json
import sys

if __name__ == "__main__":
    print(json.dumps(importlib.import_module(f"bench.peers.{sys.argv[1]}").workers()))
