"""Talking to a running Orpheus from outside."""
