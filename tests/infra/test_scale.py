"""What docs/scale.md says of large loads, held against limits, prices and the simulation."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest

from bench.scaling.__main__ import main
from bench.scaling.fleet import STARTS_A_MINUTE
from bench.scaling.limits import Limit, cell, first_to_break, limits
from bench.scaling.loads import MINUTE
from bench.scaling.rises import LASTS, Rise, rises
from bench.scaling.scale import costs_table, limits_table, month, rises_table
from bench.scaling.traffic import HEARTBEAT_ITEM, Traffic
from celeriac import clock
from celeriac.cdk import WarmThroughput
from celeriac.cdk.prices import FOLLOWING_MEMORY
from celeriac.cdk.spot import share
from celeriac.contract import catalogue
from celeriac.records import identifiers
from celeriac.settings import Settings
from celeriac.storage.heartbeats import ReservedTask, RunningTask, Worker
from celeriac.storage.services import services
from infra.cdk.environments import PROD
from tasks.queues import DEFAULT
from tests.infra.conftest import ROOT
from tests.unit.engine.meter import metered

PAGE = (ROOT / "docs" / "scale.md").read_text()
PROSE = " ".join(PAGE.split())
QUOTAS = " ".join((ROOT / "docs" / "quotas.md").read_text().split())

TYPES = catalogue()
LIMITS = limits(TYPES)
FOLLOWED = Traffic(rate=1)
ALONE = Traffic(rate=1, followed_seconds=0)


@cache
def risen() -> tuple[Rise, ...]:
    return tuple(rises(TYPES, (100, 1_000)))


def named(found: tuple[Limit, ...] = LIMITS) -> Mapping[str, Limit]:
    return {each.name: each for each in found}


def test_the_page_has_the_limits_in_the_order_in_which_they_break() -> None:
    """Each with its value, what three rates need of it, and how it is raised."""
    assert limits_table(LIMITS, FOLLOWED) in PAGE


def test_the_page_has_what_a_month_costs() -> None:
    """And following is the larger part."""
    spot = share(DEFAULT, TYPES)
    cost = month(replace(FOLLOWED, rate=1_000), spot=spot)

    assert costs_table(FOLLOWED, spot=spot) in PAGE
    assert cost.following > cost.total / 2


def test_what_breaks_first_is_the_fleet_and_then_the_next() -> None:
    """The order is computed: a larger fleet leaves the first place to the next limit."""
    larger = replace(DEFAULT, fleet=replace(DEFAULT.fleet, max_workers=1_000))

    before = first_to_break(LIMITS, FOLLOWED)
    after = first_to_break(limits(TYPES, queue=larger), FOLLOWED)

    assert before[0].name == "workers of the `default` fleet"
    assert after[0] == replace(before[1], demand=after[0].demand)
    assert 30 <= before[0].breaks_at(FOLLOWED) <= 33
    assert "some thirty tasks of one second each second" in PROSE


def test_a_limit_breaks_at_the_rate_that_needs_all_of_it() -> None:
    """Also one that rises with the square of the rate."""
    for limit in first_to_break(LIMITS, FOLLOWED):
        rate = limit.breaks_at(FOLLOWED)
        assert limit.demand(replace(FOLLOWED, rate=0.99 * rate)) < limit.most
        assert limit.demand(replace(FOLLOWED, rate=1.01 * rate)) > limit.most


def test_followers_take_lambdas_concurrency() -> None:
    """Each holds a run of a function for as long as it waits."""
    concurrency = named()["concurrent runs of Lambda"]

    assert concurrency.breaks_at(FOLLOWED) < 200
    assert f"the runs of Lambda suffice up to {concurrency.breaks_at(ALONE):,.0f}/s" in PROSE


def test_what_the_table_says_to_raise_is_enough() -> None:
    """With the options and quotas of its 1,000/s, a deployment takes 1,000 tasks a second."""
    load = replace(FOLLOWED, rate=1_000)
    needs = {each.name: math.ceil(each.demand(load)) for each in LIMITS}
    queue = replace(
        DEFAULT,
        fleet=replace(DEFAULT.fleet, max_workers=needs["workers of the `default` fleet"]),
    )
    environment = replace(
        PROD,
        requests_per_second=needs["requests a second of the deployment"],
        warm_throughput=WarmThroughput(write_units=needs["writes of a new table, a second"]),
    )
    raised = [
        each if each.raised == "option" else replace(each, most=max(each.most, needs[each.name]))
        for each in limits(TYPES, environment, queue)
    ]

    late = [each.name for each in raised if each.demand(load) > each.most]
    assert late == []


def test_large_values_need_writes_of_s3() -> None:
    """A limit that a load can't meet isn't in its table."""
    large = replace(FOLLOWED, payload=50_000, result=50_000)
    objects = named()["objects written to a prefix of S3, a second"]

    assert objects not in first_to_break(LIMITS, FOLLOWED)
    assert objects.breaks_at(large) == pytest.approx(objects.most / 2)
    assert f"takes {objects.most:,} writes a second of a prefix" in PROSE


def test_a_quota_that_is_to_be_raised_is_one_that_the_quotas_page_asks_for() -> None:
    """By the code of its service."""
    wanted = {code for each in LIMITS for code in re.findall(r"quota of `(\w+)`", each.remedy)}

    asked = QUOTAS.partition("`--service-code` is ")[2].partition(":")[0]
    assert wanted <= set(re.findall(r"`(\w+)`", asked))
    assert all(
        each.source.startswith("docs.aws.amazon.com/")
        for each in LIMITS
        if each.raised == "request"
    )


def test_the_page_says_from_when_cells_are_needed() -> None:
    """From what a deployment whose options are raised can't take, and how many that makes."""
    for traffic, words in ((FOLLOWED, "with followers"), (ALONE, "without followers")):
        bound = cell(LIMITS, traffic)
        name = bound.name.removesuffix(", a second")
        assert f"from {bound.breaks_at(traffic):,.0f} tasks a second {words}: {name}" in PROSE
    with_followers, without = (
        math.ceil(10_000 / cell(LIMITS, each).breaks_at(each)) for each in (FOLLOWED, ALONE)
    )
    assert (
        f"10,000 tasks a second are {with_followers} cells with followers, and {without} without"
        in PROSE
    )


def test_a_heartbeat_is_as_large_as_the_limits_reckon(aws: Settings) -> None:
    """That of a worker whose four processes hold eight tasks."""
    task_id, host = identifiers.new_task_id(), "ip-10-0-123-145.eu-central-1.compute.internal"
    kind = "generate-report"
    worker = Worker(
        id=f"{host}.17.ab12cd",
        hostname=host,
        pid=17,
        queues=("default",),
        concurrency=4,
        prefetch=8,
        started_at=clock.now(),
        seen_at=clock.now(),
        stopping=False,
        active=(RunningTask(task_id=task_id, type=kind, since=clock.now()),) * 4,
        reserved=(ReservedTask(task_id=task_id, type=kind),) * 4,
        processed=100_000,
        failed=10,
        registered=tuple(sorted(TYPES)),
    )

    with metered() as bill:
        services().workers.report(worker)

    assert bill.largest_item == pytest.approx(HEARTBEAT_ITEM, rel=0.05)


def test_one_cell_more_soon_costs_little() -> None:
    """It costs what the price list says of a deployment at rest."""
    prices = " ".join((ROOT / "docs" / "costs.md").read_text().split())
    (rest,) = re.findall(r"\*\*At rest\*\*, about \$([\d.]+) a month", prices)
    (rate,) = re.findall(r"From (\d+) tasks a second on, that is less than one percent", PROSE)

    bill = month(replace(FOLLOWED, rate=int(rate)), spot=share(DEFAULT, TYPES)).total
    assert bill / 200 < float(rest) < bill / 100


def test_raised_fleets_follow_a_load_that_rises_at_once() -> None:
    """No rule is violated. An awake fleet keeps ``oldest_age`` even if the load is tenfold."""
    for each in risen():
        assert (each.rate, each.before, each.outcome.violations) == (each.rate, each.before, ())
        assert each.outcome.at_rest
        if each.before != "nothing":
            assert each.outcome.longest_wait <= PROD.oldest_age.total_seconds()
    assert rises_table(risen()) in PAGE


def test_a_sleeping_fleet_takes_little_more_than_the_objective() -> None:
    """The page says by how much: one start, three minutes of counts, and the other starts."""
    (woken,) = (
        each.outcome.longest_wait
        for each in risen()
        if (each.rate, each.before) == (1_000, "nothing")
    )

    assert woken - PROD.oldest_age.total_seconds() == 20
    assert "wait for twenty seconds more than the objective" in PROSE


def test_a_fleet_without_headroom_never_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the table asks for a quarter more workers than the tasks fill."""
    monkeypatch.setattr("bench.scaling.traffic.HEADROOM", 1)

    exact = list(rises(TYPES, [100]))

    for each in exact:
        (ample,) = (other for other in risen() if (other.rate, other.before) == (100, each.before))
        assert ample.outcome.took < 2 * LASTS
        assert each.outcome.took > 2 * LASTS + MINUTE


def test_the_page_says_how_long_the_largest_fleet_takes_to_start() -> None:
    """ECS starts so many workers of a service in a minute."""
    workers = math.ceil(replace(FOLLOWED, rate=10_000).workers)

    assert f"at most {STARTS_A_MINUTE} workers of a service in a minute" in PROSE
    assert f"The {workers:,} workers of 10,000 tasks a second take six minutes" in PROSE
    assert workers // STARTS_A_MINUTE == 6


def test_the_command_computes_any_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Longer tasks need more workers, and nobody who follows no polls."""
    monkeypatch.setattr(
        sys, "argv", ["scaling", "limits", "--rates", "50", "--run", "10", "--followed", "0"]
    )

    assert main() == 0

    printed = capsys.readouterr().out
    load = Traffic(rate=50, run_seconds=10, followed_seconds=0)
    assert limits_table(LIMITS, load, [50]) in printed
    assert "| 10 | **157** |" in printed
    assert "| 50/s | " in printed


def test_polls_are_answered_by_the_function_that_follows() -> None:
    """The month's cost of following is by that function's memory."""
    assert FOLLOWED.following is not None
    assert FOLLOWED.following.memory == FOLLOWING_MEMORY
