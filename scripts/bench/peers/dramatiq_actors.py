"""What a Dramatiq worker imports: making the actors is a side effect of that."""

from __future__ import annotations

from bench.peers.dramatiq_redis import actor

actor("started")
