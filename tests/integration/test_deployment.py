"""The whole system, deployed to moto by the real command line, and used.

The API runs in AWS's own Lambda runtime client, the workers from the container definitions that
were deployed, and each caller's calls are held against its role's policies. Before that, the checks
of ``make verify`` run on the same deployment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from celeriac.contract import catalogue
from infra.rehearsal.__main__ import Outcome, rehearse
from infra.rehearsal.stage import Stage
from infra.verify import moto
from infra.verify.catalogue import checks
from infra.verify.keys import make_key, revoke
from infra.verify.report import Result, Verdict, succeeded
from infra.verify.runner import run
from tasks.queues import DEFAULT
from tests.tampering import BROKEN, broken

#: What needs more than moto has.
NOT_ON_MOTO = {
    "alarm-mail",
    "alarms-evaluated",
    "api-log",
    "browser-upload",
    "bucket",
    "bucket-over-tls",
    "clock",
    "cold-start",
    "dead-letter-alarm",
    "expiry",
    "fair-queues",
    "fleet-sleeps",
    "grow-fills",
    "link-region",
    "mail",
    "metrics",
    "protection",
    "quotas",
    "repair",
    "roles",
    "schedule-fires",
    "schedule-wakes",
    "wake-fills",
    "web-pages",
    "worker-log",
}


@dataclass
class Verified:
    """What the checks said of the deployment, and of the same with one thing broken."""

    results: list[Result] = field(default_factory=list)
    of_broken: dict[str, list[Result]] = field(default_factory=dict)
    keys: str = ""

    def look(self, stage: Stage) -> None:
        deployment = moto.deployment(stage)
        key = make_key(deployment, scope="admin")
        try:
            self.results = run(deployment, checks(catalogue()), key=key.secret)
            few = [each for each in checks(catalogue()) if each.id in BROKEN]
            for each in few:
                self.of_broken[each.id] = run(broken(deployment, each.id), few, key=key.secret)
        finally:
            revoke(deployment, key)
        self.keys = deployment.celeriac("keys", "list")


@pytest.fixture(scope="module")
def verified() -> Verified:
    return Verified()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, verified: Verified) -> Outcome:
    directory: Path = tmp_path_factory.mktemp("rehearsal")
    return rehearse(directory, first=verified.look)


def test_every_example_reaches_success(outcome: Outcome) -> None:
    """With nothing but the settings that the deployment left, each built-in type's example runs."""
    assert outcome.not_rehearsed == []
    assert {name.partition(",")[0] for name in outcome.states} >= catalogue().keys()
    assert set(outcome.states.values()) == {"SUCCESS"}, outcome.states


def test_a_worker_that_ecs_does_not_protect_works(outcome: Outcome) -> None:
    """As in a deployment, the first request of each is refused. Its tasks have ended even so."""
    # A worker asks once it is busy for a second.
    assert DEFAULT.name in outcome.refused


def test_every_resource_is_made(outcome: Outcome) -> None:
    """All but the bucket's policy, which refuses plain HTTP, the only thing spoken here."""
    assert outcome.ignored == ["AWS::S3::BucketPolicy"]


def test_every_call_is_allowed_to_its_caller(outcome: Outcome) -> None:
    """No call of the API or a worker lies outside the policies of its role."""
    assert outcome.permissions.denied == []
    assert outcome.permissions.allowed > 0


def test_every_grant_is_used_or_has_a_reason(outcome: Outcome) -> None:
    """A grant that no call used has a written reason."""
    assert outcome.permissions.unexplained == []
    assert outcome.permissions.stale == []


@pytest.mark.usefixtures("outcome")
def test_every_check_holds_that_moto_can_show(verified: Verified) -> None:
    """Each check of ``make verify`` holds on moto, or is reported as not shown."""
    found = {each.check.id: each.verdict for each in verified.results}

    assert {id for id, verdict in found.items() if verdict is Verdict.NOT_SHOWN} == NOT_ON_MOTO
    assert [each.line for each in verified.results if each.verdict is Verdict.NOT_HELD] == []
    assert {f"type-{name}" for name in catalogue()} <= found.keys()


@pytest.mark.usefixtures("outcome")
def test_the_checks_leave_nothing_behind(verified: Verified) -> None:
    """Their tasks have ended, their messages are gone, and their key is revoked."""
    assert [each.left_behind for each in verified.results if each.left_behind] == []
    assert succeeded(verified.results)
    assert "verify" not in verified.keys


@pytest.mark.parametrize("id", BROKEN)
@pytest.mark.usefixtures("outcome")
def test_a_broken_deployment_fails_the_check_of_what_is_broken(id: str, verified: Verified) -> None:
    """With one thing broken, the check of it doesn't hold, and the others do."""
    results = verified.of_broken[id]

    assert len(results) == len(BROKEN)
    assert [each.check.id for each in results if each.verdict is not Verdict.HELD] == [id]
