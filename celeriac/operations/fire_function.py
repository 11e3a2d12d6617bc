"""The function that EventBridge Scheduler calls: ``celeriac.operations.fire_function.handler``.

Scheduler invokes a function asynchronously, and takes it as done once Lambda has queued the event:
docs.aws.amazon.com/lambda/latest/dg/with-eventbridge-scheduler.html. So an error here is Lambda's
to repeat, and an event that can't be fired goes to the schedules' dead-letter queue:
docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

from typing import Any

from celeriac.app.factory import celery_app
from celeriac.app.logs import configure
from celeriac.operations.firing import fire
from celeriac.settings import settings

configure(settings().log_level)
# The task files are read while Lambda starts the function, not while an event waits.
celery_app().finalize()


def handler(event: Any, _: object) -> None:
    """Fire one event. Raises what ``fire`` raises, which Lambda counts as an error."""
    fire(event)
