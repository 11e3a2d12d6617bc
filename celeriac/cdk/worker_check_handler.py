"""Runs a fleet's new task definition once, to check it, and answers CloudFormation.

The source is the function's inline code, so it stands alone and has at most 4,096 characters:
docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/
aws-properties-lambda-function-code.html
"""

import json
import time
import urllib.request
from typing import Any

import boto3
from botocore.config import Config

# Ends before Lambda's 15 minutes, so that CloudFormation gets an answer.
LONGEST, BETWEEN = 720, 5
# So often a worker that never began is started again: a new role's rights take a while.
# docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
AGAIN = 2
# Throttling ends by itself, and is no reason to roll a deployment back. Ten tries take some two
# minutes at most.
PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 10})


def handler(event: dict[str, Any], _: object) -> None:
    try:
        fault = check(event)
    except Exception as error:  # noqa: BLE001  without an answer, CloudFormation waits on
        fault = f"{type(error).__name__}: {error}"
    answer = {
        "Status": "FAILED" if fault else "SUCCESS",
        "Reason": (fault or "It would work.")[:1000],
        "PhysicalResourceId": event.get("PhysicalResourceId", event["LogicalResourceId"]),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    body, headers = json.dumps(answer).encode(), {"Content-Type": ""}
    request = urllib.request.Request(event["ResponseURL"], body, headers, method="PUT")  # noqa: S310
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310


def check(event: dict[str, Any]) -> str | None:
    if event["RequestType"] == "Delete" or rolls_back(event["StackId"]):
        return None
    ecs, asked = boto3.client("ecs", config=PATIENT), event["ResourceProperties"]
    cluster, log, arn, why = asked["Cluster"], asked["Log"], None, None
    end, again = time.monotonic() + LONGEST, AGAIN
    while time.monotonic() < end:
        if arn is None:
            # Fargate may have no room at the moment, and says so here.
            started = ecs.run_task(**json.loads(asked["Run"]))
            why = [each.get("reason") for each in started["failures"]]
            arn = next((each["taskArn"] for each in started["tasks"]), None)
        else:
            # A task that has just begun may not be found yet.
            for task in ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"]:
                if task["lastStatus"] == "STOPPED":
                    fault = fault_of({**task}, log)
                    if fault is None or "exitCode" in task["containers"][0] or not again:
                        return fault
                    arn, again = None, again - 1
        time.sleep(BETWEEN)
    if arn is None:
        return f"No worker of {asked['Fleet']} could be started to check it: {why}"
    ecs.stop_task(cluster=cluster, task=arn, reason="The check took too long.")
    return f"A worker of {asked['Fleet']} didn't end its check. See {log}."


def rolls_back(stack: str) -> bool:
    # What ran before isn't checked again: a failure would leave the stack between two states.
    found = boto3.client("cloudformation", config=PATIENT).describe_stacks(StackName=stack)[
        "Stacks"
    ][0]
    return "ROLLBACK" in found["StackStatus"]


def fault_of(task: dict[str, Any], log: str) -> str | None:
    container = task["containers"][0]
    if container.get("exitCode") == 0:
        return None
    said = container.get("exitCode", container.get("reason"))
    return f"A worker would not work: {said}, {task.get('stoppedReason')}. Its log is {log}."
