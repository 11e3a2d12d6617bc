"""EventBridge Scheduler: schedules are kept, and never fire by themselves.

A test that wants one fired reads it and sends its input to its target.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from bench.standin.errors import AwsError
from bench.standin.http import Request
from bench.standin.sqs import ACCOUNT, REGION

_OPERATIONS = {
    "POST": "CreateSchedule",
    "GET": "GetSchedule",
    "PUT": "UpdateSchedule",
    "DELETE": "DeleteSchedule",
}


class Scheduler:
    """The service."""

    def __init__(self) -> None:
        #: By group and name.
        self.schedules: dict[tuple[str, str], dict[str, Any]] = {}

    def operation(self, request: Request) -> str:
        """The name of what is asked for."""
        if request.path.startswith("/schedule-groups/"):
            return f"{request.method.title()}ScheduleGroup"
        return "ListSchedules" if request.path == "/schedules" else _OPERATIONS[request.method]

    def perform(self, operation: str, request: Request) -> dict[str, Any]:
        name = request.path.rpartition("/")[2]
        body = json.loads(request.body) if request.body else {}
        group = body.get("GroupName") or request.query.get("groupName", "default")
        key = (group, name)
        match operation:
            case "CreateSchedule":
                if key in self.schedules:
                    raise AwsError(
                        "ConflictException",
                        f"Schedule {name} already exists.",
                        status=HTTPStatus.CONFLICT,
                    )
                arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{name}"
                self.schedules[key] = {
                    "State": "ENABLED",
                    **body,
                    "Arn": arn,
                    "Name": name,
                    "GroupName": group,
                }
                return {"ScheduleArn": arn}
            case "UpdateSchedule":
                self._get(key).update(body)
                return {"ScheduleArn": self._get(key)["Arn"]}
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
            case _:
                return {}

    def _get(self, key: tuple[str, str]) -> dict[str, Any]:
        try:
            return self.schedules[key]
        except KeyError:
            raise AwsError(
                "ResourceNotFoundException",
                f"Schedule {key[1]} does not exist.",
                status=HTTPStatus.NOT_FOUND,
            ) from None
