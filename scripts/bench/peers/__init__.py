"""The peers: one small adapter a queue, each at its honest defaults.

An adapter module has `TITLE`, `SERVER` (None, "redis" or "postgres"), `DURABILITY`, `NOTE`, `JOBS`
(how many a drain has), `workers()` (command lines of two worker processes), `setup()`, `enqueue(n)`
(near-empty jobs, one by one) and `stamp()` (one job that notes when it starts). The libraries come
from the dependency group `bench` and have no place in the tests, so adapters import them by name.
"""
