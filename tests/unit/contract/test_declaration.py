"""A task type that is declared wrongly is refused at import, with the fix in the message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tasks.contract import BaseModel, DeclarationError, Queue, Retry, TaskContext, TaskType, task
from tasks.contract.task_type import LONGEST_TIME_LIMIT

if TYPE_CHECKING:
    from PIL.Image import Image  # only for the type checker, as a task file might have it

MINUTE = timedelta(minutes=1)


class Payload(BaseModel):
    text: str


class Result(BaseModel):
    length: int


def measure_text(payload: Payload, context: TaskContext) -> Result:
    """Count the letters.

    Blanks count too.
    """
    return Result(length=len(payload.text))


def no_docstring(payload: Payload, context: TaskContext) -> Result:
    return Result(length=0)


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


def positional_options(payload: Payload, context: TaskContext, /) -> Result:
    """Count."""
    return Result(length=0)


def context_by_keyword(payload: Payload, *, context: TaskContext) -> Result:
    """Count."""
    return Result(length=0)


def context_is_many(payload: Payload, *context: TaskContext) -> Result:
    """Count."""
    return Result(length=0)


SHAPE = r"Write def name\(payload: Model, context: TaskContext\) -> Model\."


@pytest.mark.parametrize(
    ("function", "fault", "fix"),
    [
        (no_docstring, "no docstring", "Write one line that says what it does"),
        (asynchronous, "async function", "Write def instead"),
        (no_arguments, "takes 0 arguments", SHAPE),
        (no_context, "takes 1 arguments", SHAPE),
        (three_arguments, "takes 3 arguments", SHAPE),
        (context_not_annotated, "'context' is not annotated TaskContext", SHAPE),
        (arguments_swapped, "'payload' is not annotated TaskContext", SHAPE),
        (payload_is_a_dict, r"payload is annotated dict\[str, str\]", "BaseModel as its base"),
        (payload_not_annotated, "payload is not annotated", "BaseModel as its base"),
        (result_is_a_number, "result is annotated <class 'int'>", "BaseModel as its base"),
        (result_not_annotated, "result is not annotated", "BaseModel as its base"),
        (result_may_be_none, "result is annotated .*None", "BaseModel as its base"),
        (heavy_type, "names 'Image', which isn't imported", "keep a heavy library's types out"),
        (context_by_keyword, "'context' can't be given by position", SHAPE),
        (context_is_many, "'context' can't be given by position", SHAPE),
    ],
)
def test_a_wrong_signature_is_refused(function: Callable[..., Any], fault: str, fix: str) -> None:
    """Each fault of the function is named, with where it is and what to write instead."""
    with pytest.raises(DeclarationError, match=fault) as refused:
        task(queue=Queue.DEFAULT, time_limit=MINUTE)(function)

    refused.match(rf"^Task .*test_declaration\.{function.__name__}: ")
    refused.match(fix)


@pytest.mark.parametrize(
    ("options", "fault", "fix"),
    [
        ({"queue": "files"}, "queue='files' is not a Queue", r"Use one of Queue\.DEFAULT, "),
        ({"time_limit": 60}, "time_limit=60 is not a timedelta", r"timedelta\(minutes=5\)"),
        ({"time_limit": timedelta(0)}, "time_limit=0:00:00 is out of range", "more than 0"),
        ({"time_limit": -MINUTE}, "is out of range", "more than 0"),
        ({"time_limit": LONGEST_TIME_LIMIT + MINUTE}, "out of range", "at most 11:00:00"),
        ({"retry": 3}, "retry=3 is not a Retry", r"Write retry=Retry\(attempts=3\)"),
        ({"name": "Measure"}, "'Measure' can't stand in a URL", "lower-case words with dashes"),
        ({"name": "a/b"}, "'a/b' can't stand in a URL", "lower-case words with dashes"),
        ({"name": "-a"}, "'-a' can't stand in a URL", "lower-case words with dashes"),
        ({"name": "a--b"}, "'a--b' can't stand in a URL", "lower-case words with dashes"),
        ({"name": "a\n"}, r"'a\\n' can't stand in a URL", "lower-case words with dashes"),
        ({"name": ""}, "'' can't stand in a URL", "lower-case words with dashes"),
        ({"aliases": ("old_name",)}, "'old_name' can't stand", "lower-case words with dashes"),
        ({"aliases": "old-name"}, "aliases='old-name' is not a tuple", r"aliases=\('old-name',\)"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], fault: str, fix: str) -> None:
    """Each wrong option is named, with what to write instead."""
    right: dict[str, Any] = {"queue": Queue.DEFAULT, "time_limit": MINUTE}

    with pytest.raises(DeclarationError, match=fault) as refused:
        task(**right | options)(measure_text)

    refused.match(fix)


def test_the_longest_time_limit_is_accepted() -> None:
    """The bound itself is within reach, and the process is killed after it."""
    longest = task(queue=Queue.DEFAULT, time_limit=LONGEST_TIME_LIMIT)(measure_text)

    assert longest.hard_time_limit == LONGEST_TIME_LIMIT + longest.kill_after


def test_a_task_type_is_told_by_its_function() -> None:
    """Name, models and texts come from the function; queue, limit and policy from the options."""
    declared = task(queue=Queue.FILES, time_limit=MINUTE, retry=Retry(attempts=5))(measure_text)

    assert declared == TaskType(
        name="measure-text",
        function=measure_text,
        payload_model=Payload,
        result_model=Result,
        queue=Queue.FILES,
        time_limit=MINUTE,
        retry=Retry(attempts=5),
    )
    assert declared.summary == "Count the letters."
    assert declared.description == "Count the letters.\n\nBlanks count too."


def test_a_declared_function_stays_callable(tmp_path: Any) -> None:
    """Unit tests call a task type with a payload and a fake context, as the plain function."""
    from tasks.contract.testing import FakeContext

    declared = task(queue=Queue.DEFAULT, time_limit=MINUTE)(measure_text)

    assert declared(Payload(text="leaf"), FakeContext(tmp_path)) == Result(length=4)


def test_names_are_the_name_and_the_aliases() -> None:
    """A renamed type keeps its old names, for the messages that SQS still holds."""
    declared = task(
        queue=Queue.DEFAULT, time_limit=MINUTE, name="measure", aliases=("count", "count-2")
    )(measure_text)

    assert declared.name == "measure"
    assert declared.names == ("measure", "count", "count-2")


def test_arguments_may_have_any_names() -> None:
    """The arguments are told by their order and their annotations."""

    def shout(words: Payload, surroundings: TaskContext, /) -> Result:
        """Shout."""
        return Result(length=len(words.text))

    assert task(queue=Queue.DEFAULT, time_limit=MINUTE)(shout).payload_model is Payload
