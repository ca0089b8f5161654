"""The master of `orpheus worker`: it starts, watches, stops and replaces processes."""
