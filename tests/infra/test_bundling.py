"""The Lambda's zip, built as a deployment builds it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from celeriac.cdk import Sources, function_code
from tests.infra.conftest import ROOT, Synthesized, as_list, statements

MOST_ZIPPED = 25 * 10**6
SOURCES = Sources.of(ROOT)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bundle") / "api"
    target.mkdir()
    function_code.build(SOURCES, target)
    return target


def test_the_zip_is_small(bundle: Path) -> None:
    """Under 25 MB zipped: a cold start fetches it whole."""
    archive = Path(shutil.make_archive(str(bundle), "zip", bundle))

    assert archive.stat().st_size < MOST_ZIPPED


def test_every_compiled_file_is_of_lambdas_python_and_unchecked(bundle: Path) -> None:
    """Each source file has its compiled one, with that version's magic number and no time check."""
    magic = bytes.fromhex(
        subprocess.run(
            [
                function_code.lambda_python(),
                "-c",
                "import importlib.util; print(importlib.util.MAGIC_NUMBER.hex())",
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    sources = list(bundle.rglob("*.py"))

    assert sources
    for source in sources:
        tag = f"cpython-{function_code.PYTHON_VERSION.replace('.', '')}"
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        header = compiled.read_bytes()[:8]
        assert header[:4] == magic
        # Bit 0: hash-based; bit 1 clear: never checked against the source.
        assert int.from_bytes(header[4:], "little") == 0b01


def test_binaries_are_for_lambdas_processor(bundle: Path) -> None:
    """Every shared object is a 64-bit ARM one."""
    objects = list(bundle.rglob("*.so"))

    assert objects
    for each in objects:
        header = each.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == 0xB7


def test_it_has_our_packages_and_the_api_extra_only(bundle: Path) -> None:
    """The app, the engine and the task files are in; what workers need is not."""
    assert (bundle / "celeriac" / "settings.py").is_file()
    assert (bundle / "celeriac" / "contract" / "task_type.py").is_file()
    for heavy in ("PIL", "duckdb", "pycurl", "moto", "worker", "infra"):
        assert not (bundle / heavy).exists()
    for tool in ("cdk", "cli", "local", "testing", "worker"):
        assert not (bundle / "celeriac" / tool).exists()


def test_the_service_descriptions_are_those_that_the_role_may_call(
    with_options: Synthesized,
) -> None:
    """botocore's data is cut to the services the function is granted."""
    granted = {
        action.partition(":")[0]
        for statement in statements(with_options.properties("api", "AWS::IAM::Policy"))
        for action in as_list(statement["Action"])
    }

    # Its log is written by Lambda itself, under the same role; the services call KMS for it.
    assert granted - {"iam", "kms", "logs"} == set(function_code.SERVICES)


def test_a_change_in_a_source_file_makes_another_zip(project: Path) -> None:
    """The asset's hash covers the lock and every file of the project's packages, and no other."""
    sources = Sources.of(project)
    before = function_code.source_hash(sources)

    (project / "README.md").write_text("")
    assert function_code.source_hash(sources) == before

    (project / "tasks" / "another.py").write_text("")
    with_another = function_code.source_hash(sources)
    (project / "locks" / "api.txt").write_text("boto3==1.44.6\n")

    assert len({before, with_another, function_code.source_hash(sources)}) == 3
