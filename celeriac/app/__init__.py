"""Celery, with a record before each message: the app, its tasks and its result backend."""
