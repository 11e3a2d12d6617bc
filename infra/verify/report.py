"""What a run found, for people: a line a check, and a page of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from infra.verify.check import Check


class Verdict(StrEnum):
    """What a trial says of a claim. What could not be tried is never held."""

    HELD = "held"
    NOT_HELD = "not held"
    NOT_SHOWN = "not shown here"


@dataclass(frozen=True, kw_only=True)
class Result:
    """A check's verdict, what shows it, and what could not be cleaned up."""

    check: Check
    verdict: Verdict
    evidence: str
    took: timedelta
    left_behind: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The result for a terminal."""
        seconds = self.took.total_seconds()
        return f"{self.verdict:14}  {self.check.id:22} {seconds:6.1f} s  {self.evidence}"


def succeeded(results: Sequence[Result]) -> bool:
    """Whether all held that could be shown, and nothing was left behind."""
    return all(each.verdict is not Verdict.NOT_HELD and not each.left_behind for each in results)


def summary(results: Sequence[Result]) -> str:
    """How many of each verdict."""
    counts = Counter(each.verdict for each in results)
    return ", ".join(f"{counts[each]} {each}" for each in Verdict)


def markdown(results: Sequence[Result], *, title: str) -> str:
    """The report as a page."""
    rows = (
        (
            f"`{each.check.id}`",
            each.check.claims,
            f"**{each.verdict}**",
            each.evidence,
            f"{each.took.total_seconds():.1f} s",
        )
        for each in results
    )
    left = [f"- `{each.check.id}`: {what}\n" for each in results for what in each.left_behind] or [
        "Nothing but records, log lines and metrics, which expire.\n"
    ]
    return (
        f"# {title}\n\n{summary(results)}\n\n"
        "| check | claim | verdict | evidence | took |\n|---|---|---|---|--:|\n"
        + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)
        + "\n## Left behind\n\n"
        + "".join(left)
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
