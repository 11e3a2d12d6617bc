"""Long lists, shortened without losing their sum."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tasks.reports.document import Value
from tasks.reports.labels import Labels

MOST_ROWS = 500


def with_rest(
    rows: Sequence[Sequence[Value]], most: int, labels: Labels, *, adds_up: Sequence[int]
) -> list[Sequence[Value]]:
    """The first ``most`` rows, and one for the others, with their sum in the columns ``adds_up``.

    The first column holds names. Other columns stay blank in the last row. A single
    row too many is shown rather than called "other".
    """
    if len(rows) <= most + 1:
        return list(rows)
    others = rows[most:]
    rest: list[Value] = [None] * len(rows[0])
    rest[0] = labels("other", count=len(others))
    for column in adds_up:
        values = [row[column] for row in others]
        rest[column] = sum(
            (Decimal(value) for value in values if isinstance(value, int | Decimal)), Decimal(0)
        )
    return [*rows[:most], rest]
