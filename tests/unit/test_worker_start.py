"""A worker of a project with a mistake says where it is, and starts nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def count(:\n    pass\n", "tasks/count.py:1: it is not valid Python"),
        ("1 / 0\n", "tasks/count.py:1: importing this file raises ZeroDivisionError"),
        ("import nothing_of_this_name\n", "tasks/count.py:1: "),
        ("from celeriac import Queue\nQueue('A b')\n", "tasks/count.py:2: "),
    ],
)
def test_a_wrong_task_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    """File, line and fix stand in one line; the exit code is 2, as for any wrong setting."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    (tmp_path / "tasks" / "count.py").write_text(text)

    done = subprocess.run(
        [sys.executable, "-m", "celeriac.worker"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2
