"""Limits are declared with values that can hold, and keys that the payload has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac.contract import (
    BaseModel,
    Debounce,
    DeclarationError,
    Field,
    Limit,
    TaskContext,
    Unique,
    task,
)
from celeriac.contract.limits import MOST_RUNNING, of_celery

SECOND = timedelta(seconds=1)


class Customer(BaseModel):
    account: str


class Order(BaseModel):
    number: int
    customer: Customer
    referrer: Customer | None = None
    notes: dict[str, str] = Field({})


def place_order(payload: Order, context: TaskContext) -> Order:
    """Place an order."""
    return payload


@pytest.mark.parametrize(
    ("options", "fault", "fix"),
    [
        ({"max_running": 0}, "max_running=0. is out of range", "ive 1 to 200"),
        ({"max_running": -1}, "max_running=-1. is out of range", "ive 1 to 200"),
        ({"max_running": True}, "max_running=True. is out of range", "ive 1 to 200"),
        ({"max_running": 2.5}, "max_running=2.5. is out of range", "ive 1 to 200"),
        ({"max_running": MOST_RUNNING + 1}, "is out of range", "Fleet.max_workers="),
        ({"rate": "fast"}, "rate='fast'. is not a rate", "such as '100/m'"),
        ({"rate": "0/m"}, "rate='0/m'. is not a rate", "such as '100/m'"),
        ({"rate": "-5/m"}, "rate='-5/m'. is not a rate", "such as '100/m'"),
        ({"rate": "100/y"}, "rate='100/y'. is not a rate", "Units are s, m, h and d"),
        ({"rate": "100"}, "rate='100'. is not a rate", "Units are s, m, h and d"),
        ({"rate": 100}, "rate=100. is not a rate", "such as '100/m'"),
        ({"rate": "301/s"}, "rate='301/s'. is not a rate", "up to 300/s"),
        ({"limits": Limit(max_running=1)}, "is not a tuple", "limits=.Limit"),
        ({"limits": (5,)}, "limits=.5,. is not a tuple of Limit", "limits=.Limit"),
        ({"limits": (Limit(max_running=n) for n in (1,))}, "is not a tuple", "limits=.Limit"),
        (
            {"max_running": 5, "limits": (Limit(max_running=2),)},
            "two limits count the same: one is max_running=5",
            "Leave out the weaker",
        ),
        (
            {"limits": tuple(Limit(max_running=1, key=(each,)) for each in "abcdef")},
            "the type has 6 limits",
            "at most 5",
        ),
        (
            {"limits": (Limit(max_running=1, key=("numbr",)),)},
            "'numbr', which is no field of Order",
            "Write 'number'",
        ),
        (
            {"limits": (Limit(max_running=1, key=("customer.acount",)),)},
            r"names 'customer.acount' .'acount'., which is no field",
            "Write 'account'",
        ),
        (
            {"limits": (Limit(max_running=1, key=("notes.x",)),)},
            "'notes.x'",
            "Its fields are number, customer, referrer, notes",
        ),
        ({"unique_for": Unique(key=("x",))}, "'x', which is no field", "Its fields are number"),
        ({"debounce": Debounce(SECOND, key=("x",))}, "'x', which is no field", "Its fields are"),
        ({"unique_for": timedelta(0)}, "period=0:00:00. is out of range", "more than 0"),
        ({"unique_for": -SECOND}, "is out of range", "more than 0"),
        ({"unique_for": 60}, "unique_for=60 is neither a timedelta nor a Unique", "timedelta"),
        ({"unique_for": True}, "unique_for=True is neither", "timedelta"),
        ({"debounce": timedelta(0)}, "delay=0:00:00. is out of range", "more than 0"),
        ({"debounce": timedelta(days=2)}, "is out of range", "at most 1 day"),
        ({"debounce": 5}, "debounce=5 is neither a timedelta nor a Debounce", "timedelta"),
        ({"unique_for": SECOND, "debounce": SECOND}, "keeps the first", "Leave one"),
    ],
)
def test_a_limit_that_cannot_hold_is_refused(options: dict[str, Any], fault: str, fix: str) -> None:
    """While the file is imported, with what to write instead."""
    with pytest.raises(DeclarationError, match=fault) as refused:
        task(**options)(place_order)

    refused.match(fix)


@pytest.mark.parametrize(
    ("kind", "values", "fault"),
    [
        (Limit, {}, "needs one of max_running and rate"),
        (Limit, {"max_running": 1, "rate": "1/s"}, "needs one of max_running and rate"),
        (Limit, {"max_running": 1, "per": "user"}, "neither 'type' nor 'tenant'"),
        (Limit, {"max_running": 1, "key": "account"}, r"write key=\('account',\)"),
        (Limit, {"max_running": 1, "key": (1,)}, "not a tuple of field names"),
        (Limit, {"max_running": 1, "key": ("a", "a")}, "names a field twice"),
        (Limit, {"rate": "1/s", "burst": 0}, "burst=0. is out of range"),
        (Limit, {"rate": "1/s", "burst": True}, "burst=True. is out of range"),
        (Limit, {"max_running": 1, "burst": 2}, "is for a rate"),
        (Unique, {"period": 5}, "is not a timedelta"),
        (Debounce, {"delay": SECOND, "max_wait": SECOND / 2}, "is shorter than its delay"),
        (Debounce, {"delay": 1}, "is not a timedelta"),
    ],
)
def test_a_value_that_says_nothing_is_refused(
    kind: Any, values: dict[str, Any], fault: str
) -> None:
    """Where it is made, whatever it is for."""
    with pytest.raises((TypeError, ValueError), match=fault):
        kind(**values)


def test_short_and_finer_limits_are_all_of_the_type() -> None:
    """``max_running`` and ``rate`` limit the whole type; ``limits`` divide."""
    finer = Limit(max_running=2, per="tenant", key=("customer.account", "referrer.account"))
    declared = task(max_running=5, rate="100/m", limits=(finer,))(place_order)

    assert declared.limits == (Limit(max_running=5), Limit(rate="100/m"), finer)
    assert str(finer) == "max_running=2 per tenant, customer.account, referrer.account"


@pytest.mark.parametrize(
    ("rate", "interval"),
    [
        ("1/s", 10**6),
        ("100/m", 600_000),
        ("0.5/s", 2 * 10**6),
        ("2/h", 1_800 * 10**6),
        ("3/s", 333333),
    ],
)
def test_a_rate_spreads_its_starts(rate: str, interval: int) -> None:
    """In microseconds from one to the next."""
    assert Limit(rate=rate).interval == interval


@pytest.mark.parametrize(
    ("celerys", "rate"),
    [(None, None), (0, None), (10, "10.000/s"), ("100/m", "100/m"), ("5", "5/s"), (0.5, "0.500/s")],
)
def test_celerys_rate_limit_is_a_rate(celerys: Any, rate: str | None) -> None:
    """A number is by the second; None and 0 are no limit."""
    limit = of_celery(celerys)
    assert (limit.rate if limit else None) == rate


def test_each_key_tenant_and_type_is_counted_by_itself() -> None:
    """And each kind of limit."""
    one = {"number": 1, "customer": {"account": "a"}, "referrer": None}
    other = {"number": 2, "customer": {"account": "b"}, "referrer": None}
    key = ("customer.account",)
    by_key = Limit(max_running=1, key=key)
    scopes = {
        by_key.scope("order", "shop", one),
        by_key.scope("order", "shop", other),
        by_key.scope("bill", "shop", one),
        Limit(max_running=1, key=key, per="tenant").scope("order", "shop", one),
        Limit(max_running=1, key=key, per="tenant").scope("order", "other", one),
        Limit(rate="1/s", key=key).scope("order", "shop", one),
        Limit(rate="1/h", key=key).scope("order", "shop", one),
        Limit(max_running=1).scope("order", "shop", one),
    }
    assert len(scopes) == 8
    assert by_key.scope("order", "shop", {**one, "number": 3}) in scopes
    assert by_key.scope("order", "other", one) in scopes
    # Another number of the same limit goes on counting, while a deployment replaces workers.
    assert Limit(max_running=9, key=key).scope("order", "shop", one) in scopes
