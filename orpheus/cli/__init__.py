"""The command line: the composition root of the programs, and the commands that talk HTTP."""
