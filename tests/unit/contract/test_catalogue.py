"""The catalogue finds task types by looking in a package."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from celeriac import contract
from celeriac.contract import (
    BaseModel,
    Catalogue,
    DeclarationError,
    Fleet,
    Queue,
    TaskContext,
    TaskType,
    UnknownTaskTypeError,
    catalogue,
    task,
)
from celeriac.contract.catalogue import AnyTaskType
from tasks.queues import DEFAULT, FILES, REPORTS


class Nothing(BaseModel):
    """No fields."""


def declare(name: str, *aliases: str, queue: Queue = DEFAULT) -> TaskType[Nothing, Nothing]:
    @task(queue=queue, time_limit=timedelta(minutes=1), name=name, aliases=aliases)
    def run(payload: Nothing, context: TaskContext) -> Nothing:
        """Do nothing."""
        return payload

    return run


TASK_FILE = '''
    from datetime import timedelta

    from celeriac.contract import BaseModel, TaskContext, task

    class Empty(BaseModel):
        """No fields."""

    @task(time_limit=timedelta(minutes=1){options})
    def {name}(payload: Empty, context: TaskContext) -> Empty:
        """Do nothing."""
        return payload
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Makes a package of these files and imports it."""
    root = tmp_path / "throwaway_tasks"

    def make(**files: str) -> ModuleType:
        root.mkdir()
        (root / "__init__.py").touch()
        for name, text in files.items():
            (root / f"{name}.py").write_text(dedent(text))
        return importlib.import_module(root.name)

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == root.name]:
        del sys.modules[name]


def test_a_file_in_the_package_is_enough(package: Callable[..., ModuleType]) -> None:
    """Adding a task type is adding a file: nothing else names it."""
    found = Catalogue.of(
        package(
            one=TASK_FILE.format(name="dig_beds", options=""),
            two=TASK_FILE.format(name="sow", options=', aliases=("seed",)'),
            helpers="LIMIT = 3",
        )
    )

    assert list(found) == ["dig-beds", "sow"]
    assert found["seed"] is found["sow"]
    assert found["sow"].function.__module__ == "throwaway_tasks.two"


def test_a_task_type_imported_by_another_file_counts_once(
    package: Callable[..., ModuleType],
) -> None:
    """A file may call another file's task type as a plain function."""
    found = Catalogue.of(
        package(
            one=TASK_FILE.format(name="sow", options=""),
            two="from throwaway_tasks.one import sow",
        )
    )

    assert list(found) == ["sow"]


def test_a_wrong_file_stops_the_catalogue(package: Callable[..., ModuleType]) -> None:
    """A wrong declaration is found when the catalogue is built, not at the first submission."""
    wrong = TASK_FILE.format(name="sow", options=", retry=3")

    with pytest.raises(DeclarationError, match=r"throwaway_tasks/one\.py:9: retry=3"):
        Catalogue.of(package(one=wrong))


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        (("sow",), ("sow",), "sow"),
        (("sow", "seed"), ("seed",), "seed"),
        (("sow", "seed"), ("plant", "seed"), "seed"),
    ],
)
def test_a_name_stands_for_one_type(
    first: tuple[str, ...],
    second: tuple[str, ...],
    name: str,
    package: Callable[..., ModuleType],
) -> None:
    """Two types can't share a name or an alias; the error blames both files by line."""

    def file(function: str, names: tuple[str, ...]) -> str:
        options = f", name={names[0]!r}, aliases={names[1:]!r}"
        return TASK_FILE.format(name=function, options=options)

    with pytest.raises(
        DeclarationError, match=rf"the task name {name!r} of \w+ is taken by"
    ) as refused:
        Catalogue.of(package(one=file("dig", first), two=file("sow", second)))

    assert sorted(re.findall(r"/(one|two)\.py:9[:.]", str(refused.value))) == ["one", "two"]
    refused.match(r"Give one of them another with @task\(name=\.\.\.\)")


def test_an_alias_differs_from_the_name() -> None:
    """A type can't list its own name among its former ones."""
    with pytest.raises(DeclarationError, match=r"gives one name twice: sow, sow.*from aliases"):
        Catalogue([declare("sow", "sow")])


def test_a_queue_has_one_fleet() -> None:
    """Two queues with one name and different fleets are refused. The error names both lines."""
    small, large = Queue("video"), Queue("video", fleet=Fleet(cpu=4096))

    with pytest.raises(
        DeclarationError, match=r"Queue\('video'\) has a different fleet"
    ) as refused:
        Catalogue([], [small, large])

    assert str(refused.value).startswith(f"{large.place}: ")
    refused.match(f" at {re.escape(str(small.place))}.*Declare it once, and import it")
    assert small.place.file == __file__
    assert small.place.line == large.place.line


def test_equal_queues_may_be_declared_twice() -> None:
    """Two files with equal declarations don't contradict each other."""
    fleet = Fleet(cpu=4096)

    types = Catalogue([], [Queue("video", fleet=fleet), Queue("video", fleet=Fleet(cpu=4096))])

    assert [queue.name for queue in types.queues] == ["default", "video"]
    assert types.queues[1].fleet == fleet


@pytest.mark.parametrize("types", [[], [declare("sow", queue=contract.DEFAULT)]])
def test_the_default_queue_may_be_given_a_fleet(types: list[AnyTaskType]) -> None:
    """A declared ``Queue("default", fleet=...)`` wins over the implicit one."""
    declared = Queue("default", fleet=Fleet(cpu=4096))

    assert Catalogue(types, [declared]).queues == (declared,)
    assert Catalogue(types, [declared]).queues[0].fleet == Fleet(cpu=4096)


@pytest.mark.parametrize("processes", [1, 2, 4, 6, 8, 16])
def test_a_fleet_fits_its_memory(processes: int) -> None:
    """Each process needs its share: the kernel kills a worker that has too little."""
    least = 128 + 64 * processes

    assert Fleet(processes=processes, memory=least).memory == least
    with pytest.raises(ValueError, match=f"needs {least} MiB or more: raise memory, or lower"):
        Fleet(processes=processes, memory=least - 1)


def test_an_unknown_name_is_told_with_near_ones() -> None:
    """The error suggests the name that was probably meant."""
    types = Catalogue([declare("send-email"), declare("send-letter"), declare("cleanup")])

    with pytest.raises(UnknownTaskTypeError, match="Did you mean send-email") as unknown:
        types["send-emial"]

    assert unknown.value.near[0] == "send-email"
    assert unknown.value.name == "send-emial"


def test_an_unknown_name_without_near_ones_makes_no_guess() -> None:
    """The error suggests nothing if no name is similar."""
    with pytest.raises(UnknownTaskTypeError) as unknown:
        Catalogue([declare("sow")])["quarterly-audit"]

    assert unknown.value.near == ()
    assert str(unknown.value) == "There is no task type 'quarterly-audit'."


def test_a_catalogue_is_a_mapping() -> None:
    """``get``, ``in`` and ``len`` work like any mapping's. Aliases are found, and not counted."""
    sow = declare("sow", "seed")
    types = Catalogue([sow, declare("dig")])

    assert types.get("mow") is None
    assert types.get("seed") is sow
    assert "seed" in types
    assert "mow" not in types
    assert len(types) == 2
    assert dict(types) == {"dig": types["dig"], "sow": sow}


def test_the_types_of_a_queue() -> None:
    """``on`` lists the types that run on a queue."""
    sow, dig = declare("sow", queue=FILES), declare("dig")

    assert Catalogue([sow, dig]).on(FILES) == [sow]
    assert Catalogue([sow, dig]).on(REPORTS) == []


def test_the_package_itself_is_looked_up_once() -> None:
    """``catalogue()`` holds what ``tasks/`` declares, and is the same for a whole process."""
    assert "long-running" in catalogue()
    assert catalogue() is catalogue()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Queue, {"name": 3}, r"Queue\(3\): use up to 20 lower-case letters"),
        (Queue, {"name": None}, r"Queue\(None\): use up to 20"),
        (Queue, {"name": b"video"}, r"Queue\(b'video'\): use up to 20"),
        (Queue, {"name": "a" * 21}, r"Queue\('a+'\): use up to 20"),
        (Queue, {"name": "schedules"}, "its dead-letter queue would be the one of schedules"),
        (Queue, {"name": "video", "fleet": None}, "fleet=None.: give a Fleet"),
        (Queue, {"name": "video", "fleet": {"cpu": 1}}, "give a Fleet, such as fleet=Fleet"),
        (Fleet, {"cpu": "2 vCPU"}, r"Fleet\(cpu='2 vCPU'\): give a whole number"),
        (Fleet, {"memory": -1}, r"Fleet\(memory=-1\): give a whole number"),
        (Fleet, {"processes": 1.5}, r"Fleet\(processes=1.5\): give a whole number"),
        (Fleet, {"max_workers": True}, r"Fleet\(max_workers=True\): give a whole number"),
        (Fleet, {"spot": "0.5"}, r"Fleet\(spot='0.5'\) is a share"),
        (Fleet, {"spot": float("nan")}, r"Fleet\(spot=nan\) is a share"),
    ],
)
def test_a_queue_that_no_deployment_can_have_is_refused(
    kind: type[Any], arguments: dict[str, object], message: str
) -> None:
    """A value of another type is refused in the same words as a value out of range."""
    with pytest.raises((TypeError, ValueError), match=message):
        kind(**arguments)
