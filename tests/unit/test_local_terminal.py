"""How the lines of programs are shown."""

from __future__ import annotations

import json

import pytest

from celeriac.local.terminal import Terminal, readable

ENTRY = {
    "time": "2026-01-31T12:34:56.789+00:00",
    "level": "ERROR",
    "logger": "celeriac.app.task",
    "message": "task failed",
    "task_id": "0189",
}


def test_json_logs_are_shown_for_people() -> None:
    """Time, level and message come first, then what else was logged."""
    assert readable(json.dumps(ENTRY)) == "12:34:56 ERROR   task failed task_id=0189"


def test_a_traceback_keeps_its_lines() -> None:
    """The exception follows its message, line by line."""
    entry = ENTRY | {"exception": "Traceback:\n  here\nValueError"}
    assert readable(json.dumps(entry)).splitlines()[1:] == ["Traceback:", "  here", "ValueError"]


@pytest.mark.parametrize(
    "line", ["plain", "", "{not json", '{"neither": "level"}', "[red]no[/red]"]
)
def test_other_lines_stay_as_they_are(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What isn't a log entry appears unchanged after its program's name."""
    Terminal().say("api", line)
    assert capsys.readouterr().out == f"     api | {line}\n"
