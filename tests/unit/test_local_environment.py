"""The variables that point a process at the AWS on this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from celeriac.local import environment
from celeriac.local.ports import PortError, Ports
from celeriac.local.welcome import welcome
from celeriac.settings import Settings
from tasks.queues import EMAIL

ENDPOINT = "http://127.0.0.1:5055"


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment to change, put back afterwards."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_another_process_gets_the_same_settings(own_environment: None) -> None:
    """Settings read from the variables are the ones they were made from."""
    environment.enter(environment.variables(ENDPOINT))
    assert Settings() == environment.settings_at(ENDPOINT)
    assert Settings().queue_url(EMAIL) == f"{ENDPOINT}/123456789012/celeriac-email"


def test_nothing_leads_to_a_real_account(own_environment: None) -> None:
    """Profiles, tokens and endpoints of the user's shell don't reach the local stack."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS"):
        os.environ[name] = "real"

    environment.enter(environment.variables(ENDPOINT))

    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    assert aws == environment.aws_variables(ENDPOINT)


def test_loopback_is_reached_past_any_proxy(own_environment: None) -> None:
    """A proxy stays in use for what it was in use for, and isn't asked for this machine."""
    os.environ |= {"no_proxy": "intranet", "NO_PROXY": "intranet"}
    environment.enter({})
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "intranet,127.0.0.1"


def test_a_shell_reads_the_file_as_we_do(tmp_path: Path) -> None:
    """Quotes, spaces and dollars survive sourcing, and reading."""
    values = {"A": "it's $HOME", "B": "", "C": "two words", "D": "a=b"}
    path = tmp_path / "env"
    path.write_text(environment.to_shell(values))

    script = '. "$1"; printf "%s|%s|%s|%s" "$A" "$B" "$C" "$D"'
    sourced = subprocess.run(
        ["sh", "-c", script, "sh", path], capture_output=True, text=True, check=True
    )

    assert sourced.stdout == "|".join(values.values())
    assert environment.read(path) == values


@pytest.mark.parametrize("wrong", ["http", "0", "65536", "-1", "80.5", "٣"])
def test_a_wrong_port_is_named(wrong: str) -> None:
    """A port that isn't one is an error that names the variable and the value."""
    with pytest.raises(PortError, match=f"Port {wrong} is not a number.*--api-port or API_PORT"):
        Ports.chosen(variables={"API_PORT": wrong})


def test_one_port_cannot_serve_both() -> None:
    """The API and AWS need a port each."""
    with pytest.raises(PortError, match="can't be both"):
        Ports.chosen(variables={"API_PORT": "18321", "AWS_PORT": "18321"})


def test_the_welcome_can_be_pasted() -> None:
    """The commands shown name the API's port and the key, and each is one command to a shell."""
    sample = ("/tasks/greet", '{"name": "it\'s me"}')
    text = welcome(Ports(api=8123, aws=5055), "cel_secret", Path("key"), sample)
    submit, follow = (part for part in text.split("\n\n") if part.startswith("curl"))
    for command in (submit, follow):
        shown = subprocess.run(
            ["sh", "-c", f"curl() {{ printf '%s\\n' \"$@\"; }}\n{command}"],
            capture_output=True,
            text=True,
            check=True,
        )
        words = shown.stdout.splitlines()
        assert words[0] == "-sS"
        assert words[1].startswith("http://127.0.0.1:8123/tasks/")
        assert "Authorization: Bearer cel_secret" in words
        if command == submit:
            assert words[-1] == sample[1]
