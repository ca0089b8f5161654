"""What the processes of one machine share: memory, pipes, locks, process control. No SQL."""
