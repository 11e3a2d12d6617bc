"""Errors and task types reach another process, and ``copy``, as they are."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac.contract.errors import Picklable
from celeriac.contract.places import Place
from celeriac.records.store import LeaseLostError, NotRunningStateError
from celeriac.settings import PlaceholderError
from celeriac.storage.artifacts import ArtifactKeyError, ArtifactNotFoundError
from celeriac.storage.values import ValueMissingError, ValueTooLargeError
from tasks.long_running import long_running

#: The packages whose code runs in a task, or is called by one.
ROOMS = ("contract", "records", "storage", "operations", "app")

ERRORS: list[BaseException] = [
    ArtifactKeyError("files/.."),
    ArtifactNotFoundError("files/a/b.txt"),
    LeaseLostError("task", "owner", None),
    NotRunningStateError("SUCCESS"),
    PlaceholderError(["CELERIAC_MAIL_FROM"]),
    ValueMissingError("values/a"),
    ValueTooLargeError(10**9),
    celeriac.Cancelled("stop"),
    celeriac.DeclarationError(Place("tasks/a.py", 3), "fault", "Fix"),
    celeriac.IdempotencyConflictError("key"),
    celeriac.NotConfiguredError("No region", "AWS_DEFAULT_REGION"),
    celeriac.NotFoundError("task"),
    celeriac.NotOverError("task", "STARTED"),
    celeriac.PermanentError("No such page", type="no-page"),
    celeriac.RetryLater(timedelta(minutes=3), "the bank is closed"),
    celeriac.UnavailableError("SQS", timedelta(seconds=9)),
    celeriac.UnknownTaskTypeError("cuont", ["count"]),
]

WAYS: list[Callable[[Any], Any]] = [
    *(
        lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ),
    copy.copy,
    copy.deepcopy,
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: BaseException) -> None:
    """Kind, message and attributes are kept: Python alone loses the last two, or fails."""
    for way in WAYS:
        other = way(error)

        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def modules() -> Iterator[str]:
    for room in ROOMS:
        package = importlib.import_module(f"celeriac.{room}")
        yield package.__name__
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield each.name


def own_errors() -> Iterator[type[BaseException]]:
    for name in [*modules(), "celeriac.errors", "celeriac.settings"]:
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and issubclass(value, BaseException):
                yield value


def test_every_error_that_makes_its_message_can_be_pickled() -> None:
    """An ``__init__`` with other arguments than the message needs ``Picklable``, here too."""
    missing = {
        each.__qualname__
        for each in own_errors()
        if each.__module__.startswith("celeriac.")
        and "__init__" in vars(each)
        and not issubclass(each, Picklable)
        # Their arguments are their ``args``.
        and each not in {celeriac.PermanentError, celeriac.RetryLater}
    }

    assert missing == set()


def test_a_task_type_is_pickled_by_its_name() -> None:
    """As a function is, so that each process has one of it."""
    for way in WAYS:
        assert way(long_running) is long_running
