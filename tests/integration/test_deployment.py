"""The whole system, deployed by the real command line to AWS as moto plays it, and used.

The API runs in AWS's own Lambda runtime client, the workers from the container definitions that
were deployed, and each caller's calls are held against its role's policies.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.rehearsal.__main__ import Outcome, rehearse
from tasks.contract import catalogue


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory: Path = tmp_path_factory.mktemp("rehearsal")
    return rehearse(directory)


def test_every_task_type_reaches_success(outcome: Outcome) -> None:
    """With nothing but what the deployment left as settings, a task of each type succeeds."""
    assert outcome.states.keys() >= catalogue().keys()
    assert set(outcome.states.values()) == {"SUCCESS"}


def test_every_resource_is_made(outcome: Outcome) -> None:
    """All but the bucket's policy, which refuses plain HTTP, the only thing spoken here."""
    assert outcome.ignored == ["AWS::S3::BucketPolicy"]


def test_every_call_is_allowed_to_its_caller(outcome: Outcome) -> None:
    """No call of the API or a worker lies outside the policies of its role."""
    assert outcome.permissions.denied == []
    assert outcome.permissions.allowed > 0


def test_every_grant_is_used_or_has_a_reason(outcome: Outcome) -> None:
    """What a role may do and nobody did is there for a written reason."""
    assert outcome.permissions.unexplained == []
    assert outcome.permissions.stale == []
