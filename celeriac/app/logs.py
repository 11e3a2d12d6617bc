"""Logs as JSON lines, each naming the task it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any

from celery import current_task

from celeriac.transport.message import attempt_of

# What a LogRecord has anyway: everything else was given with ``extra=``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}


_CUT = "..."


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the task, and what ``extra`` gave.

    A line has at most PIPE_BUF bytes (4 KiB) with its end, because a pipe takes that much as a
    whole. All processes of a worker share one pipe, which could split a longer line.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        if current_task and current_task.request.id:
            line["task_id"] = current_task.request.id
            line["task_type"] = current_task.name
            line["attempt"] = attempt_of(current_task.request)
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _fitted(line)


def _fitted(line: dict[str, Any]) -> str:
    """The line as text, the longest of its values cut as far as it must be.

    A traceback loses its beginning, since its end says what went wrong; all else loses its end.
    """
    while (excess := len(text := json.dumps(line, default=str)) + len("\n") - PIPE_BUF) > 0:
        name = max(line, key=lambda each: len(str(line[each])))
        value = str(line.pop(name))
        # Escaped, a character takes one byte to twelve: keep the share that has room. But no less
        # than half, since the next longest may be as long.
        size = len(json.dumps(value))
        keep = int(len(value) * max(1 - excess / size, 0.5)) - len(_CUT)
        if keep > 0:
            line[name] = _CUT + value[-keep:] if name == "exception" else value[:keep] + _CUT
    return text


def _message(record: logging.LogRecord) -> str:
    """The log line; without a task's result, which is its caller's and no log's."""
    match record.args:
        case {"return_value": _, "name": name, "id": task_id, "runtime": runtime}:
            return f"Task {name}[{task_id}] succeeded in {runtime:.3f} s"
        case _:
            return record.getMessage()


def configure(level: str) -> None:
    """Send all logs to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # botocore tells at INFO that it found credentials, at each client.
    logging.getLogger("botocore").setLevel(logging.WARNING)
