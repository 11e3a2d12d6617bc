"""Execution: the Celery worker and its bootsteps."""
