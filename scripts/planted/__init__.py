"""Planted bugs: known defects put into a copy of the source, each of which some test must catch."""
