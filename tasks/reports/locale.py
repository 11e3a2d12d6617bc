"""Numbers, dates and names in the way readers of English or Russian write them."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from tasks.reports.document import Unit, Value
from tasks.reports.parameters import Granularity, Language
from tasks.reports.period import Span, Step

NO_BREAK_SPACE = "\u00a0"
NARROW_SPACE = "\u202f"
MINUS = "\u2212"
NOTHING = "\u2013"
# Scripts of India, Persian and emoji join or part letters by these.
_JOINERS = "\u200c\u200d"
LONGEST_TEXT = 120
LONGEST_WORD = 24
# Headline amounts from this one on are written without cents.
WHOLE_FROM = 100_000

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "RUB": "₽", "KZT": "₸", "UAH": "₴", "INR": "₹"}
# ISO 4217 currencies without a minor unit.
_WHOLE = frozenset({"JPY", "KRW", "VND", "CLP", "ISK", "XAF", "XOF"})
_COMPACT = {
    Language.ENGLISH: ["", "K", "M", "B", "T"],
    Language.RUSSIAN: [
        f"{NO_BREAK_SPACE}{name}".rstrip() for name in ("", "тыс.", "млн", "млрд", "трлн")
    ],
}
_MONTHS = {
    Language.ENGLISH: "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    Language.RUSSIAN: "янв. февр. март апр. май июнь июль авг. сент. окт. нояб. дек.",
}
_MONTHS_OF_DAY = {
    Language.ENGLISH: _MONTHS[Language.ENGLISH],
    Language.RUSSIAN: (
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря"
    ),
}


class Formats:
    """Writes values for people."""

    def __init__(self, language: Language, currency: str | None) -> None:
        self._language = language
        self._currency = currency

    def value(self, value: Value, unit: Unit, *, places: int | None = None) -> str:
        """A value for a table cell. Amounts come without their currency."""
        if value is None:
            return NOTHING
        if isinstance(value, Step):
            return self.step(value)
        if isinstance(value, str):
            return clean(value)
        number = Decimal(str(value))
        if unit == "money":
            return self._number(number, self._money_places)
        if unit == "share":
            return self.share(number, places=1 if places is None else places)
        if unit == "count":
            return self._number(number, 0)
        return self._number(number, places_shown(value) if places is None else places)

    def headline(self, value: Value, unit: Unit) -> str:
        """A value for a key figure. Amounts come with their currency, large ones without cents."""
        if unit != "money" or not isinstance(value, int | Decimal):
            return self.value(value, unit)
        amount = Decimal(value)
        text = self._number(amount, 0 if abs(amount) >= WHOLE_FROM else self._money_places)
        sign = self.currency_sign
        if not sign:
            return text
        if self._language is Language.ENGLISH and len(sign) == 1:
            minus = MINUS if text.startswith(MINUS) else ""
            return f"{minus}{sign}{text.removeprefix(MINUS)}"
        return f"{text}{NO_BREAK_SPACE}{sign}"

    @property
    def currency_sign(self) -> str:
        return _SIGNS.get(self._currency or "", self._currency or "")

    def share(self, number: Decimal, *, signed: bool = False, places: int = 1) -> str:
        space = NO_BREAK_SPACE if self._language is Language.RUSSIAN else ""
        plus = "+" if signed and number > 0 else ""
        return f"{plus}{self._number(number * 100, places)}{space}%"

    def compact(self, number: float) -> str:
        """A round number for an axis: 1.5M."""
        names = _COMPACT[self._language]
        power = 0
        while power < len(names) - 1 and abs(number) >= 1000 * 1000**power:
            power += 1
        scaled = Decimal(repr(number)) / 1000**power
        if abs(scaled) >= 1000:  # noqa: PLR2004 - no name is left for such a number
            return f"{number:.2g}".replace("+", "")
        return self._number(scaled, min(2, _places(round(scaled, 2)))) + names[power]

    def day(self, day: date) -> str:
        month = _MONTHS_OF_DAY[self._language].split()[day.month - 1]
        return NO_BREAK_SPACE.join([str(day.day), month, str(day.year)])

    def span(self, span: Span) -> str:
        if span.first == span.last:
            return self.day(span.first)
        return f"{self.day(span.first)} {NOTHING} {self.day(span.last)}"

    def moment(self, moment: datetime) -> str:
        return f"{self.day(moment)}, {moment:%H:%M}"

    def step(self, step: Step) -> str:
        """One step of a time axis."""
        year = str(step.first.year)
        if step.granularity is Granularity.YEAR:
            return year
        if step.granularity is Granularity.QUARTER:
            quarter = (step.first.month + 2) // 3
            russian = self._language is Language.RUSSIAN
            return f"{quarter}{NO_BREAK_SPACE}кв. {year}" if russian else f"Q{quarter} {year}"
        if step.granularity is Granularity.MONTH:
            return f"{_MONTHS[self._language].split()[step.first.month - 1]}{NO_BREAK_SPACE}{year}"
        if step.granularity is Granularity.WEEK:
            return f"{step.first:%d.%m}{NOTHING}{step.last:%d.%m.%Y}"
        return self.day(step.first)

    def tick(self, value: Value) -> str:
        """A step for the axis of a chart: for a week only its Monday."""
        if isinstance(value, Step) and value.granularity is Granularity.WEEK:
            return f"{value.first:%d.%m.%Y}"
        return self.value(value, "step")

    @property
    def _money_places(self) -> int:
        return 0 if self._currency in _WHOLE else 2

    def _number(self, number: Decimal, places: int) -> str:
        rounded = number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
        text = f"{abs(rounded):,.{places}f}"
        if self._language is Language.RUSSIAN:
            text = text.replace(",", NARROW_SPACE).replace(".", ",")
        return f"{MINUS}{text}" if rounded < 0 else text


def clean(text: str) -> str:
    """A caller's text for one cell: without control characters, shortened, able to wrap."""
    visible = "".join(map(_visible, text[: LONGEST_TEXT * 2]))
    visible = " ".join(visible.split(" ")).strip()
    if len(visible) > LONGEST_TEXT:
        visible = visible[: LONGEST_TEXT - 1] + "…"
    return re.sub(rf"(\S{{{LONGEST_WORD}}})(?=\S)", "\\1\u200b", visible)


def _visible(character: str) -> str:
    if character in _JOINERS:
        return character
    return " " if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") else character


def places_shown(value: Value) -> int:
    """The number of decimals to write for a number without unit: its own, up to two."""
    return min(2, _places(Decimal(str(value)))) if isinstance(value, int | float | Decimal) else 0


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
