"""``celeriac keys``: make, list and revoke API keys."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from celeriac.cli.main import main
from celeriac.settings import Settings
from celeriac.storage.keys import Scope
from celeriac.storage.services import reset, services
from tests.unit.engine.support import out_of_reach

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(aws: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["celeriac", "keys", *arguments])
        try:
            code = main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


def test_a_key_is_shown_once(run: Run) -> None:
    """Alone on standard output, so that it can be piped; the rest goes to standard error."""
    code, secret, beside = run("create", "ci", "--tenant", "shop", "--scope", "read")

    key = services().keys.find(secret.strip())
    assert code == 0
    assert key is not None
    assert secret == secret.strip() + "\n"
    assert (key.name, key.tenant, key.scopes) == ("ci", "shop", frozenset({Scope.READ}))
    assert secret.strip() not in beside
    assert key.id in beside

    _, listed, _ = run("list")
    assert key.id in listed
    assert secret.strip() not in listed


def test_a_key_may_do_the_usual_unless_told(run: Run) -> None:
    """Submit, read and cancel; not administer."""
    _, secret, _ = run("create", "usual")

    key = services().keys.find(secret.strip())
    assert key is not None
    assert key.tenant == "default"
    assert key.scopes == {Scope.SUBMIT, Scope.READ, Scope.CANCEL}


def test_keys_are_listed(run: Run) -> None:
    """A line each: id, name, tenant, scopes, creation."""
    _, _, beside = run("create", "listed", "--tenant", "shop", "--scope", "admin")

    _, listed, _ = run("list")

    [line] = [line for line in listed.splitlines() if "listed" in line]
    assert line.startswith(beside.split()[0])
    assert "shop  admin  20" in line


def test_a_key_is_revoked(run: Run) -> None:
    """By the id that the list shows."""
    _, secret, beside = run("create", "short-lived")
    key_id = beside.split()[0]

    code, said, _ = run("revoke", key_id)

    assert (code, said) == (0, f"{key_id}  short-lived is revoked.\n")
    assert services().keys.find(secret.strip()) is None


@pytest.mark.parametrize(
    ("arguments", "exit_code", "error"),
    [
        (("revoke", "0123456789ab"), 1, "There is no API key '0123456789ab'."),
        (("revoke", ""), 1, "There is no API key ''."),
        (("create", "x", "--tenant", "A/b"), 2, "A tenant can't be called 'A/b'."),
    ],
)
def test_a_wrong_argument_is_one_line(
    run: Run, arguments: tuple[str, ...], exit_code: int, error: str
) -> None:
    """It is on standard error, without a traceback. Code 2 means wrong use, 1 a failure."""
    code, said, beside = run(*arguments)

    assert (code, said) == (exit_code, "")
    assert beside.startswith(error)
    assert beside.count("\n") == 1


def test_an_outage_is_one_line(run: Run, at_once: None) -> None:
    """DynamoDB can't be reached: no secret is shown that was not stored."""
    with out_of_reach("dynamodb"):
        code, said, beside = run("create", "x")

    assert (code, said) == (1, "")
    assert beside == "DynamoDB can't be reached now. Try again in a few seconds.\n"


def test_a_wrong_setting_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its variable."""
    monkeypatch.setenv("CELERIAC_LISTING_SHARDS", "many")
    reset()
    try:
        code, said, beside = run("list")
    finally:
        reset()

    assert (code, said) == (2, "")
    assert beside.startswith("CELERIAC_LISTING_SHARDS: ")
    assert beside.count("\n") == 1


def test_a_missing_table_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that isn't there, or another region: what AWS says, without a traceback."""
    monkeypatch.setenv("CELERIAC_TABLE_NAME", "elsewhere")
    reset()
    try:
        code, said, beside = run("list")
    finally:
        reset()

    assert (code, said) == (2, "")
    assert "ResourceNotFoundException" in beside
    assert beside.count("\n") == 1
