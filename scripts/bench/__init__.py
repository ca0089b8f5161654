"""The judge of Orpheus's speed: limits, peers, work and growth, measured in one run.

`scripts/bench/run` starts it. Everything runs in temporary folders, on loopback, bounded in time
and count; only processes started here are ended, by their pid.
"""
