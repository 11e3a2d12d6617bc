"""The types of CSV's columns: a column has one if all its values can be read in one way only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.shared.duckdb import Database, literal
from tasks.shared.writing import DecimalMark

_NAN = "('NaN', 'nan', 'NAN')"
_DAY = r"\d{4}-\d{2}-\d{2}"
_MOMENT = _DAY + r"[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
# Another offset would be lost in a time of one zone.
_ZONE = r" ?(Z|\+00(:?00)?)"
# A double holds so many digits exactly.
_DIGITS = 15
_SAMPLE = 2_000
_WITH_TIME = re.compile(r"%[HIMSfpz]")


@dataclass(frozen=True)
class Reading:
    """How numbers and dates are written. Without a ``date_format``, only ISO dates are dates."""

    decimal_mark: DecimalMark = "."
    date_format: str | None = None

    def sql(self, column: str, type: str) -> str:
        """A text column as SQL in a type found for it. An empty field is NULL."""
        value = f"nullif({column}, '')"
        match type:
            case "VARCHAR":
                return value
            case "DOUBLE":
                return f"CAST(replace({value}, '{self.decimal_mark}', '.') AS DOUBLE)"
            case "DATE" | "TIMESTAMP" if self.date_format is not None:
                # A column of ISO dates is one whatever the format of the others.
                return f"coalesce({self._by_format(value, type)}, TRY_CAST({value} AS {type}))"
            case _:
                return f"CAST({value} AS {type})"

    def tests(self, column: str) -> list[tuple[str, str]]:
        """Each type, and SQL that is true if all of a column's values have it. The first wins."""
        value = f"nullif({column}, '')"
        mark = "\\" + self.decimal_mark
        digits = f"length(regexp_replace({value}, '\\D', '', 'g')) <= {_DIGITS}"
        whole = _matches(value, r"-?[1-9]\d*|0")
        # As a program writes a number that it has: no zeros before or after it.
        shortest = _matches(value, rf"(-?[1-9]\d*|0)|-?(0|[1-9]\d*){mark}(\d*[1-9]|0)")
        fixed = _matches(value, rf"-?(0|[1-9]\d*){mark}\d+")
        decimals = f"length(regexp_extract({value}, '{mark}(\\d*)$', 1))"
        nan = f"{value} IN {_NAN}"
        number = f"FILTER (NOT {nan})"
        alike = f"min({decimals}) {number} = max({decimals}) {number}"
        found = [
            ("BOOLEAN", _all(f"lower({value}) IN ('true', 'false')")),
            ("BIGINT", _all(f"{whole} AND TRY_CAST({value} AS BIGINT) IS NOT NULL")),
            ("DOUBLE", _all(f"({shortest} AND {digits}) OR {nan}")),
            # 1.10 and 1.1 are one number but two versions; 1.10 and 1.20 are prices.
            ("DOUBLE", f"{_all(f'({fixed} AND {digits}) OR {nan}')} AND {alike}"),
            ("DATE", _all(_reads(value, _DAY, "DATE"))),
            ("TIMESTAMP", _all(_reads(value, _MOMENT, "TIMESTAMP"))),
            ("TIMESTAMP WITH TIME ZONE", _all(_reads(value, _MOMENT + _ZONE, "TIMESTAMPTZ"))),
        ]
        if self.date_format is not None:
            type = "TIMESTAMP" if _WITH_TIME.search(self.date_format) else "DATE"
            found.append((type, _all(f"{self._by_format(value, type)} IS NOT NULL")))
        return found

    def _by_format(self, value: str, type: str) -> str:
        return f"CAST(try_strptime({value}, {literal(self.date_format or '')}) AS {type})"


def found_types(database: Database, relation: str, width: int, reading: Reading) -> list[str]:
    """The types of the text columns ``f0``, ``f1``, …, from all rows.

    The first rows rule out most types, so that all rows are tested for few.
    """
    tests = [reading.tests(f"f{index}") for index in range(width)]
    sample = f"(SELECT * FROM {relation} LIMIT {_SAMPLE})"  # noqa: S608 - our own words
    # The first rows may have no value, which speaks against no type.
    likely = [
        [test for test, held in each if held is not False]
        for each in _answers(database, sample, tests)
    ]
    sure = [
        [type for (type, _), held in each if held] for each in _answers(database, relation, likely)
    ]
    return [each[0] if each else "VARCHAR" for each in sure]


def _answers(
    database: Database, rows: str, tests: list[list[tuple[str, str]]]
) -> Iterator[list[tuple[tuple[str, str], bool | None]]]:
    """Each column's tests, with whether its values pass them; None if it has no value."""
    asked = [test for each in tests for _, test in each]
    answers: tuple[bool | None, ...] = ()
    if asked:
        (answers,) = database.execute(f"SELECT {', '.join(asked)} FROM {rows}")  # noqa: S608
    following = iter(answers)
    for each in tests:
        yield [(test, next(following)) for test in each]


def _matches(value: str, pattern: str) -> str:
    return f"regexp_full_match({value}, '{pattern}')"


def _reads(value: str, pattern: str, type: str) -> str:
    return f"({_matches(value, pattern)} AND TRY_CAST({value} AS {type}) IS NOT NULL)"


def _all(condition: str) -> str:
    """True if there are values and all of them fulfil a condition; NULL is no value."""
    return f"bool_and({condition})"
