"""What `celeriac dev` finds out about a project before it starts or restarts it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from celeriac.local.inspection import inspect


def test_an_import_that_never_ends_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up in the time that a reload has, and the file and the line are named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    (tmp_path / "tasks" / "endless.py").write_text("A = 1\nwhile True:\n    A = 2\n")

    inspection = inspect(longest=timedelta(seconds=2))

    [fault] = inspection.faults
    assert inspection.fatal
    assert str(fault.file).endswith("tasks/endless.py")
    assert fault.line in {2, 3}
    assert fault.fault == "importing this file takes more than 2 seconds"
