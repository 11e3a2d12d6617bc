"""The positions of a chart's lines and bars, in shares of its width and height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tasks.reports.document import Chart, Value
from tasks.reports.locale import Formats

TICKS = 4
# As in the template: the width of the columns, and of labels set in 7.5pt.
CHART_WIDTH_CM = 15.9
CHARACTER_CM = 0.125
GAP_CM = 0.25


def drawing(chart: Chart, formats: Formats) -> dict[str, Any]:
    """A chart as the template draws it."""
    values = [[_size(value) for value in series.values] for series in chart.series]
    flat = [value for each in values for value in each]
    if chart.kind == "bars":
        return _bars(chart, values[0], formats)
    ticks = _ticks(min(flat, default=0), max(flat, default=0))
    low, high = ticks[0], ticks[-1]

    def height(value: float) -> float:
        return (value - low) / (high - low)

    return {
        "kind": "columns",
        "zero": height(0),
        "ticks": [{"at": height(tick), "label": formats.compact(tick)} for tick in ticks],
        "legend": [series.label for series in chart.series] if len(chart.series) > 1 else [],
        "groups": [
            {"bars": [height(each[index]) for each in values]} for index in range(len(values[0]))
        ],
        "labels": _labels(chart.categories, formats),
    }


def _bars(chart: Chart, values: Sequence[float], formats: Formats) -> dict[str, Any]:
    low, high = min([0.0, *values]), max([0.0, *values])
    width = (high - low) or 1.0
    return {
        "kind": "bars",
        "zero": -low / width,
        "rows": [
            {
                "label": formats.value(name, "text"),
                "value": formats.value(written, chart.unit),
                "from": (min(value, 0) - low) / width,
                "to": (max(value, 0) - low) / width,
                "negative": value < 0,
            }
            for name, value, written in zip(
                chart.categories, values, chart.series[0].values, strict=True
            )
        ],
    }


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, zero among them."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return [0.0, 1.0]
    rough = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, last + 1)]


def _labels(categories: Sequence[Value], formats: Formats) -> list[dict[str, Any]]:
    """Some of the names below the columns, evenly spaced, as many as fit."""
    texts = [formats.tick(name) for name in categories]
    room = max(map(len, texts), default=0) * CHARACTER_CM + GAP_CM
    every = max(1, math.ceil(len(texts) * room / CHART_WIDTH_CM))
    return [
        {"at": (index + 0.5) / len(texts), "text": text}
        for index, text in enumerate(texts)
        if index % every == 0
    ]


def _size(value: Value) -> float:
    return float(value) if isinstance(value, int | float | Decimal) else 0.0
