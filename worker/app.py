"""Your Celery app, which the workers run: ``celeriac worker``, or ``celery -A worker.app worker``.

Plain Celery tasks of yours are written ``@app.task``; the task types in ``tasks/`` need no app.
"""

from celeriac import Celeriac

app = Celeriac("worker")
