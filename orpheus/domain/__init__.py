"""What a job is: pure data and decisions, standard library only, no I/O and no clock."""
