"""The function of a task type: what it must look like, and what to write where it doesn't."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, get_type_hints

from pydantic import BaseModel

from celeriac.contract.context import TaskContext
from celeriac.contract.errors import DeclarationError
from celeriac.contract.model import BaseModel as Ours
from celeriac.contract.places import Place


def models(place: Place, function: Callable[..., Any]) -> tuple[type[Any], type[Any]]:
    """The payload and result models that a function's annotations name.

    Raises:
        DeclarationError: the function can't be a task.
    """
    name = function.__name__
    _check_kind(place, function)
    hints = _hints(place, function)
    parameters = inspect.signature(function).parameters
    _check_parameters(place, name, parameters)
    payload, context = parameters
    if hints.get(context) is not TaskContext:
        raise DeclarationError(
            place,
            f"the second argument of {name}, {context}, is not annotated TaskContext",
            f"Write {_shape(name)}",
        )
    return (
        _model(place, name, "payload", hints.get(payload)),
        _model(place, name, "result", hints.get("return")),
    )


def _check_kind(place: Place, function: Callable[..., Any]) -> None:
    name = function.__name__
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(
            place,
            f"{name} is an async function, and workers run plain ones",
            "Write def, and call asyncio.run(...) inside where you need it",
        )
    if inspect.isgeneratorfunction(function):
        raise DeclarationError(
            place,
            f"{name} is a generator, and nothing reads what it yields",
            "Return one result, and report steps with context.progress(...)",
        )


def _hints(place: Place, function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(function)
    except NameError as error:
        raise DeclarationError(
            place,
            f"the signature of {function.__name__} names {error.name}, which doesn't exist when "
            "this line runs",
            "Declare it above, at the module's top level; an import under TYPE_CHECKING is for "
            "type checkers only",
        ) from error
    except Exception as error:
        raise DeclarationError(
            place,
            f"the annotations of {function.__name__} can't be read: "
            f"{type(error).__name__}: {error}",
            f"Write {_shape(function.__name__)}",
        ) from error


def _check_parameters(place: Place, name: str, parameters: Mapping[str, inspect.Parameter]) -> None:
    def refuse(fault: str, hint: str = "") -> NoReturn:
        raise DeclarationError(place, fault, f"Write {_shape(name)}{hint}")

    if next(iter(parameters), None) in {"self", "cls"}:
        refuse(
            f"the first argument of {name} is {next(iter(parameters))}",
            ", outside any class: use context instead of self",
        )
    if len(parameters) != 2:  # noqa: PLR2004 - payload and context
        more = len(parameters) > 2  # noqa: PLR2004
        refuse(
            f"{name} takes {len(parameters)} argument{'' if len(parameters) == 1 else 's'}, "
            "not payload and context",
            ": every value that a caller gives is a field of the payload model" if more else "",
        )
    for each in parameters.values():
        if each.kind not in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}:
            refuse(f"the argument {each.name} of {name} can't be passed by position")


def _model(place: Place, name: str, role: str, annotation: object) -> type[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in {BaseModel, Ours}:
            # It has no field, so it would drop whatever it is given.
            raise DeclarationError(
                place,
                f"the {role} of {name} is BaseModel itself, which has no fields",
                f"Declare a class with BaseModel as its base, and write {_shape(name)}",
            )
        return annotation
    found = "not annotated"
    if annotation is not None:
        kind = annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
        found = f"annotated {kind}"
        if annotation is type(None):
            found = "None"
    raise DeclarationError(
        place,
        f"the {role} of {name} is {found}, and must be a pydantic model",
        f"Declare a class with BaseModel as its base, and write {_shape(name)}",
    )


def _shape(name: str) -> str:
    return f"def {name}(payload: YourPayload, context: TaskContext) -> YourResult"
