"""What the pages and the code call unverified on AWS is tried by ``make verify``."""

from __future__ import annotations

import re

import pytest

from docs import verifying_page
from docs.built_in import built_in_catalogue
from infra.verify.catalogue import checks
from tests.architecture.pages import PAGES, ROOT

#: A mark, and the checks that it names in brackets.
MARK = re.compile(r"unverified on AWS(?: \((`[^)]*)\))?")
MARKED = sorted(
    [
        *PAGES,
        *(
            path
            for room in ("api", "bench", "celeriac", "infra", "tasks", "worker")
            for path in (ROOT / room).rglob("*.py")
        ),
    ]
)
CHECKS = checks(built_in_catalogue())


def test_the_page_of_checks_is_in_step() -> None:
    """It has every check, as the code claims it."""
    assert verifying_page.PAGE.read_text() == verifying_page.page(), "Generate it again: make docs"


def test_every_check_has_a_name_of_its_own() -> None:
    """The report and the marks name a check by it."""
    names = [each.id for each in CHECKS]

    assert len(set(names)) == len(names)


def test_everything_unverified_names_its_checks() -> None:
    """A mark such as "unverified on AWS" without a check's name would never be tried."""
    known = {each.id for each in CHECKS}
    marks = {
        (str(path.relative_to(ROOT)), names)
        for path in MARKED
        for names in MARK.findall(" ".join(path.read_text("utf-8").replace("#", " ").split()))
    }

    assert ("docs/quotas.md", "`quotas`, `mail`") in marks
    for page, names in marks:
        named = set(re.findall(r"`([a-z-]+)`", names))
        assert named, page
        assert named <= known, page


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_claim_is_one_sentence(check: object) -> None:
    """What it claims is a sentence; why moto can't show it is one too."""
    (found,) = (each for each in CHECKS if each is check)

    assert found.claims.endswith(".")
    assert found.claims.count(". ") == 0
    assert len(found.claims.split()) <= 25
    assert found.only_aws is None or found.only_aws.endswith(".")
