"""EventBridge Scheduler: schedules are checked and kept, and never fire by themselves.

A test that wants one fired reads it and sends its input to its target.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from celeriac.local.scheduler_rules import refusal
from celeriac.local.standin.errors import AwsError
from celeriac.local.standin.http import Request
from celeriac.local.standin.sqs_queue import ACCOUNT, REGION

_OPERATIONS = {
    "POST": "CreateSchedule",
    "GET": "GetSchedule",
    "PUT": "UpdateSchedule",
    "DELETE": "DeleteSchedule",
}
_GROUP_OPERATIONS = {
    "POST": "CreateScheduleGroup",
    "GET": "GetScheduleGroup",
    "DELETE": "DeleteScheduleGroup",
}


class Scheduler:
    """The service."""

    def __init__(self) -> None:
        #: By group and name.
        self.schedules: dict[tuple[str, str], dict[str, Any]] = {}
        self.groups = {"default"}

    def operation(self, request: Request) -> str:
        """The name of what is asked for."""
        if request.path == "/schedule-groups":
            return "ListScheduleGroups"
        if request.path.startswith("/schedule-groups/"):
            return _GROUP_OPERATIONS[request.method]
        return "ListSchedules" if request.path == "/schedules" else _OPERATIONS[request.method]

    def perform(self, operation: str, request: Request) -> dict[str, Any]:
        name = request.path.rpartition("/")[2]
        body = json.loads(request.body) if request.body else {}
        group = body.get("GroupName") or request.query.get("groupName", "default")
        key = (group, name)
        match operation:
            case "CreateSchedule" | "UpdateSchedule":
                return {"ScheduleArn": self._keep(operation, key, body)}
            case "GetSchedule":
                return self._get(key)
            case "DeleteSchedule":
                self._get(key)
                del self.schedules[key]
                return {}
            case "ListSchedules":
                wanted = request.query.get("ScheduleGroup")
                prefix = request.query.get("NamePrefix", "")
                return {
                    "Schedules": [
                        {name: each[name] for name in ("Arn", "Name", "GroupName", "State")}
                        for (in_group, named), each in sorted(self.schedules.items())
                        if named.startswith(prefix) and wanted in {None, in_group}
                    ]
                }
            case "ListScheduleGroups":
                prefix = request.query.get("NamePrefix", "")
                groups = sorted(each for each in self.groups if each.startswith(prefix))
                return {"ScheduleGroups": [{"Name": each} for each in groups]}
            case "CreateScheduleGroup":
                self.groups.add(name)
                return {"ScheduleGroupArn": _arn(name)}
            case "GetScheduleGroup" if name in self.groups:
                return {"Name": name, "Arn": _arn(name)}
            case _:
                raise AwsError(
                    "ResourceNotFoundException",
                    f"There is no {name} for {operation}.",
                    status=HTTPStatus.NOT_FOUND,
                )

    def _keep(self, operation: str, key: tuple[str, str], body: dict[str, Any]) -> str:
        group, name = key
        if (fault := refusal(name, body, datetime.now(UTC))) is not None:
            raise AwsError("ValidationException", fault)
        if group not in self.groups:
            raise AwsError(
                "ResourceNotFoundException",
                f"Schedule group {group} does not exist.",
                status=HTTPStatus.NOT_FOUND,
            )
        if operation == "UpdateSchedule":
            self._get(key)
        elif key in self.schedules:
            raise AwsError(
                "ConflictException",
                f"Schedule {name} already exists.",
                status=HTTPStatus.CONFLICT,
            )
        arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{name}"
        # An update is of the whole schedule: what it doesn't name goes back to its default.
        named = {"Arn": arn, "Name": name, "GroupName": group}
        self.schedules[key] = {"State": "ENABLED", **body, **named}
        return arn

    def _get(self, key: tuple[str, str]) -> dict[str, Any]:
        try:
            return self.schedules[key]
        except KeyError:
            raise AwsError(
                "ResourceNotFoundException",
                f"Schedule {key[1]} does not exist.",
                status=HTTPStatus.NOT_FOUND,
            ) from None


def _arn(group: str) -> str:
    return f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/{group}"
