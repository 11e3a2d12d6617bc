"""A deployment on AWS, found by its environment's name."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import boto3
import httpx
from botocore.config import Config
from pydantic import TypeAdapter

from celeriac.cdk import Environment, variables
from infra.region import region
from infra.rehearsal.function import Response
from infra.verify.check import NotHeld
from infra.verify.deployment import Deployment

#: A worker writes its heartbeat every 20 seconds.
_HEARTBEATS = timedelta(seconds=45)
_LOOK_SECONDS = 5
#: API Gateway ends a request after 30 seconds.
_ANSWER_SECONDS = 35
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"total_max_attempts": 4},
    # Links name the region's host, not the global one, which redirects.
    s3={"addressing_style": "virtual"},
)
#: Where Fargate gives a host the name of its address.
_HOST = re.compile(r"ip-(\d+)-(\d+)-(\d+)-(\d+)")


class Https:
    """The HTTP API at its URL."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(base_url=url, timeout=_ANSWER_SECONDS, transport=transport)

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: object = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request; its answer, whatever its status.

        Raises:
            httpx.HTTPError: there is no answer.
        """
        sent = {"content-type": "application/json", **(headers or {})}
        if key:
            sent["authorization"] = f"Bearer {key}"
        answer = self._client.request(
            method,
            f"{path}?{query}" if query else path,
            headers=sent,
            content=None if body is None else json.dumps(body),
        )
        return Response(answer.status_code, dict(answer.headers), answer.text)


@dataclass(frozen=True, kw_only=True)
class OnAws(Deployment):
    """Its workers are tasks of ECS, which stop as a deployment or a scale-in stops them."""

    @property
    def on_moto(self) -> bool:
        """Never."""
        return False

    @property
    def outlasts_stop(self) -> timedelta:
        """The drain window, and the time until a heartbeat names the task."""
        window = TypeAdapter(timedelta).validate_python(self.setting("DRAIN_WINDOW"))
        return window + _HEARTBEATS

    def stop_worker(self, queue: str, task_id: str) -> str:
        """``ecs:StopTask`` of the worker whose heartbeat names the task.

        Raises:
            NotHeld: no heartbeat names it, or ECS doesn't know the worker's host.
        """
        host = self._host_of(task_id)
        ecs, cluster = self.client("ecs"), self.setting("CLUSTER_NAME")
        arns = ecs.list_tasks(cluster=cluster, serviceName=queue)["taskArns"]
        tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        found = [each for each in tasks if len(tasks) == 1 or _address(host) in _addresses(each)]
        if len(found) != 1:
            raise NotHeld(f"{len(tasks)} ECS tasks of {queue}, and {len(found)} are {host}")
        (task,) = found
        ecs.stop_task(cluster=cluster, task=task["taskArn"], reason="make verify")
        return str(task["taskArn"].rpartition("/")[2])

    def _host_of(self, task_id: str) -> str:
        give_up_at = time.monotonic() + _HEARTBEATS.total_seconds()
        while time.monotonic() < give_up_at:
            for each in json.loads(self.celeriac("workers", "list", "--json")):
                if any(task["task_id"] == task_id for task in each["active"]):
                    return str(each["hostname"])
            time.sleep(_LOOK_SECONDS)
        raise NotHeld(f"no worker's heartbeat names the task {task_id} within {_HEARTBEATS}")


def deployment(environment: Environment) -> OnAws:
    """The deployment of an environment, by the credentials and the region of this process.

    Raises:
        RegionMissingError: no region is chosen.
        botocore.exceptions.BotoCoreError: AWS can't be reached, or there are no credentials.
        botocore.exceptions.ClientError: AWS refused, or there is no such stack.
    """
    here = region()

    @cache
    def client(service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service, region_name=here, config=_CONFIG
        )

    found = variables(client("cloudformation"), f"{environment.prefix}-api")
    return OnAws(
        environment=environment,
        region=here,
        variables=found,
        command_variables={**os.environ, "AWS_REGION": here, "AWS_DEFAULT_REGION": here, **found},
        api=Https(found["API"]),
        client=client,
    )


def _address(host: str) -> str | None:
    found = _HOST.match(host)
    return ".".join(found.groups()) if found else None


def _addresses(task: Mapping[str, Any]) -> set[str]:
    """The private addresses of a task of ECS."""
    return {
        interface["privateIpv4Address"]
        for container in task["containers"]
        for interface in container.get("networkInterfaces", [])
        if "privateIpv4Address" in interface
    }
