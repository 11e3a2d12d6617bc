"""The options of ``@task``: their types, and the answer to each of Celery's own."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from celeriac.contract.errors import DeclarationError
from celeriac.contract.payloads import Payloads
from celeriac.contract.places import Place, short
from celeriac.contract.queues import Queue
from celeriac.contract.retry import Retry
from celeriac.contract.schedule import Schedule

OPTIONS = (
    "queue",
    "time_limit",
    "retry",
    "name",
    "aliases",
    "max_running",
    "rate",
    "limits",
    "unique_for",
    "debounce",
    "operators_only",
    "sends_mail",
    "schedule",
)

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

# SQS keeps a message hidden for at most 12 hours after it was received, however often its
# visibility is renewed; an hour is left for starting, stopping and renewal.
# docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
LONGEST_TIME_LIMIT = timedelta(hours=11)


def check(
    place: Place,
    queue: object,
    time_limit: object,
    retry: object,
    aliases: object,
    operators_only: object,
    sends_mail: object,
) -> None:
    """Check the types and the range of the options.

    Raises:
        DeclarationError: naming the first wrong option.
    """
    if not isinstance(operators_only, bool):
        raise DeclarationError(
            place,
            f"operators_only={short(operators_only)} is neither True nor False",
            "Write operators_only=True if only keys with the scope admin may submit it",
        )
    if not isinstance(sends_mail, bool):
        raise DeclarationError(
            place,
            f"sends_mail={short(sends_mail)} is neither True nor False",
            "Write sends_mail=True if its tasks count as mails of their tenant",
        )
    if not isinstance(queue, Queue):
        raise DeclarationError(place, f"queue={short(queue)} is not a Queue", _queue_fix(queue))
    if not isinstance(time_limit, timedelta):
        raise DeclarationError(
            place,
            f"time_limit={short(time_limit)} is not a timedelta",
            f"Write time_limit={_seconds(time_limit) or 'timedelta(minutes=5)'}",
        )
    if not timedelta(0) < time_limit <= LONGEST_TIME_LIMIT:
        raise DeclarationError(
            place,
            f"time_limit={time_limit} is out of range",
            f"Give more than 0 and at most {LONGEST_TIME_LIMIT}: SQS hides a message for "
            "12 hours at most, so split longer work into several tasks",
        )
    if retry is not None and not isinstance(retry, Retry):
        attempts = retry if isinstance(retry, int) and retry > 0 else 3
        raise DeclarationError(
            place,
            f"retry={short(retry)} is not a Retry",
            f"Write retry=Retry(attempts={int(attempts)})",
        )
    if not isinstance(aliases, tuple):
        raise DeclarationError(
            place, f"aliases={short(aliases)} is not a tuple", "Write aliases=('old-name',)"
        )


def schedules(place: Place, given: object, payloads: Payloads[Any]) -> tuple[Schedule, ...]:
    """The schedules of a task type, whose payloads its model takes.

    Raises:
        DeclarationError: one is no ``Schedule``, or a payload isn't valid.
    """
    found = given if isinstance(given, tuple) else () if given is None else (given,)
    for each in found:
        if not isinstance(each, Schedule):
            raise DeclarationError(
                place,
                f"schedule={short(given)} is not a Schedule",
                _schedule_fix(given),
            )
        try:
            payloads.read(each.payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(map(str, first["loc"])) or "payload"
            raise DeclarationError(
                place,
                f"the payload of schedule {each.expression} isn't valid: {at}: {first['msg']}",
                "Write payload={...} in the schedule, with the fields of the payload model",
            ) from None
    return found


def name_of(place: Place, function: str) -> str:
    """The name that a function gives its task type.

    Raises:
        DeclarationError: it can't be part of a URL.
    """
    name = function.replace("_", "-")
    if NAME.fullmatch(name):
        return name
    words = re.findall(r"[A-Z]*[a-z0-9]+|[A-Z]+", function)
    better = "-".join(words).lower()
    if not function.isascii() or not NAME.fullmatch(better):
        better = "send-email"
    raise DeclarationError(
        place,
        f"the name {name!r}, which {function} gives its task type, can't be part of a URL",
        f"Rename the function, or write @task(name={better!r})",
    )


def check_name(place: Place, name: object) -> None:
    """Check that a task type's given name, or one of its aliases, can be part of a URL.

    Raises:
        DeclarationError: it can't.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise DeclarationError(
            place,
            f"the name {short(name)} can't be part of a URL",
            "Use lower-case words with dashes between them, such as 'send-email'",
        )


def refuse_unknown(place: Place, unknown: Mapping[str, Any]) -> None:
    """Say what to write in place of options that ``@task`` doesn't have.

    Raises:
        DeclarationError: there is such an option.
    """
    for option, value in unknown.items():
        if (fix := _CELERYS.get(option)) is not None:
            raise DeclarationError(
                place,
                f"{option}={short(value)} is an option of Celery's, not of @task",
                fix(value) if callable(fix) else fix,
            )
        near = difflib.get_close_matches(option, OPTIONS, n=1)
        raise DeclarationError(
            place,
            f"@task has no option {option!r}",
            f"Write {near[0]}=" if near else f"The options are {', '.join(OPTIONS)}",
        )


def _schedule_fix(given: object) -> str:
    match given:
        case str():
            return f"Write schedule=Schedule.cron({given!r})"
        case timedelta() | int() | float() if not isinstance(given, bool):
            interval = _seconds(given) or "timedelta(minutes=5)"
            return f"Write schedule=Schedule.rate({interval})"
        case list():
            return "Write a tuple: schedule=(Schedule.cron(...), ...)"
    return "Write schedule=Schedule.cron('0 6 * * MON-FRI'), or a tuple of several"


def _queue_fix(queue: object) -> str:
    if isinstance(queue, str) and NAME.fullmatch(queue):
        constant = queue.upper().replace("-", "_")
        return (
            f'Write queue={constant}, and {constant} = Queue("{queue}") in tasks/queues.py, '
            "from which you import it"
        )
    return "Give one of tasks/queues.py, or a new one: Queue('video')"


def _seconds(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return f"timedelta(seconds={value!r})"
    return None


def _max_retries(value: object) -> str:
    if value is None:
        return "Write retry=Retry(attempts=...): every task type has a last attempt"
    known = isinstance(value, int) and value >= 0
    attempts = f"Retry(attempts={int(value) + 1})" if known else "Retry(attempts=...)"  # type: ignore[call-overload]
    return f"Write retry={attempts}: attempts include the first"


def _delay(field: str) -> Callable[[object], str]:
    return lambda value: f"Write retry=Retry({field}={_seconds(value) or 'timedelta(...)'})"


_OTHER_RETRIES = (
    "Leave it out: every exception but PermanentError is retried, as retry=Retry(...) says"
)
_PERMANENT = "Leave it out, and raise PermanentError where another attempt would not help"
_ACKNOWLEDGED = "Leave it out: a message is deleted once the task's outcome is written"
_RESULTS = "Leave it out: every result is kept for CELERIAC_RECORD_TTL"
_JSON = "Leave it out: payloads and results are JSON, as their models say"
_QUEUE = "Write queue=..., with one of tasks/queues.py"
_PLAIN = "Leave it out, or declare a plain Celery task with @shared_task"

#: The fix for each option of Celery's own task decorators.
#: docs.celeryq.dev/en/stable/userguide/tasks.html#list-of-options
_CELERYS: Mapping[str, str | Callable[[object], str]] = {
    "acks_late": _ACKNOWLEDGED,
    "acks_on_failure": _ACKNOWLEDGED,
    "acks_on_failure_or_timeout": _ACKNOWLEDGED,
    "acks_on_timeout": _ACKNOWLEDGED,
    "autoretry_for": _OTHER_RETRIES,
    "backend": _RESULTS,
    "base": _PLAIN,
    "bind": "Leave it out, and use context instead of self",
    "compression": _JSON,
    "countdown": "Leave it out, and give the delay when you submit the task",
    "default_retry_delay": _delay("first_delay"),
    "dont_autoretry_for": _PERMANENT,
    "exchange": _QUEUE,
    "expires": "Leave it out, and cancel tasks that are no longer needed",
    "ignore_result": _RESULTS,
    "max_retries": _max_retries,
    "priority": (
        "Leave it out, and say it of each task that is urgent: submit(..., priority='high'). "
        "A type that is always urgent needs a queue of its own: queue=Queue(...)"
    ),
    "pydantic": "Leave it out: payload and result are always pydantic models",
    "rate_limit": lambda value: (
        f"Write rate={value!r}, which limits the whole deployment"
        if isinstance(value, str)
        else "Write rate='100/m', which limits the whole deployment"
    ),
    "reject_on_worker_lost": _ACKNOWLEDGED,
    "result_serializer": _JSON,
    "retry_backoff": _delay("first_delay"),
    "retry_backoff_max": _delay("max_delay"),
    "retry_jitter": "Leave it out: Retry always spreads attempts with full jitter",
    "retry_kwargs": "Write retry=Retry(attempts=...)",
    "retry_on_worker_lost": _ACKNOWLEDGED,
    "routing_key": _QUEUE,
    "send_events": "Leave it out: records and metrics show every change",
    "serializer": _JSON,
    "shared": _PLAIN,
    "soft_time_limit": lambda value: f"Write time_limit={_seconds(value) or 'timedelta(...)'}",
    "store_eager_result": _RESULTS,
    "store_errors_even_if_ignored": _RESULTS,
    "throws": _PERMANENT,
    "track_started": "Leave it out: the record always shows when an attempt starts",
    "trail": "Leave it out: the record always names the parent task",
    "typing": "Leave it out: the payload model checks every value",
}
