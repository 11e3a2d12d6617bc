"""What docs/quotas.md says that a deployment needs, held against the fleets."""

from __future__ import annotations

import re

from celeriac.contract import catalogue
from tests.infra.conftest import ROOT

PAGE = " ".join((ROOT / "docs" / "quotas.md").read_text().split())


def test_the_page_names_the_vcpus_that_all_fleets_may_use() -> None:
    """The sum over the queues, each at its most workers."""
    units = sum(each.fleet.cpu * each.fleet.max_workers for each in catalogue().queues)

    assert f"{units / 1024:g} vCPUs for the fleets of this repository" in PAGE


def test_every_quota_that_can_be_listed_can_be_asked_for() -> None:
    """A list whose service the request doesn't name would lead nowhere."""
    listed = set(re.findall(r"list-service-quotas --service-code (\w+)", PAGE))

    asked = PAGE.partition("`--service-code` is ")[2].partition(":")[0]
    assert listed
    assert listed <= set(re.findall(r"`(\w+)`", asked))
