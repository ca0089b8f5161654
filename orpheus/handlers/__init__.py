"""What a handler is, which job types exist, and how a request becomes a job. No store, no ipc."""
