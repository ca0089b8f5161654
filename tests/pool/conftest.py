"""Pools for the tests of the master."""

from tests.pool.harness import start_pool

__all__ = ["start_pool"]
