"""The Lambda's cold start: api.handler imports little, and no more than the api extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What only workers use, and what only development does.
FORBIDDEN = (
    "PIL",
    "celery.apps",
    "celery.bin",
    "celery.concurrency.prefork",
    "celery.worker",
    "duckdb",
    "jinja2",
    "local",
    "moto",
    "pycurl",
    "pypdf",
    "typst",
    "uvicorn",
    "worker",
    "xlsxwriter",
)

HANDLER = """
import sys
sys.path.insert(0, {root!r})
import api.handler
loaded = [name for name in {forbidden!r} if name in sys.modules]
assert not loaded, f"api.handler loads {{', '.join(loaded)}}"
answer = api.handler.handler({{
    "version": "2.0",
    "rawQueryString": "",
    "headers": {{"host": "api"}},
    "requestContext": {{"http": {{"method": "GET", "path": "/health", "sourceIp": "::1"}}}},
}}, None)
assert answer["statusCode"] == 200, answer
print("imported from", api.handler.__file__)
"""


def run(python: list[str], code: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*python, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"imported from {ROOT}" in done.stdout


def test_the_handler_loads_nothing_that_only_workers_need() -> None:
    """Heavy libraries stay out of the import, whether or not they are installed."""
    run([sys.executable], HANDLER.format(root=str(ROOT), forbidden=FORBIDDEN), {})


@pytest.fixture(scope="module")
def api_extra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what locks/api.txt names, and nothing else."""
    target = tmp_path_factory.mktemp("api-extra")
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"),
            *("--require-hashes", "--requirement", str(ROOT / "locks" / "api.txt")),
            *("--target", str(target), "--python", sys.executable, "--link-mode", "symlink"),
        ],
        check=True,
        timeout=120,
    )
    return target


def test_the_handler_needs_the_api_extra_only(api_extra: Path) -> None:
    """What the Lambda ships is enough: no other installed package is in reach."""
    code = f"import sys; sys.path.insert(0, {str(api_extra)!r})\n" + HANDLER.format(
        root=str(ROOT), forbidden=FORBIDDEN
    )
    # -I -S: neither the environment's packages nor the user's, nor the working directory.
    run([sys.executable, "-I", "-S"], code, {})
