"""Tests whether a worker would work here: ``celeriac worker --check``.

A deployment runs it in each fleet's new image, with the fleet's role and network, before the
services change. By then the app, its task files and the settings have been read. What is left is a
call to each service that a worker can't do without. No call takes a message or writes an item.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from time import monotonic

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.app.factory import Celeriac
from celeriac.errors import CeleriacError
from celeriac.storage.artifacts import ArtifactNotFoundError
from celeriac.storage.services import Services, services

#: A new role's policy, or a new network's route, may take as long to take effect.
PATIENCE = timedelta(minutes=1)
_BETWEEN = timedelta(seconds=5)
#: Names nothing: no task, no object, no message.
_NOTHING = "celeriac-check"
#: SQS checks the caller's permissions before it checks the receipt:
#: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
_NO_SUCH_RECEIPT = frozenset({"InvalidParameterValue", "ReceiptHandleIsInvalid"})


def check(app: Celeriac, queues: Iterable[str], patience: timedelta = PATIENCE) -> int:
    """Make each call and print the outcome. The exit code is 1 if one failed for ``patience``."""
    its = services()
    names = list(queues)
    calls: dict[str, Callable[[], object]] = {
        f"SQS, queue {name}": partial(_reach_queue, its, name) for name in names
    }
    calls["DynamoDB"] = lambda: its.records.get(_NOTHING)
    calls["S3"] = lambda: _reach_bucket(its, app.settings.tenant)
    end = monotonic() + patience.total_seconds()
    faults = {what: fault for what, call in calls.items() if (fault := _fault(call, end))}
    for what, fault in faults.items():
        sys.stderr.write(f"{what}: {fault}\n")
    if not faults:
        types = len(app.catalogue)
        sys.stdout.write(f"This worker would work: {types} task types, {', '.join(names)}.\n")
    return 1 if faults else 0


def _fault(call: Callable[[], object], end: float) -> str | None:
    """What is wrong with a call that fails until ``end``."""
    while True:
        try:
            call()
        except (BotoCoreError, CeleriacError, ClientError) as error:
            if monotonic() + _BETWEEN.total_seconds() > end:
                return str(error)
        else:
            return None
        time.sleep(_BETWEEN.total_seconds())


def _reach_queue(its: Services, name: str) -> None:
    try:
        its.sqs.change_message_visibility(
            QueueUrl=its.settings.queue_url_prefix + name,
            ReceiptHandle=_NOTHING,
            VisibilityTimeout=0,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NO_SUCH_RECEIPT:
            raise


def _reach_bucket(its: Services, tenant: str) -> None:
    try:
        # Not HeadObject, whose 404 is the same for a bucket that is missing.
        its.artifacts.get(tenant, f"values/{_NOTHING}/none")
    except ArtifactNotFoundError:
        return
