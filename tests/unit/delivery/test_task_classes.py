"""A task's own class: what its author wrote is called, in order, and under the claim."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Task

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.app.task import RecordedTask
from celeriac.contract import BaseModel, Catalogue, Retry, TaskContext, catalogue, task
from celeriac.operations.submission import submit
from celeriac.settings import Settings
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.unit.delivery.single_worker import SingleWorker

calls: list[str] = []


class Count(BaseModel):
    """A number, which may be told to fail."""

    number: int
    fails: bool = False


#: After all tests of this file have ended.
RETRY = Retry(attempts=2, first_delay=timedelta(minutes=10), max_delay=timedelta(minutes=10))


@task(name="count-up", queue=DEFAULT, retry=RETRY)
def count_up(payload: Count, context: TaskContext) -> Count:
    """Add one."""
    calls.append("run")
    if payload.fails:
        raise ValueError("as it was told to")
    return Count(number=payload.number + 1)


class ByRun(Task):
    """Flask's documented way: a context around ``self.run``."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        calls.append(f"in {_state(self)}")
        try:
            return self.run(*args, **kwargs)
        except Exception as error:
            calls.append(type(error).__name__)
            raise
        finally:
            calls.append("out")


class BySuper(Task):
    """The same, by ``super()``."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        calls.append(f"in {_state(self)}")
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            calls.append(type(error).__name__)
            raise
        finally:
            calls.append("out")


def _state(task: Task) -> str:
    """What the record says while the method runs: the task is claimed."""
    if task.request.called_directly or task.request.is_eager:
        return "here"
    record = services().records.get(task.request.id)
    return record.state if record else "nothing"


@pytest.fixture(autouse=True)
def fresh() -> None:
    calls.clear()


BASES = pytest.mark.parametrize("base", [ByRun, BySuper])


def made(app: Celeriac, base: type[Task], how: str) -> Task:
    """A task with this class, made in one of the ways that Celery documents."""

    def body(self: Task, number: int) -> int:
        assert self.request.args or self.request.called_directly
        calls.append("run")
        if number < 0:
            raise ValueError("as it was told to")
        return number + 1

    name = f"{how}-{base.__name__}"
    match how:
        case "base":
            return app.task(name=name, base=base, bind=True, shared=False)(body)
        case "app.Task":
            own = type("Own", (base, app.Task), {"abstract": True})
            return app.task(name=name, base=own, bind=True, shared=False)(body)
        case "class":
            return app.register_task(type("Own", (base,), {"name": name, "run": body})())
        case _:
            return app.register_task(type("Own", (base, app.Task), {"name": name, "run": body}))


HOW = pytest.mark.parametrize("how", ["base", "app.Task", "class", "class of app.Task"])


@BASES
@HOW
def test_a_call_of_its_own_runs_under_the_claim(
    app: Celeriac, worker: SingleWorker, base: type[Task], how: str
) -> None:
    """However the class is given to the task, its ``__call__`` is called once."""
    result = made(app, base, how).delay(1)
    worker.run_all()

    assert (result.state, result.result) == (states.SUCCESS, 2)
    assert calls == ["in STARTED", "run", "out"]


@BASES
@HOW
def test_it_sees_what_the_task_raises(
    app: Celeriac, worker: SingleWorker, base: type[Task], how: str
) -> None:
    """A context that rolls back on an error is told of it."""
    result = made(app, base, how).delay(-1)
    worker.run_all()

    assert result.state == states.FAILURE
    assert calls == ["in STARTED", "run", "ValueError", "out"]


@BASES
@HOW
def test_it_gets_the_arguments_of_a_large_call(
    app: Celeriac, worker: SingleWorker, base: type[Task], how: str
) -> None:
    """Those that travel by reference are read before it is called."""
    task = made(app, base, how)

    @app.task(name=f"length-{how}-{base.__name__}", base=base, shared=False)
    def length(text: str) -> int:
        return len(text)

    result = length.delay("x" * 100_000)
    worker.run_all()

    assert (result.result, task.acks_late) == (100_000, True)


@BASES
@HOW
def test_it_is_called_once_in_eager_mode(app: Celeriac, base: type[Task], how: str) -> None:
    """With the request that Celery gives an eager task."""
    task = made(app, base, how)

    assert task.apply((1,), task_id="eager").get() == 2
    assert calls == ["in here", "run", "out"]


@BASES
@HOW
def test_it_is_called_when_the_task_is_called_as_a_function(
    app: Celeriac, base: type[Task], how: str
) -> None:
    """As in Celery."""
    assert made(app, base, how)(1) == 2
    assert calls == ["in here", "run", "out"]


def test_all_of_them_are_called_in_their_order(app: Celeriac, worker: SingleWorker) -> None:
    """Two classes with a ``__call__`` each, one derived from the other."""

    class Outer(BySuper):
        abstract = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("outer")
            return super().__call__(*args, **kwargs)

    result = made(app, Outer, "base").delay(1)
    worker.run_all()

    assert result.result == 2
    assert calls == ["outer", "in STARTED", "run", "out"]


def test_a_task_may_call_itself(app: Celeriac, worker: SingleWorker) -> None:
    """As a function: recursion is no second attempt."""

    @app.task(name="factorial", bind=True, shared=False)
    def factorial(self: Task, number: int) -> int:
        return number * self(number - 1) if number else 1

    result = factorial.delay(5)
    worker.run_all()

    assert (result.state, result.result) == (states.SUCCESS, 120)


@pytest.mark.parametrize("name", ["before_start", "on_success", "on_failure", "after_return"])
def test_its_other_methods_are_called_after_the_claim(
    app: Celeriac, worker: SingleWorker, name: str
) -> None:
    """A method that doesn't call ``super()`` keeps nothing of ours from running."""

    def method(self: Task, *_: Any) -> None:
        calls.append(f"{name} {_state(self)}")

    base = type("Own", (app.Task,), {"abstract": True, name: method})

    @app.task(name=f"with-{name}", base=base, shared=False)
    def run(fails: bool) -> None:
        if fails:
            raise ValueError

    result = run.delay(name == "on_failure")
    worker.run_all()

    assert result.state in states.TERMINAL
    assert len(calls) == 1
    assert (name != "before_start") or calls == ["before_start STARTED"]


def test_a_hook_that_is_no_exception_fails_the_task_alone(
    app: Celeriac, worker: SingleWorker
) -> None:
    """``sys.exit`` in ``before_start`` is a failure like any other."""

    def leave(*_: Any) -> None:
        raise SystemExit(3)

    @app.task(name="leaving", before_start=leave, shared=False)
    def leaving() -> None: ...

    result = leaving.delay()
    worker.run_all()

    record = services().records.get(result.id)
    assert record is not None
    assert record.failure is not None
    assert (record.state, record.failure.type) == (states.FAILURE, "SystemExit")


def test_no_class_and_no_option_acknowledges_early(app: Celeriac) -> None:
    """A message that is acknowledged early is lost with its worker."""
    app.conf.task_annotations = {"*": {"acks_late": False}}

    @app.task(name="early", acks_late=False, shared=False)
    def early() -> None: ...

    class Early(Task):
        name = "earlier"
        acks_late = False

        def run(self) -> None: ...

    tasks = [early, app.register_task(Early())]
    assert [(each.acks_late, isinstance(each, RecordedTask)) for each in tasks] == [
        (True, True)
    ] * 2


def test_a_class_keeps_its_state_its_name_and_its_words(app: Celeriac) -> None:
    """``register_task(Resize(quality=80))`` registers that very object."""

    class Resize(Task):
        """Resizes pictures."""

        def __init__(self, quality: int) -> None:
            self.quality = quality

        def run(self) -> int:
            return self.quality

    given = Resize(80)
    registered = app.register_task(given)

    assert registered is given
    assert given.name == f"{__name__}.Resize"
    assert (given.apply().get(), given.__doc__) == (80, "Resizes pictures.")


@pytest.fixture
def typed(aws: Settings, request: pytest.FixtureRequest) -> Iterator[Celeriac]:
    app = Celeriac(
        "shop",
        settings=aws,
        catalogue=Catalogue([count_up], catalogue().queues),
        task_cls=request.param,
    )
    app.finalize()
    yield app
    app.close()


@pytest.mark.parametrize("typed", [ByRun, BySuper], indirect=True)
def test_the_apps_task_class_is_that_of_task_types_too(typed: Celeriac) -> None:
    """``Celeriac(task_cls=…)``: each attempt is called by it, and it sees the error itself."""
    worker = SingleWorker(typed)
    good = submit("count-up", {"number": 1}, app=typed).record.task_id
    bad = submit("count-up", {"number": 1, "fails": True}, app=typed).record.task_id

    worker.run_all()
    assert typed.AsyncResult(good).result == {"number": 2, "fails": False}
    assert typed.AsyncResult(bad).state == states.RETRY
    assert calls == ["in STARTED", "run", "out", "in STARTED", "run", "ValueError", "out"]


@pytest.mark.parametrize("typed", [ByRun, BySuper], indirect=True)
def test_an_app_with_a_task_class_has_plain_tasks_of_it(typed: Celeriac) -> None:
    """Also a task that names no class."""

    @typed.task(name="plain", shared=False)
    def plain() -> None:
        calls.append("run")

    plain.delay()
    SingleWorker(typed).run_all()

    assert calls == ["in STARTED", "run", "out"]
