"""Celery's own integration suite, run against an app and a worker of Celeriac's.

``make test-celery`` fetches it with Celery's source, at the version that is locked. Its tests stay
as they are, but for the guards that let some run only on Celery's Redis backend: what those ask
for, any backend can do. Redis is only what they count in. ``excluded`` names each test that can't
hold here.
"""
