"""The parameters of a report."""

from __future__ import annotations

import zoneinfo
from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, field_validator, model_validator

from celeriac import BaseModel, Field
from tasks.shared.encodings import Encoding
from tasks.shared.writing import DateFormat, DecimalMark

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
# The largest number that can be read from a file has this many digits before the point.
_Number = Field(gt=-(10**22), lt=10**22)
Scalar = (
    Annotated[str, Field(max_length=1000)]
    | bool
    | Annotated[int, _Number]
    | Annotated[float, _Number]
)

# Files next to the zones on some systems: a machine's own zone, and copies unknown to DuckDB.
_NOT_ZONES = {"Factory", "localtime", "posix", "posixrules", "right"}

MOST_COLUMNS_NAMED = 20
MOST_DIMENSIONS = 4
MOST_MEASURES = 6
MOST_FILTERS = 20


class ReportType(StrEnum):
    SALES = "sales"
    ANALYTICS = "analytics"
    FINANCIAL = "financial"
    CUSTOM = "custom"


class Language(StrEnum):
    ENGLISH = "en"
    RUSSIAN = "ru"


class Granularity(StrEnum):
    """The length of one step of a report's time axis. Weeks begin on Monday (ISO 8601)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Strict(BaseModel):
    """A base that refuses misspelt parameters."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Period(Strict):
    """The days a report covers, both ends included. An open end is the file's own."""

    first: Annotated[date | None, Field(alias="from")] = None
    last: Annotated[date | None, Field(alias="to")] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first and self.last and self.first > self.last:
            raise ValueError(f"the period ends ({self.last}) before it begins ({self.first})")
        return self


class Dimension(Strict):
    """A grouping of a custom report: by a column, or by the steps of a date column."""

    column: ColumnName
    by: Granularity | None = Field(None, description="For a date column: the step to group by.")


class Function(StrEnum):
    SUM = "sum"
    AVG = "avg"
    COUNT = "count"
    MIN = "min"
    MAX = "max"
    MEDIAN = "median"
    DISTINCT = "distinct"


class Measure(Strict):
    """A number of a custom report. ``count`` without a column counts rows."""

    function: Function
    column: ColumnName | None = None
    label: Annotated[str, Field(min_length=1, max_length=80)] | None = None

    @model_validator(mode="after")
    def _has_a_column(self) -> Self:
        if self.column is None and self.function is not Function.COUNT:
            raise ValueError(f"{self.function.value} needs a column")
        return self


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    IS_NULL = "is_null"
    NOT_NULL = "not_null"

    @property
    def takes_list(self) -> bool:
        return self in (Operator.IN, Operator.NOT_IN)

    @property
    def takes_nothing(self) -> bool:
        return self in (Operator.IS_NULL, Operator.NOT_NULL)


class Filter(Strict):
    """A condition on the rows that a report uses.

    The value decides how the column is read: a number compares numbers, any other value compares
    text. An empty cell matches only ``is_null``, ``ne`` and ``not_in``.
    """

    column: ColumnName
    operator: Operator = Operator.EQ
    value: Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        name = self.operator.value
        if self.operator.takes_nothing and self.value is not None:
            raise ValueError(f"{name} takes no value")
        if self.operator.takes_list != isinstance(self.value, list):
            raise ValueError(f"{name} takes {'a list' if self.operator.takes_list else 'no list'}")
        if self.value is None and not self.operator.takes_nothing:
            raise ValueError(f"{name} needs a value")
        if self.operator is Operator.CONTAINS and not isinstance(self.value, str):
            raise ValueError("contains needs text")
        return self


class Parameters(Strict):
    """How to read the file, and how to show its numbers."""

    period: Period = Period()
    time_zone: str = Field(
        "UTC",
        max_length=64,
        description="IANA name. Days begin at midnight here; times without a zone are local to it.",
    )
    language: Language = Language.ENGLISH
    title: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = Field(
        None, description="ISO 4217 code shown with amounts; nothing is converted."
    )
    granularity: Granularity = Granularity.MONTH
    top_n: int = Field(10, ge=1, le=50)
    columns: dict[Annotated[str, Field(max_length=50)], ColumnName] = Field(
        default_factory=dict,
        max_length=MOST_COLUMNS_NAMED,
        description="The file's name for each column the report reads.",
    )
    funnel: list[ColumnName] = Field(
        default_factory=list,
        max_length=12,
        description="analytics: the events of the funnel, in order.",
    )
    dimensions: list[Dimension] = Field(default_factory=list, max_length=MOST_DIMENSIONS)
    measures: list[Measure] = Field(default_factory=list, max_length=MOST_MEASURES)
    filters: list[Filter] = Field(default_factory=list, max_length=MOST_FILTERS)
    encoding: Encoding | None = Field(
        None,
        description="Of CSV and JSON lines, by Python's name, such as `windows-1251`. By default "
        "it is the byte order mark's, or UTF-8.",
    )
    decimal_mark: DecimalMark = Field(".", description="In numbers written as text.")
    date_format: DateFormat | None = Field(
        None, description="strptime pattern of dates written as text, if not ISO or 31.01.2025."
    )
    sheet: Annotated[str, Field(max_length=31)] | None = Field(
        None, description="The sheet of an XLSX workbook; its first one unless named."
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
            known = value.partition("/")[0] not in _NOT_ZONES
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            known = False
        if not known:
            raise ValueError(f"{value!r} is not a time zone; use a name such as Europe/Berlin")
        return value
