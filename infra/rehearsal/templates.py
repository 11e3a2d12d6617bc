"""The policies of synthesized templates, their references resolved without a deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.rehearsal.calls import ACCOUNT, REGION

_PSEUDO = {"AWS::Partition": "aws", "AWS::AccountId": ACCOUNT, "AWS::Region": REGION}


class Templates:
    """The templates of one deployment. ``schedule_role`` is the ARN of the role its schedules take,
    whose name CloudFormation makes up."""

    def __init__(self, directory: Path, prefix: str, *, schedule_role: str) -> None:
        self._schedule_role = schedule_role
        self._resources = {
            stack: json.loads((directory / f"{prefix}-{stack}.template.json").read_text())
            for stack in ("data", "workers", "api")
        }
        self._exports = {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in self._resources.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }

    def worker_policies(self, queue_name: str) -> list[dict[str, Any]]:
        """What the workers of the queue of this name may do."""
        resources = self._resources["workers"]["Resources"]
        (service,) = (
            each["Properties"]
            for each in resources.values()
            if each["Type"] == "AWS::ECS::Service"
            and each["Properties"]["ServiceName"] == queue_name
        )
        task = resources[service["TaskDefinition"]["Ref"]]["Properties"]
        return self._policies("workers", task["TaskRoleArn"]["Fn::GetAtt"][0])

    def schedule_policies(self) -> list[dict[str, Any]]:
        """What a schedule that is due may do."""
        (role,) = (
            name
            for name, each in self._resources["data"]["Resources"].items()
            if each["Type"] == "AWS::IAM::Role"
        )
        return self._policies("data", role)

    def fire_policies(self) -> list[dict[str, Any]]:
        """What the function may do that EventBridge Scheduler calls."""
        resources = self._resources["api"]["Resources"]
        (role,) = (
            each["Properties"]["Role"]["Fn::GetAtt"][0]
            for each in resources.values()
            if each["Type"] == "AWS::Lambda::Function"
            and each["Properties"].get("FunctionName", "").endswith("-fire")
        )
        return self._policies("api", role)

    def _policies(self, stack: str, role: str) -> list[dict[str, Any]]:
        return [
            self._resolved(stack, each["Properties"]["PolicyDocument"])
            for each in self._resources[stack]["Resources"].values()
            if each["Type"] == "AWS::IAM::Policy" and {"Ref": role} in each["Properties"]["Roles"]
        ]

    def _resolved(self, stack: str, value: Any) -> Any:
        match value:
            case {"Ref": str(name)}:
                return _PSEUDO[name]
            case {"Fn::GetAtt": [str(name), "Arn"]}:
                return self._arn(stack, self._resources[stack]["Resources"][name])
            case {"Fn::ImportValue": str(name)}:
                return self._resolved(*self._exports[name])
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(self._resolved(stack, part) for part in parts)
            case dict():
                return {name: self._resolved(stack, each) for name, each in value.items()}
            case list():
                return [self._resolved(stack, each) for each in value]
            case _:
                return value

    def _arn(self, stack: str, resource: Mapping[str, Any]) -> str:

        def named(by: str) -> str:
            return str(self._resolved(stack, resource["Properties"][by]))

        match resource["Type"]:
            case "AWS::SQS::Queue":
                return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{named('QueueName')}"
            case "AWS::DynamoDB::Table":
                return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{named('TableName')}"
            case "AWS::S3::Bucket":
                return f"arn:aws:s3:::{named('BucketName')}"
            case "AWS::Logs::LogGroup":
                return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{named('LogGroupName')}:*"
            case "AWS::IAM::Role":
                return self._schedule_role
            case type:
                raise ValueError(f"What the ARN of a {type} is has to be said here.")
