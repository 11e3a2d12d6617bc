"""The columns each report type reads, and finding them in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.reports.errors import absent_column, ambiguous_column, missing_column
from tasks.reports.parameters import ReportType

Kind = Literal["moment", "number", "text"]


@dataclass(frozen=True, kw_only=True)
class Role:
    """A column as a report knows it. ``names`` are the headers that it is recognised by."""

    name: str
    kind: Kind
    names: tuple[str, ...]
    required: bool = True


_DATE = Role(name="date", kind="moment", names=("date", "дата"))
_AMOUNT = Role(name="amount", kind="number", names=("amount", "сумма"))


def _optional(name: str, kind: Kind, *names: str) -> Role:
    return Role(name=name, kind=kind, names=(name, *names), required=False)


ROLES: dict[ReportType, tuple[Role, ...]] = {
    ReportType.SALES: (
        _DATE,
        _AMOUNT,
        _optional("product", "text", "товар"),
        _optional("region", "text", "регион"),
        _optional("quantity", "number", "количество"),
        _optional("order_id", "text", "заказ"),
    ),
    ReportType.ANALYTICS: (
        Role(name="user", kind="text", names=("user", "user_id", "пользователь")),
        _DATE,
        Role(name="event", kind="text", names=("event", "событие")),
        _optional("revenue", "number", "выручка"),
    ),
    ReportType.FINANCIAL: (
        _DATE,
        _AMOUNT,
        _optional("kind", "text", "тип"),
        _optional("category", "text", "категория"),
    ),
    # Only the period's column: dimensions and measures name all others.
    ReportType.CUSTOM: (Role(name="date", kind="moment", names=("date", "дата"), required=False),),
}


def find_columns(
    roles: Sequence[Role], mapping: Mapping[str, str], available: Sequence[str]
) -> dict[Role, int]:
    """The position in the file of each role's column. An optional one may be absent.

    Raises:
        PermanentError: ``missing-column`` or ``ambiguous-column``.
    """
    found = {}
    for role in roles:
        position = _find(role, mapping.get(role.name), available)
        if position is not None:
            found[role] = position
    return found


def find_column(name: str, asked_in: str, available: Sequence[str]) -> int:
    """The position of the column that a caller named. An exact match wins over one of another case.

    Raises:
        PermanentError: ``missing-column`` or ``ambiguous-column``.
    """
    positions = _positions([name], available)
    if not positions:
        raise absent_column(name, asked_in, available)
    if len(positions) > 1:
        raise ambiguous_column(name, [available[position] for position in positions])
    return positions[0]


def _find(role: Role, mapped: str | None, available: Sequence[str]) -> int | None:
    if mapped is not None:
        return find_column(mapped, f"parameters.columns.{role.name}", available)
    positions = _positions(role.names, available)
    if len(positions) > 1:
        raise ambiguous_column(role.name, [available[position] for position in positions])
    if not positions:
        if role.required:
            raise missing_column(role.name, role.names, available)
        return None
    return positions[0]


def _positions(names: Sequence[str], available: Sequence[str]) -> list[int]:
    exact = [index for index, header in enumerate(available) if header in names]
    if exact:
        return exact
    folded = {name.strip().casefold() for name in names}
    return [index for index, header in enumerate(available) if header.strip().casefold() in folded]
