"""A task type that is declared wrongly is refused at import, with the fix in the message."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.contract import (
    BaseModel,
    DeclarationError,
    Retry,
    TaskContext,
    TaskType,
    task,
)
from celeriac.contract.options import LONGEST_TIME_LIMIT, OPTIONS
from tasks.queues import DEFAULT, FILES

if TYPE_CHECKING:
    from PIL.Image import Image  # only for the type checker, as a task file might have it

MINUTE = timedelta(minutes=1)


class Payload(BaseModel):
    text: str


class Result(BaseModel):
    length: int


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


def measure_text(payload: Payload, context: TaskContext) -> Result:
    """Count the letters.

    Blanks count too.
    """
    return Result(length=len(payload.text))


async def asynchronous(payload: Payload, context: TaskContext) -> Result:
    """Count."""
    return Result(length=0)


def no_arguments() -> Result:
    """Count."""
    return Result(length=0)


def no_context(payload: Payload) -> Result:
    """Count."""
    return Result(length=0)


def three_arguments(payload: Payload, context: TaskContext, more: int) -> Result:
    """Count."""
    return Result(length=0)


def context_not_annotated(payload: Payload, context) -> Result:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Count."""
    return Result(length=0)


def arguments_swapped(context: TaskContext, payload: Payload) -> Result:
    """Count."""
    return Result(length=0)


def payload_is_a_dict(payload: dict[str, str], context: TaskContext) -> Result:
    """Count."""
    return Result(length=0)


def payload_not_annotated(payload, context: TaskContext) -> Result:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Count."""
    return Result(length=0)


def result_is_a_number(payload: Payload, context: TaskContext) -> int:
    """Count."""
    return 0


def result_not_annotated(payload: Payload, context: TaskContext):  # type: ignore[no-untyped-def] # noqa: ANN201
    """Count."""


def result_may_be_none(payload: Payload, context: TaskContext) -> Result | None:
    """Count."""
    return None


def heavy_type(payload: Payload, context: TaskContext) -> Image:
    """Draw."""
    raise NotImplementedError


def unreadable(payload: Payload[int], context: TaskContext) -> Result:  # type: ignore[type-arg]
    """Count."""
    return Result(length=0)


def generator(payload: Payload, context: TaskContext) -> Iterator[Result]:
    """Count."""
    yield Result(length=0)


async def async_generator(payload: Payload, context: TaskContext) -> AsyncIterator[Result]:
    """Count."""
    yield Result(length=0)


def bound(self: Any, payload: Payload, context: TaskContext) -> Result:
    """Count, as a bound task of Celery's does."""
    return Result(length=0)


def with_default(payload: Payload, context: TaskContext, factor: int = 2) -> Result:
    """Count."""
    return Result(length=0)


def positional_options(payload: Payload, context: TaskContext, /) -> Result:
    """Count."""
    return Result(length=0)


def context_by_keyword(payload: Payload, *, context: TaskContext) -> Result:
    """Count."""
    return Result(length=0)


def context_is_many(payload: Payload, *context: TaskContext) -> Result:
    """Count."""
    return Result(length=0)


SHAPE = r"Write def \w+\(payload: YourPayload, context: TaskContext\) -> YourResult"


@pytest.mark.parametrize(
    ("function", "fault", "fix"),
    [
        (asynchronous, "asynchronous is an async function", "Write def, and call asyncio.run"),
        (async_generator, "async_generator is an async function", "Write def, and call asyncio"),
        (generator, "generator is a generator", "Return one result"),
        (no_arguments, "no_arguments takes 0 arguments", SHAPE),
        (no_context, "no_context takes 1 argument,", SHAPE),
        (three_arguments, "takes 3 arguments", f"{SHAPE}: every value .* field of the payload"),
        (with_default, "takes 3 arguments", f"{SHAPE}: every value .* field of the payload"),
        (bound, "the first argument of bound is self", f"{SHAPE}, outside any class"),
        (context_not_annotated, "context, is not annotated TaskContext", SHAPE),
        (arguments_swapped, "payload, is not annotated TaskContext", SHAPE),
        (
            payload_is_a_dict,
            r"payload of .* is annotated dict\[str, str\]",
            "BaseModel as its base",
        ),
        (payload_not_annotated, "payload of .* is not annotated", "BaseModel as its base"),
        (result_is_a_number, "result of .* is annotated int", "BaseModel as its base"),
        (result_not_annotated, "result of .* is not annotated", "BaseModel as its base"),
        (result_may_be_none, "result of .* is annotated .*None", "BaseModel as its base"),
        (heavy_type, "names Image, which doesn't exist", "TYPE_CHECKING is for type checkers"),
        (unreadable, "the annotations of unreadable can't be read", SHAPE),
        (context_by_keyword, "context of .* can't be passed by position", SHAPE),
        (context_is_many, "context of .* can't be passed by position", SHAPE),
    ],
)
def test_a_wrong_signature_is_refused(function: Callable[..., Any], fault: str, fix: str) -> None:
    """The error names the file, the line, the fault and what to write instead."""
    with pytest.raises(DeclarationError, match=fault) as refused:
        task(function)

    refused.match(fix)
    assert str(refused.value).startswith("tests/unit/contract/test_declaration.py:")
    assert refused.value.file == __file__
    assert refused.value.line == inspect.getsourcelines(function)[1]
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "fault", "fix"),
    [
        (
            {"queue": "big-files"},
            "queue='big-files' is not a Queue",
            r"Write queue=BIG_FILES, and BIG_FILES = Queue\(\"big-files\"\) in tasks/queues\.py",
        ),
        ({"queue": "Big files"}, "'Big files' is not a Queue", r"or a new one: Queue\('video'\)"),
        ({"queue": None}, "queue=None is not a Queue", r"or a new one: Queue\('video'\)"),
        ({"time_limit": 300}, "is not a timedelta", r"time_limit=timedelta\(seconds=300\)"),
        ({"time_limit": 1.5}, "is not a timedelta", r"time_limit=timedelta\(seconds=1\.5\)"),
        ({"time_limit": None}, "is not a timedelta", r"time_limit=timedelta\(minutes=5\)"),
        ({"time_limit": True}, "is not a timedelta", r"time_limit=timedelta\(minutes=5\)"),
        ({"time_limit": timedelta(0)}, "time_limit=0:00:00 is out of range", "more than 0"),
        ({"time_limit": -MINUTE}, "is out of range", "more than 0"),
        ({"time_limit": LONGEST_TIME_LIMIT + MINUTE}, "out of range", "at most 11:00:00"),
        ({"retry": 3}, "retry=3 is not a Retry", r"Write retry=Retry\(attempts=3\)"),
        ({"retry": False}, "retry=False is not a Retry", r"Write retry=Retry\(attempts=3\)"),
        ({"queue": Unprintable()}, "queue=<Unprintable instance at ", "or a new one"),
        ({"time_limit": float("inf")}, "time_limit=inf", r"Write time_limit=timedelta\(minutes=5"),
        ({"name": "Measure"}, "'Measure' can't be part of a URL", "lower-case words with dashes"),
        ({"name": "a/b"}, "'a/b' can't be part of a URL", "lower-case words with dashes"),
        ({"name": "-a"}, "'-a' can't be part of a URL", "lower-case words with dashes"),
        ({"name": "a--b"}, "'a--b' can't be part of a URL", "lower-case words with dashes"),
        ({"name": "a\n"}, r"'a\\n' can't be part of a URL", "lower-case words with dashes"),
        ({"name": ""}, "'' can't be part of a URL", "lower-case words with dashes"),
        ({"name": 3}, "3 can't be part of a URL", "lower-case words with dashes"),
        ({"aliases": ("old_name",)}, "'old_name' can't be part", "lower-case words with dashes"),
        ({"aliases": "old-name"}, "aliases='old-name' is not a tuple", r"aliases=\('old-name',\)"),
        ({"time_limits": MINUTE}, "no option 'time_limits'", "Write time_limit="),
        ({"retries": 3}, "no option 'retries'", "Write retry="),
        ({"colour": 3}, "no option 'colour'", "options are queue, time_limit, retry, name, al"),
        ({"max_retries": 3}, "max_retries=3 is an option of Celery", r"retry=Retry\(attempts=4\)"),
        ({"max_retries": None}, "an option of Celery's", "every task type has a last attempt"),
        ({"default_retry_delay": 30}, "Celery's", r"Retry\(first_delay=timedelta\(seconds=30\)\)"),
        ({"retry_backoff": True}, "Celery's", r"retry=Retry\(first_delay=timedelta\(\.\.\.\)\)"),
        ({"retry_backoff_max": 60}, "Celery's", r"Retry\(max_delay=timedelta\(seconds=60\)\)"),
        ({"soft_time_limit": 60}, "Celery's", r"Write time_limit=timedelta\(seconds=60\)"),
        ({"bind": True}, "bind=True", "use context instead of self"),
        ({"rate_limit": "10/m"}, "rate_limit='10/m'", "Write rate='10/m'"),
        ({"autoretry_for": (OSError,)}, "autoretry_for", "every exception but PermanentError"),
        ({"base": object}, "base", "@shared_task"),
        ({"acks_late": True}, "acks_late=True", "deleted once the task's outcome is written"),
        ({"ignore_result": True}, "ignore_result=True", "every result is kept"),
        ({"serializer": "pickle"}, "serializer='pickle'", "payloads and results are JSON"),
        ({"priority": 9}, "priority=9", r"submit\(\.\.\., priority='high'\)"),
        ({"base": "x" * 1000}, r"base='x+\.\.\.x+' is an option", "@shared_task"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], fault: str, fix: str) -> None:
    """Each wrong option is named, with what to write instead; Celery's options too."""
    with pytest.raises(DeclarationError, match=fault) as refused:
        task(**options)(measure_text)

    refused.match(fix)
    assert str(refused.value).startswith("tests/unit/contract/test_declaration.py:")
    assert len(str(refused.value)) < 300


def test_each_option_of_celerys_decorator_has_an_answer() -> None:
    """Whatever attribute Celery lets a task set, a user who gives it is told the fix."""
    from celery.app.task import Task

    options = {name for name, _ in Task.from_config} | {
        "autoretry_for",
        "base",
        "bind",
        "expires",
        "max_retries",
        "priority",
        "pydantic",
        "retry_backoff",
        "shared",
        "soft_time_limit",
        "throws",
        "typing",
    }

    for option in options - {"time_limit"}:  # which is an option of ours too
        with pytest.raises(DeclarationError, match=rf": {option}=1 is an option of Celery's"):
            task(**{option: 1})(measure_text)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("value", "fault", "fix"),
    [
        (lambda payload, context: payload, "a lambda has no annotations", "function with def"),
        (Payload, "Payload is a class", "above a function"),
        (functools.partial(measure_text), "functools.partial, which is not", "above a def"),
        (staticmethod(measure_text), "above a staticmethod", "outside its class"),
        (classmethod(bound), "above a classmethod", "outside its class"),
        (task(measure_text), "measure_text has @task twice", "Remove one"),
    ],
)
@pytest.mark.parametrize("decorator", [task, task()])
def test_what_is_no_function_is_refused(
    decorator: Callable[[Any], Any], value: Any, fault: str, fix: str
) -> None:
    """The error names what stands there, and the line of the decorator."""
    with pytest.raises(DeclarationError, match=fault) as refused:
        decorator(value)

    refused.match(fix)
    assert refused.value.file == __file__
    assert refused.value.line == refused.traceback[0].lineno + 1


def test_celerys_own_task_is_refused() -> None:
    """``@task`` above ``@shared_task`` is neither: the error says to choose."""
    from celery import Celery, current_app, shared_task

    # A shared task is one of the current app's, which another test may have closed.
    before = current_app._get_current_object()
    Celery("of-the-test").set_current()
    try:
        with pytest.raises(
            DeclarationError, match=r"not a plain function.*without Celery's decorator"
        ):
            task(shared_task(measure_text))
    finally:
        before.set_current()


def test_an_option_without_its_name_is_refused() -> None:
    """``@task(EMAIL)`` is told to pass the option by name."""
    with pytest.raises(DeclarationError, match=r"such as @task\(queue=EMAIL\)"):
        task(FILES)(measure_text)  # type: ignore[call-overload]
    with pytest.raises(DeclarationError, match=r"@task\('email'\) passes options by position"):
        task("email")(measure_text)  # type: ignore[call-overload]


def test_a_type_needs_no_options() -> None:
    """``@task`` and ``@task()`` declare the same: default queue, 5 minutes, three attempts."""
    bare, called = task(measure_text), task()(measure_text)

    assert bare == called
    assert bare.queue == DEFAULT
    assert bare.time_limit == timedelta(minutes=5)
    assert bare.retry == Retry(attempts=3)


def test_a_function_without_a_docstring_is_described_by_its_name() -> None:
    """The endpoint has a summary all the same."""

    def count_words(payload: Payload, context: TaskContext) -> Result:
        return Result(length=0)

    declared = task(count_words)

    assert declared.summary == "Count words"
    assert declared.description == "Count words"


def test_another_decorator_may_stand_below() -> None:
    """One that uses ``functools.wraps`` leaves the signature and the place as they are."""

    @functools.wraps(measure_text)
    def logged(*args: Any, **kwargs: Any) -> Result:
        return measure_text(*args, **kwargs)

    declared: TaskType[Any, Any] = task(logged)

    assert declared.payload_model is Payload
    assert declared.place.line == inspect.getsourcelines(measure_text)[1]


def test_the_list_of_options_is_the_decorators() -> None:
    """What a typing error is compared with, and the error lists, are all options there are."""
    parameters = inspect.signature(task).parameters.values()

    assert tuple(each.name for each in parameters if each.kind is each.KEYWORD_ONLY) == OPTIONS


def test_the_longest_time_limit_is_accepted() -> None:
    """The bound itself is within reach, and the process is killed after it."""
    longest = task(queue=DEFAULT, time_limit=LONGEST_TIME_LIMIT)(measure_text)

    assert longest.hard_time_limit == LONGEST_TIME_LIMIT + longest.kill_after


def test_a_task_type_is_told_by_its_function() -> None:
    """Name, models and texts come from the function; queue, limit and policy from the options."""
    declared = task(queue=FILES, time_limit=MINUTE, retry=Retry(attempts=5))(measure_text)

    assert declared == TaskType(
        name="measure-text",
        function=measure_text,
        payload_model=Payload,
        result_model=Result,
        queue=FILES,
        time_limit=MINUTE,
        retry=Retry(attempts=5),
    )
    assert declared.summary == "Count the letters."
    assert declared.description == "Count the letters.\n\nBlanks count too."


def test_a_declared_function_stays_callable(tmp_path: Any) -> None:
    """Unit tests call a task type with a payload and a fake context, as the plain function."""
    from celeriac.testing.context import FakeContext

    declared = task(queue=DEFAULT, time_limit=MINUTE)(measure_text)

    assert declared(Payload(text="leaf"), FakeContext(tmp_path)) == Result(length=4)


def test_names_are_the_name_and_the_aliases() -> None:
    """A renamed type keeps its old names, for the messages that SQS still holds."""
    declared = task(queue=DEFAULT, time_limit=MINUTE, name="measure", aliases=("count", "count-2"))(
        measure_text
    )

    assert declared.name == "measure"
    assert declared.names == ("measure", "count", "count-2")


def test_arguments_may_have_any_names() -> None:
    """The arguments are told by their order and their annotations."""

    def shout(words: Payload, surroundings: TaskContext, /) -> Result:
        """Shout."""
        return Result(length=len(words.text))

    assert task(queue=DEFAULT, time_limit=MINUTE)(shout).payload_model is Payload


@pytest.mark.parametrize(
    ("name", "better"),
    [("CountWords", "count-words"), ("_count", "count"), ("a__b", "a-b"), ("größe", "send-email")],
)
def test_a_function_whose_name_fits_no_url_is_told_a_better_one(name: str, better: str) -> None:
    """The function is named, and what to write."""

    def function(payload: Payload, context: TaskContext) -> Result: ...  # type: ignore[empty-body]

    function.__name__ = name

    with pytest.raises(DeclarationError, match=rf"which {name} gives its task type") as refused:
        task(function)

    assert refused.value.fix == f"Rename the function, or write @task(name='{better}')"
