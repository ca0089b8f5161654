"""The parts of a run; each module has `run(run: Run) -> None` and adds figures to the results."""
