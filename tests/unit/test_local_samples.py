"""The payload that `celeriac dev` shows for a task type."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, EmailStr, Field, field_validator

from celeriac.local.samples import sample_payload


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    id: int = Field(gt=10)


class Order(BaseModel):
    customer: EmailStr
    count: int = Field(ge=3)
    note: Annotated[str, Field(min_length=8)]
    short: Annotated[str, Field(max_length=2)]
    kind: Literal["gift", "own"]
    colour: Colour
    due: date
    inner: Inner
    lines: list[Inner] = Field(min_length=2)
    maybe: int | None
    urgent: bool
    left_out: str = "default"


class WithExample(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada"}]})
    name: str


class Refusing(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _refuse(cls, name: str) -> str:
        raise ValueError(name)


def test_each_required_field_has_a_value() -> None:
    """The payload is valid, and has no field that may be left out."""
    payload = sample_payload(Order)

    Order.model_validate_json(json.dumps(payload))
    assert payload.keys() == Order.model_fields.keys() - {"left_out"}


def test_an_example_of_the_models_own_comes_first() -> None:
    """The author's example says more than invented values."""
    assert sample_payload(WithExample) == {"name": "Ada"}


def test_a_model_that_refuses_has_no_sample() -> None:
    """No command is shown that would be answered with an error."""
    assert sample_payload(Refusing) is None
