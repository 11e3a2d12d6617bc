"""Payloads are read strictly when callers give them, and leniently when they were accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pydantic
import pytest
from pydantic import AliasChoices, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import TypedDict

import celeriac
from celeriac.contract.payloads import MOST_UNKNOWN, Payloads


@dataclass
class Point:
    x: int


class Pair(TypedDict):
    left: int


class Plain(pydantic.BaseModel):
    file_key: str = "k"
    sender: str | None = pydantic.Field(None, alias="from")
    reply: str = pydantic.Field("", validation_alias=AliasChoices("reply_to", "answer_to"))


class Taking(pydantic.BaseModel):
    model_config = ConfigDict(extra="allow")


class Ignoring(celeriac.BaseModel):
    model_config = ConfigDict(extra="ignore")


class Renaming(pydantic.BaseModel):
    new: int = 0

    @model_validator(mode="before")
    @classmethod
    def _old(cls, given: Any) -> Any:
        return {"new": given["old"]} if "old" in given else given


class Tree(pydantic.BaseModel):
    name: str = ""
    branches: list[Tree] = []


class Whole(celeriac.BaseModel):
    plain: Plain = Plain()
    plains: list[Plain] = Field([])
    named: dict[str, Plain] = Field({})
    either: int | Plain = 0
    point: Point | None = None
    pair: Pair | None = None
    taking: Taking | None = None
    ignoring: Ignoring | None = None
    renaming: Renaming | None = None
    tree: Tree | None = None
    numbers: list[int] = Field([])
    counts: dict[str, int] = Field({})


READER = Payloads(Whole)


def errors_of(payload: Any) -> list[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as refused:
        READER.read(payload)
    return [(each["loc"], each["msg"]) for each in refused.value.errors()]


@pytest.mark.parametrize(
    ("payload", "place", "said"),
    [
        ({"tre": {}}, ("tre",), "There is no such field. Did you mean tree?"),
        (
            {"plain": {"file_kye": "x"}},
            ("plain", "file_kye"),
            "There is no such field. Did you mean file_key?",
        ),
        ({"plain": {"form": ""}}, ("plain", "form"), "There is no such field. Did you mean from?"),
        (
            {"plain": {"anser_to": ""}},
            ("plain", "anser_to"),
            "There is no such field. Did you mean answer_to?",
        ),
        ({"plains": [{}, {"zzz": 1}]}, ("plains", 1, "zzz"), "There is no such field"),
        ({"named": {"a": {"zzz": 1}}}, ("named", "a", "zzz"), "There is no such field"),
        (
            {"tree": {"branches": [{"branches": [{"names": ""}]}]}},
            ("tree", "branches", 0, "branches", 0, "names"),
            "There is no such field. Did you mean name?",
        ),
    ],
)
def test_an_unknown_field_is_refused_with_the_names_near_it(
    payload: Any, place: tuple[Any, ...], said: str
) -> None:
    """At any depth, in plain pydantic models too: the field's place and the names it may mean."""
    assert (place, said) in errors_of(payload)


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({"point": {"x": 1, "y": 2}}, ("point", "y")),
        ({"pair": {"left": 1, "right": 2}}, ("pair", "right")),
        ({"either": {"zzz": 1}}, ("either", "Plain", "zzz")),
    ],
)
def test_an_unknown_member_of_other_structures_is_refused(
    payload: Any, place: tuple[Any, ...]
) -> None:
    """Dataclasses, typed dictionaries and members of unions refuse unknown fields as models do."""
    assert place in [where for where, _ in errors_of(payload)]


def test_a_model_that_says_so_takes_unknown_fields() -> None:
    """A config of the author's own wins: fields are kept or ignored as it says."""
    read = READER.read({"taking": {"a": 1}, "ignoring": {"a": 1}})
    assert read == Whole(taking=Taking.model_validate({"a": 1}), ignoring=Ignoring())


def test_a_validator_may_take_former_names() -> None:
    """A field that the author's own validator renames isn't unknown."""
    assert READER.read({"renaming": {"old": 3}}) == Whole(renaming=Renaming(new=3))


def test_what_is_read_equals_what_the_model_makes() -> None:
    """Reading strictly gives the same instance as pydantic gives for the same values."""
    given = {"plain": {"from": "Ada"}, "tree": {"branches": [{}]}, "numbers": [1]}
    read = READER.read(given)
    assert read == Whole.model_validate(given)
    assert read.model_fields_set == {"plain", "tree", "numbers"}
    assert read.plain.model_extra is None


def test_the_model_of_the_contract_refuses_unknown_fields_itself() -> None:
    """``celeriac.BaseModel`` refuses them anywhere, and its JSON Schema says so."""
    with pytest.raises(ValidationError):
        Whole.model_validate({"zzz": 1})
    assert Whole.model_json_schema()["additionalProperties"] is False


def test_an_accepted_payload_may_have_unknown_fields() -> None:
    """What was accepted under another version of the model still runs."""
    accepted = {"gone": 1, "plain": {"gone": 1}, "taking": {"a": 1}}
    assert READER.read_accepted(accepted) == Whole(taking=Taking.model_validate({"a": 1}))


@pytest.mark.parametrize(
    "payload",
    [
        {"numbers": ["x"] * 50_000},
        {"counts": {f"k{n}": "x" for n in range(50_000)}},
        {f"k{n}": 0 for n in range(50_000)},
        {"plains": [{"zzz": 1}] * 50_000},
        {"plain": {f"k{n}": 0 for n in range(50_000)}},
        {"point": {f"k{n}": 0 for n in range(50_000)}},
        {"pair": {f"k{n}": 0 for n in range(50_000)}},
    ],
    ids=["list", "map", "fields", "nested", "nested fields", "dataclass", "typed dict"],
)
def test_a_payload_wrong_in_every_place_makes_few_errors(payload: Any) -> None:
    """A payload with 50,000 wrong values is refused with few errors."""
    assert len(errors_of(payload)) <= MOST_UNKNOWN


def test_a_small_payload_shows_all_its_errors() -> None:
    """Every wrong value of a small payload is named at once."""
    assert len(errors_of({"numbers": ["x"] * 20, "zzz": 1, "counts": {"a": "x", "b": "y"}})) == 23


def test_an_instance_of_the_model_is_taken_as_it_is() -> None:
    """Python callers may give an instance."""
    whole = Whole(numbers=[1])
    assert READER.read(whole) is whole


class Inner(pydantic.BaseModel):
    depth: int = 1


class NamedAsSchemas(pydantic.BaseModel):
    """Fields with the names of what pydantic's own schemas hold."""

    type: Inner = Inner()
    default: Inner = Inner()
    metadata: Inner = Inner()


@pytest.mark.parametrize("name", ["type", "default", "metadata"])
def test_a_field_may_have_any_name(name: str) -> None:
    """It is read as strictly as any other."""
    payloads = Payloads(NamedAsSchemas)
    assert getattr(payloads.read({name: {"depth": 3}}), name).depth == 3
    with pytest.raises(ValidationError):
        payloads.read({name: {"dept": 3}})
