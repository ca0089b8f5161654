"""`orpheus doctor`: looks at everything Orpheus relies on, changes nothing, says what to do."""
