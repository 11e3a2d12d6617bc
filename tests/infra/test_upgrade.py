"""An upgrade replaces nothing that holds data or has a name: ids and names are for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from tests.infra.releases import ENVIRONMENTS, RELEASES, Release, read, synthesized

#: What an upgrade does replace, by stack and logical id, and why that is right.
MAIL = ("data", "Mail6A3D1F64")
REPLACED = {
    ("api", "HttpAccessLogC8763DB1"): (
        "In 0632f3b CloudFormation named it. Log groups that API Gateway writes to need the prefix "
        "/aws/vendedlogs/, or the account's resource policy grows with each. The old group is "
        "deleted with its lines, as docs/upgrading.md says."
    ),
    MAIL: (
        "Of an environment that mails through an SMTP server, which has no use for an identity."
    ),
}

Now = Callable[[str], Release]


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> Now:
    """This checkout, as a release of an environment."""

    @cache
    def run(name: str) -> Release:
        return synthesized(name, tmp_path_factory.mktemp(name))

    return run


def resources(release: Release) -> dict[tuple[str, str], dict[str, Any]]:
    """By stack and logical id."""
    return {
        (stack, id): resource
        for stack, found in release["resources"].items()
        for id, resource in found.items()
    }


def lost(before: Release, after: Release) -> set[tuple[str, str]]:
    """What an upgrade would delete or replace: stack and logical id.

    CloudFormation creates a resource again if its id, its type, or such a property is another.
    """
    found = resources(after)
    return {
        key
        for key, resource in resources(before).items()
        if any(found.get(key, {}).get(name) != resource[name] for name in ("type", "properties"))
    }


def index_updates(before: Release, after: Release) -> Iterator[tuple[tuple[str, str], int]]:
    """How many indexes of each table an upgrade would create and delete.

    An index with other keys, or that copies other attributes, is deleted and created.
    """
    found = resources(after)
    for key, resource in resources(before).items():
        if key in found and "indexes" in resource:
            old, new = resource["indexes"], found[key]["indexes"]
            gone = [name for name in old if new.get(name) != old[name]]
            made = [name for name in new if old.get(name) != new[name]]
            yield key, len(gone) + len(made)


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("version", RELEASES)
def test_an_upgrade_replaces_and_deletes_nothing_that_is_kept(
    now: Now, version: str, name: str
) -> None:
    """Every table, bucket, queue, schedule group, log group, role and service is still there.

    Each has its logical id, its type, and the properties that CloudFormation replaces it for, its
    name among them.
    """
    found = lost(read(version, name), now(name))
    assert found <= set(REPLACED)
    # The environment with all options mails through an SMTP server.
    assert found == set(REPLACED) - ({MAIL} if name != "prod-options" else set())


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_upgrade_creates_or_deletes_one_index_of_a_table_at_most(now: Now, name: str) -> None:
    """From each release to the next, and to this checkout: DynamoDB takes one in an update.

    docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html
    """
    for before, after in pairwise([*(read(each, name) for each in RELEASES), now(name)]):
        updates = dict(index_updates(before, after))
        assert ("data", "RecordsTableC9B7A30B") in updates
        assert max(updates.values()) <= 1


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("version", RELEASES)
def test_what_stacks_use_of_each_other_stays(now: Now, version: str, name: str) -> None:
    """``data`` is deployed first: an export that an older stack still uses can't go or change.

    docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html
    """
    exports = read(version, name)["exports"]

    assert len(exports) > 20
    assert {each: now(name)["exports"].get(each) for each in exports} == exports


QUEUE = ("data", "EmailQueueD178CC6A")
TABLE = ("data", "RecordsTableC9B7A30B")


def test_a_rename_a_removal_and_another_key_are_seen(now: Now) -> None:
    """The comparison finds a queue with another name, a queue that is gone, and a key's change."""
    before, after = now("dev"), deepcopy(now("dev"))
    assert lost(before, after) == set()

    resources(after)[QUEUE]["properties"]["QueueName"] = "celeriac-dev-mail"
    assert lost(before, after) == {QUEUE}

    del after["resources"][QUEUE[0]][QUEUE[1]]
    assert lost(before, after) == {QUEUE}

    resources(after)[TABLE]["properties"]["KeySchema"].pop()
    assert lost(before, after) == {QUEUE, TABLE}


def test_indexes_that_an_update_creates_and_deletes_are_counted(now: Now) -> None:
    """A second index at once is one too many, and so is one that copies another attribute."""
    before, after = now("dev"), deepcopy(now("dev"))
    assert dict(index_updates(before, after)) == {TABLE: 0}

    indexes = resources(after)[TABLE]["indexes"]
    indexes["owners"] = indexes["failures"]
    assert dict(index_updates(before, after)) == {TABLE: 1}

    del indexes["failures"]
    assert dict(index_updates(before, after)) == {TABLE: 2}

    changed = deepcopy(before)
    resources(changed)[TABLE]["indexes"]["failures"]["Projection"] = {"ProjectionType": "ALL"}
    assert dict(index_updates(before, changed)) == {TABLE: 2}
