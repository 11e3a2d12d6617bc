"""What callers and operators ask for: submit, cancel, retry, queues, dead letters, repair."""
