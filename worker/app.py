"""The Celery app as a worker runs it, for ``celery -A worker.app``.

``python -m worker`` says less and is what the container runs.
"""

from __future__ import annotations

from celeriac.app import celery_app
from worker.equipment import equip

app = equip(celery_app())
