"""Keeping one pool healthy, in one child of its master: the only process that settles for others.

Runs no user code and imports no handlers, so that nothing here ever waits for a job.
"""
