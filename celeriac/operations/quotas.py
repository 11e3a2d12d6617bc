"""What one tenant may submit: the settings ``waiting_per_tenant`` and ``mails_per_tenant``.

They are asked when a caller submits a task, by HTTP or Python, before its record is written. A type
with ``unique_for`` has a name written by then, under which the next caller creates the task.
What a running task submits belongs to a task that was accepted, so it is never refused. Neither are
the types for operators only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celeriac.app.factory import CeleriacApp
from celeriac.contract import TaskType
from celeriac.errors import QuotaExceededError, unavailable
from celeriac.storage.services import services

#: The window of ``mails_per_tenant``: a day of AWS's clock, UTC.
DAY = timedelta(days=1)


def admit(app: CeleriacApp, task_type: TaskType[Any, Any] | None, tenant: str) -> None:
    """Count a submission, if the tenant's quotas have room for it. A plain task has no type.

    Raises:
        QuotaExceededError: one of them has none.
        UnavailableError: DynamoDB can't count. The record couldn't be written either.
    """
    for_operators = task_type is not None and task_type.operators_only
    if for_operators or app.current_worker_task is not None:
        return
    waiting, mails = app.settings.waiting_per_tenant, app.settings.mails_per_tenant
    with unavailable("DynamoDB"):
        if waiting is not None and (wait := services().waiting.admit(tenant, waiting)):
            raise QuotaExceededError(
                "waiting_per_tenant",
                waiting,
                f"The tenant {tenant!r} has {waiting:,} unfinished tasks, as many as it may have. "
                "Submit again when some have ended, or cancel some.",
                wait,
            )
        if mails is None or task_type is None or not task_type.sends_mail:
            return
        if wait := services().requests.admit(f"mails#{tenant}", mails, DAY):
            raise QuotaExceededError(
                "mails_per_tenant",
                mails,
                f"The tenant {tenant!r} has submitted {mails:,} mails today, as many as it may. "
                "Submit again after midnight UTC, as Retry-After says.",
                wait,
            )
