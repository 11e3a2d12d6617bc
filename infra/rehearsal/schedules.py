"""Schedules, as callers have them and as EventBridge Scheduler fires them. No worker runs."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from infra.rehearsal.caller import Caller
from infra.rehearsal.deployment import RehearsalError, Server, same
from infra.rehearsal.function import Function

_TYPE = "long-running"
# Over 32 KiB: a task's input of this size goes by S3.
_PAYLOAD = {"total_steps": 1, "step_seconds": 0, "items": ["x" * 1024] * 40}
_DECLARED = "type-hourly"
_DEBOUNCED = "much-later"


class Schedules:
    """What EventBridge Scheduler has in the deployment's group, and the function that it calls."""

    def __init__(self, server: Server, caller: Caller, fire: Function, group: str) -> None:
        self._scheduler = server.client("scheduler")
        self._caller = caller
        self._function = fire
        self._group = group
        self._at = datetime.now(UTC).replace(microsecond=0)

    def live(self) -> None:
        """A schedule is made, edited, fired, paused, resumed, run now and deleted."""
        id = self._make(_TYPE, _PAYLOAD)
        here = f"/schedules/{id}"
        before = self._made(id)
        self._ask("PATCH", here, {"cron": "0 6 * * *", "timezone": "Europe/Moscow"})
        same(self._read(id)["ScheduleExpressionTimezone"], "Europe/Moscow")
        # As if the edit had been cut off between the table and EventBridge.
        self._scheduler.update_schedule(**before)
        self._fire(id)
        same(self._read(id)["ScheduleExpressionTimezone"], "Europe/Moscow")
        self._fire(id, times=2)
        self._ask("POST", f"{here}/pause")
        self._fire(id)
        self._ask("POST", f"{here}/resume")
        self._ask("POST", f"{here}/run", expect=HTTPStatus.ACCEPTED)
        outcomes = {"fired": 2, "paused": 1}
        same(self._outcomes(id), outcomes)
        known = self._made(id)
        self._ask("DELETE", here, expect=HTTPStatus.NO_CONTENT)
        self._is_gone(id)
        # As if the deletion had been cut off between the table and EventBridge.
        self._scheduler.create_schedule(**known)
        self._fire(id)
        self._is_gone(id)

    def fire_declared(self) -> None:
        """What a task file declares is deployed, and fires for the deployment's own tenant."""
        self._fire(f"{self._group}-{_DECLARED}")
        same(self._outcomes(_DECLARED), {"fired": 1})

    def fire_debounced(self) -> None:
        """A schedule's task that waits for the end of its series becomes a schedule itself."""
        id = self._make(_DEBOUNCED, {})
        before = self._names()
        self._fire(id)
        same(len(self._names() - before), 1)
        same(self._outcomes(id), {"fired": 1})
        self._ask("DELETE", f"/schedules/{id}", expect=HTTPStatus.NO_CONTENT)

    def repair(self) -> None:
        """What each deployment does each hour, for tasks that are overdue by no time at all."""
        given = json.loads(self._read(f"{self._group}-repair")["Target"]["Input"])
        self._function.invoke(given | {"grace_seconds": 0})

    def fire_task(self, task_id: str) -> None:
        """The time of a task has come that was delayed by over 15 minutes."""
        self._fire(f"{task_id}-1")

    def _make(self, type: str, payload: dict[str, Any]) -> str:
        body = {"type": type, "payload": payload, "rate": "PT1H"}
        made = self._ask("POST", "/schedules", body, expect=HTTPStatus.CREATED)
        return str(made["schedule_id"])

    def _ask(
        self, method: str, path: str, body: object = None, *, expect: HTTPStatus = HTTPStatus.OK
    ) -> Any:
        answer = self._caller.ask(method, path, body=body, expect=expect)
        return answer.json() if answer.body else None

    def _fire(self, name: str, *, times: int = 1) -> None:
        """Call the target as EventBridge Scheduler does, ``times`` for one time of the schedule.

        docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
        """
        self._at += timedelta(hours=1)
        given = self._read(name)["Target"]["Input"]
        for _ in range(times):
            filled = given.replace(
                "<aws.scheduler.scheduled-time>", f"{self._at:%Y-%m-%dT%H:%M:%SZ}"
            ).replace("<aws.scheduler.execution-id>", str(uuid.uuid4()))
            self._function.invoke(json.loads(filled))

    def _outcomes(self, id: str) -> dict[str, int]:
        """How often its history has each outcome. The tasks that it submitted are cancelled."""
        found: dict[str, int] = {}
        for each in self._ask("GET", f"/schedules/{id}/history")["data"]:
            found[each["outcome"]] = found.get(each["outcome"], 0) + 1
            if each["task_id"]:
                self._ask("DELETE", f"/tasks/{each['task_id']}")
        return found

    def _read(self, name: str) -> Any:
        return self._scheduler.get_schedule(GroupName=self._group, Name=name)

    def _made(self, name: str) -> dict[str, Any]:
        """What makes a schedule like this one, without its time zone and its bounds."""
        known = self._read(name)
        wanted = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
        return {each: known[each] for each in wanted}

    def _names(self) -> set[str]:
        pages = self._scheduler.get_paginator("list_schedules").paginate(GroupName=self._group)
        return {each["Name"] for page in pages for each in page["Schedules"]}

    def _is_gone(self, name: str) -> None:
        if name in self._names():
            raise RehearsalError(f"EventBridge Scheduler still has the schedule {name}.")
