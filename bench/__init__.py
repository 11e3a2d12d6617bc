"""Benchmarks: throughput, scaling and memory, some compared with stock Celery."""
