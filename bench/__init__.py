"""Benchmarks: how fast, beside what others offer."""
