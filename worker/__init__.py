"""Your Celery app, and the image that runs it."""
