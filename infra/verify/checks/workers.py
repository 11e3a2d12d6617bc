"""Workers: they wake and sleep, are protected, are seen, and may be lost."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from celeriac import catalogue
from celeriac.cdk import most_workers
from infra.verify.check import NotHeld, NotShown, check
from infra.verify.checks.tasks import SHORT
from infra.verify.trial import Trial
from tasks.queues import DEFAULT

_TYPE = "long-running"
_QUEUE = DEFAULT.name


@check(
    "fleet-wakes",
    claims="The API sets a sleeping fleet's desired count to 1 when it accepts a task.",
    proves="architecture.md#in-aws",
    limit=timedelta(minutes=10),
)
def fleet_wakes(trial: Trial) -> str:
    put_to_sleep(trial)
    ids: list[str] = []

    def woken() -> int:
        # A process of the API looks at a fleet once in 30 seconds, so the first may not wake it.
        ids.append(trial.submit(_TYPE, SHORT))
        return _desired(trial)

    desired = trial.until(woken, "desired count above 0", every=5)
    first, *_ = [trial.ends(id) for id in ids]
    evidence = f"desired count {desired} at submission {len(ids)}"
    # moto starts no worker.
    return evidence if trial.deployment.on_moto else f"{evidence}; {waited(first)} to its start"


@check(
    "fleet-sleeps",
    claims="A fleet with nothing to do sleeps after `idle`, and its next task starts a worker.",
    proves="options.md",
    only_aws="moto evaluates no alarm, so no policy ever acts.",
    limit=timedelta(minutes=35),
)
def fleet_sleeps(trial: Trial) -> str:
    if (idle := trial.deployment.environment.idle) > timedelta(minutes=15):
        raise NotShown(f"`idle` is {idle}: that is longer than anybody should wait here.")
    not_in_use(trial)
    trial.until(lambda: not _desired(trial), "fleet that sleeps", every=15)
    trial.until(lambda: not _running(trial), "end of its workers", every=5)
    task = trial.ends(trial.submit(_TYPE, SHORT))
    return f"asleep after its last task; {waited(task)} to the start of the next"


@check(
    "scaling",
    claims="Each fleet scales within its bounds, by the policies wake, grow and fit.",
    proves="decisions/0004-three-scaling-policies.md",
)
def scaling(trial: Trial) -> str:
    deployment = trial.deployment
    autoscaling = deployment.client("application-autoscaling")
    cluster = deployment.setting("CLUSTER_NAME")
    found = {
        each["ResourceId"]: (each["MinCapacity"], each["MaxCapacity"])
        for each in _all(autoscaling, "describe_scalable_targets", "ScalableTargets")
    }
    policies: dict[str, set[str]] = {}
    for each in _all(autoscaling, "describe_scaling_policies", "ScalingPolicies"):
        policies.setdefault(each["ResourceId"], set()).add(each["PolicyName"].rpartition("-")[2])
    for queue in catalogue().queues:
        resource = f"service/{cluster}/{queue.name}"
        most = most_workers(queue, catalogue(), deployment.environment.ses_mail)
        wanted = (queue.fleet.min_workers, most)
        if found.get(resource) != wanted:
            raise NotHeld(f"{resource} scales between {found.get(resource)}, not {wanted}")
        if policies.get(resource) != {"wake", "grow", "fit"}:
            raise NotHeld(f"{resource} has the policies {policies.get(resource)}")
    return ", ".join(f"{each.name} 0 to {each.fleet.max_workers}" for each in catalogue().queues)


@check(
    "heartbeats",
    claims="`celeriac workers list` shows a worker of the queue whose task it runs.",
    proves="monitoring.md#workers",
)
def heartbeats(trial: Trial) -> str:
    trial.ends(trial.submit(_TYPE, SHORT))

    def listed() -> list[dict[str, Any]]:
        workers = json.loads(trial.deployment.celeriac("workers", "list", "--json"))
        return [each for each in workers if _QUEUE in each["queues"]]

    found = trial.until(listed, f"worker of the {_QUEUE} queue")
    return ", ".join(f"{each['hostname']} since {each['started_at']}" for each in found)


@check(
    "protection",
    claims="ECS protects the task of a worker that runs a long task, and no longer afterwards.",
    proves="decisions/0004-three-scaling-policies.md",
    only_aws="No ECS agent answers here.",
    limit=timedelta(minutes=10),
)
def protection(trial: Trial) -> str:
    id = trial.submit(_TYPE, {"total_steps": 20, "step_seconds": 3})
    trial.starts(id)

    def protected() -> list[str]:
        arns = trial.deployment.client("ecs").list_tasks(
            cluster=trial.deployment.setting("CLUSTER_NAME"), serviceName=_QUEUE
        )["taskArns"]
        if not arns:
            return []
        # docs.aws.amazon.com/AmazonECS/latest/APIReference/API_GetTaskProtection.html
        answer = _service(trial, "get_task_protection", tasks=arns)
        return [
            each["taskArn"].rpartition("/")[2]
            for each in answer["protectedTasks"]
            if each["protectionEnabled"]
        ]

    found = trial.until(protected, "protected task of ECS", every=3)
    trial.ends(id)
    trial.until(lambda: not protected(), "end of the protection", every=10)
    return f"{', '.join(found)} was protected while it ran, and not after"


@check(
    "worker-stopped",
    claims="A task whose worker is stopped while it runs starts on another, and ends in SUCCESS.",
    proves="delivery.md#when-something-fails",
    limit=timedelta(minutes=20),
)
def worker_stopped(trial: Trial) -> str:
    seconds = trial.deployment.outlasts_stop.total_seconds()
    steps = max(1, round(seconds / 2))
    id = trial.submit(_TYPE, {"total_steps": steps, "step_seconds": 2, "items": list(range(steps))})
    first = trial.starts(id)["started_at"]
    stopped = trial.deployment.stop_worker(_QUEUE, id)
    task = trial.ends(id)
    if task["started_at"] == first:
        raise NotHeld(f"{stopped} was stopped, and the task ended where it had started")
    if len(task["result"]["items"]) != steps:
        raise NotHeld(f"the result has {len(task['result']['items'])} of {steps} items")
    gap = _moment(task["started_at"]) - _moment(first)
    return f"{stopped} was stopped; the task started again {gap.total_seconds():.0f} s after it had"


def put_to_sleep(trial: Trial) -> None:
    """Stop the fleet's workers, as its scaling policy will, some minutes later.

    Raises:
        NotShown: they have something to do.
    """
    if _desired(trial):
        not_in_use(trial)
        _service(trial, "update_service", service=_QUEUE, desiredCount=0)
        trial.until(lambda: not _desired(trial), "desired count of 0")
        trial.until(lambda: not _running(trial), "end of its workers", every=5)


def not_in_use(trial: Trial) -> None:
    """Raise ``NotShown`` if the queue has messages."""
    queue = trial.ask("GET", f"/queues/{_QUEUE}").json()
    if queue["waiting"] + queue["in_flight"] + queue["delayed"]:
        raise NotShown(f"The {_QUEUE} queue is in use: try when it is empty.")


def _service(trial: Trial, operation: str, **arguments: Any) -> Any:
    """An operation of ECS on the deployment's cluster."""
    ecs = trial.deployment.client("ecs")
    return getattr(ecs, operation)(cluster=trial.deployment.setting("CLUSTER_NAME"), **arguments)


def _desired(trial: Trial) -> int:
    (service,) = _service(trial, "describe_services", services=[_QUEUE])["services"]
    return int(service["desiredCount"])


def _running(trial: Trial) -> int:
    (service,) = _service(trial, "describe_services", services=[_QUEUE])["services"]
    return int(service["runningCount"])


def _all(client: Any, operation: str, key: str) -> list[dict[str, Any]]:
    pages = client.get_paginator(operation).paginate(ServiceNamespace="ecs")
    return [each for page in pages for each in page[key]]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def waited(task: dict[str, Any]) -> str:
    """How long a task waited for a worker, for people."""
    wait = _moment(task["started_at"]) - _moment(task["created_at"])
    return f"{wait.total_seconds():.1f} s"


BEFORE = (fleet_wakes,)
CHECKS = (scaling, heartbeats, protection, worker_stopped)
AFTER = (fleet_sleeps,)
