"""What a check is: a claim about a deployment, and the function that tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.verify.trial import Trial

#: Tries the claim, and returns what shows that it holds.
Attempt = Callable[["Trial"], str]


class NotHeld(Exception):
    """The claim doesn't hold. The message says what was found instead."""


class NotShown(Exception):
    """This deployment can't show the claim, as it is. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A claim in one sentence, and its trial.

    ``proves`` is the chapter under ``docs/`` that says so. ``only_aws`` is why moto can't show it;
    None if it can. ``limit`` ends every wait of the trial.
    """

    id: str
    claims: str
    proves: str
    attempt: Attempt
    only_aws: str | None = None
    limit: timedelta = timedelta(minutes=2)


def check(
    id: str,
    *,
    claims: str,
    proves: str,
    only_aws: str | None = None,
    limit: timedelta = timedelta(minutes=2),
) -> Callable[[Attempt], Check]:
    """Make a check of the function that tries it."""

    def made(attempt: Attempt) -> Check:
        return Check(
            id=id, claims=claims, proves=proves, attempt=attempt, only_aws=only_aws, limit=limit
        )

    return made
