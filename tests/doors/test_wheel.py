"""The wheel: the library alone, which breaks nothing next to it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.doors.conftest import MakeEnvironment


def test_it_holds_the_library_alone(wheel: Path) -> None:
    """At its top level stands ``celeriac``: a user's own ``tasks`` and ``api`` are safe."""
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.partition("/")[0] for name in names} == {
        "celeriac",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
    assert "celeriac/py.typed" in names


def test_its_contents_are_what_a_wheels_should_be(wheel: Path) -> None:
    """``check-wheel-contents`` finds nothing to say."""
    checked = subprocess.run(
        [Path(sys.executable).with_name("check-wheel-contents"), wheel],
        check=False,
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stdout


def test_a_bare_install_has_the_command_and_the_contract(environment: MakeEnvironment) -> None:
    """Without extras a task file can be written and tested, and ``celeriac`` answers."""
    python = environment()
    code = "import celeriac, celeriac.testing; print(celeriac.task, celeriac.testing.FakeContext)"

    for command in ([str(python.with_name("celeriac")), "--help"], [str(python), "-c", code]):
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stderr
