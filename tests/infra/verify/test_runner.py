"""Running checks: every verdict, whatever a check does, and what it leaves."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from infra.verify import __main__ as command_line
from infra.verify.check import Check, NotHeld, NotShown
from infra.verify.report import Result, Verdict, markdown, succeeded, summary
from infra.verify.runner import run
from infra.verify.trial import Trial
from tests.infra.conftest import ROOT
from tests.infra.verify.stubbed import Aws, ScriptedApi, Stubbed, stubbed


def check(id: str, attempt: object, *, limit: float = 5, only_aws: str | None = None) -> Check:
    return Check(
        id=id,
        claims="It holds.",
        proves="verifying.md",
        attempt=attempt,  # type: ignore[arg-type]
        only_aws=only_aws,
        limit=timedelta(seconds=limit),
    )


class OnMoto(Stubbed):
    """The same, where only some can be shown."""

    @property
    def on_moto(self) -> bool:
        return True


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
def deployment(api: ScriptedApi) -> Stubbed:
    return stubbed(Aws(), api)


def holds(trial: Trial) -> str:
    return "seen"


def does_not_hold(trial: Trial) -> str:
    raise NotHeld("it was something else")


def is_not_shown(trial: Trial) -> str:
    raise NotShown("there is no mail")


def is_wrong(trial: Trial) -> str:
    return {"a": "b"}["c"]


def never_ends(trial: Trial) -> str:
    return trial.until(lambda: "", "end", every=0.05)


def test_every_check_is_run_whatever_the_others_do(deployment: Stubbed) -> None:
    """A claim that fails, a mistake in a check, or a wait that is over, ends that check alone."""
    attempts = [does_not_hold, is_wrong, never_ends, is_not_shown, holds]
    results = run(deployment, [check(each.__name__, each, limit=0.2) for each in attempts], key="k")

    found = [(each.verdict, each.evidence) for each in results]
    assert found == [
        (Verdict.NOT_HELD, "it was something else"),
        (Verdict.NOT_HELD, "KeyError: 'c'"),
        (Verdict.NOT_HELD, "there was no end within 0:00:00.200000"),
        (Verdict.NOT_SHOWN, "there is no mail"),
        (Verdict.HELD, "seen"),
    ]
    assert summary(results) == "1 held, 3 not held, 1 not shown here"


def test_what_moto_cannot_show_is_never_held(deployment: Stubbed) -> None:
    """Such a check isn't even tried there, and its reason is reported. On AWS it is tried."""
    only_aws = check("alarm", holds, only_aws="moto evaluates no alarm.")
    moto = OnMoto(**{name: getattr(deployment, name) for name in Stubbed.__dataclass_fields__})

    (there,) = run(moto, [only_aws], key="k")
    (here,) = run(deployment, [only_aws], key="k")

    assert (there.verdict, there.evidence) == (Verdict.NOT_SHOWN, "moto evaluates no alarm.")
    assert here.verdict is Verdict.HELD


def test_what_a_check_made_is_undone_last_first(deployment: Stubbed) -> None:
    """Also after a failure, and when something else can't be undone, which is reported."""
    undone: list[str] = []

    def fails(trial: Trial) -> str:
        trial.undoes(lambda: undone.append("first"))
        trial.undoes(lambda: does_not_hold(trial))
        trial.undoes(lambda: undone.append("last"))
        raise NotHeld("it broke")

    (result,) = run(deployment, [check("fails", fails)], key="k")

    assert undone == ["last", "first"]
    assert result.left_behind == ("NotHeld: it was something else",)
    assert not succeeded([result])


@pytest.mark.parametrize("status", [200, 202, 409, 404, 500])
def test_a_submitted_task_is_cancelled_afterwards(
    status: int, api: ScriptedApi, deployment: Stubbed
) -> None:
    """One that has ended needs no cancelling; any other refusal is reported."""
    api.says("POST /tasks/long-running", 202, {"task_id": "t1"})
    api.says("DELETE /tasks/t1", status, {})

    (result,) = run(
        deployment, [check("submits", lambda trial: trial.submit("long-running", {}))], key="k"
    )

    assert result.verdict is Verdict.HELD
    left = ("NotHeld: DELETE /tasks/t1 answered 500",)
    assert result.left_behind == (left if status == 500 else ())


def test_a_task_that_ends_otherwise_is_not_held(api: ScriptedApi, deployment: Stubbed) -> None:
    """The evidence has the state and the error."""
    error = {"type": "no-address", "message": "There is none."}
    ended = {"type": "send-email", "status": "FAILURE", "error": error}
    api.says("GET /tasks/t1", 200, ended)

    (result,) = run(deployment, [check("ends", lambda trial: trial.ends("t1"))], key="k")

    assert result.verdict is Verdict.NOT_HELD
    assert "send-email t1 ended in FAILURE" in result.evidence
    assert "no-address" in result.evidence


def results() -> list[Result]:
    def result(id: str, verdict: Verdict, left: tuple[str, ...] = ()) -> Result:
        return Result(
            check=check(id, holds),
            verdict=verdict,
            evidence="a | b",
            took=timedelta(seconds=1.25),
            left_behind=left,
        )

    return [result("good", Verdict.HELD), result("bad", Verdict.NOT_HELD, ("a schedule",))]


def test_the_report_has_a_row_for_each_check() -> None:
    """With verdict, evidence and duration; then what was left behind."""
    page = markdown(results(), title="What held")

    assert "1 held, 1 not held, 0 not shown here" in page
    assert "| `good` | It holds. | **held** | a \\| b | 1.2 s |" in page
    assert "- `bad`: a schedule" in page
    assert "Nothing but records" in markdown(results()[:1], title="What held")


def test_what_was_not_shown_is_no_failure() -> None:
    """Success is that all held which could be shown."""
    good, bad = results()
    hidden = Result(
        check=good.check, verdict=Verdict.NOT_SHOWN, evidence="", took=timedelta(seconds=0)
    )

    assert succeeded([good, hidden])
    assert not succeeded([good, bad])


def test_an_interrupted_run_is_cleaned_up(deployment: Stubbed) -> None:
    """Ctrl-C leaves no task behind."""
    undone: list[str] = []

    def interrupted(trial: Trial) -> str:
        trial.undoes(lambda: undone.append("undone"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(deployment, [check("interrupted", interrupted)], key="k")

    assert undone == ["undone"]


def test_a_protected_environment_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody stops a worker of prod by a slip of the pen."""
    assert command_line.main(["prod"]) == 2
    assert "prod is protected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (["verify", "ENV=prod"], "-m infra.verify prod"),
        (["verify", "REPORT=a.md", "ONLY=roles mail"], "dev --report a.md --only roles mail"),
        (["verify-moto", "ONLY=roles"], "-m infra.verify --moto --only roles"),
    ],
)
def test_make_gives_the_command_what_it_was_given(asked: list[str], given: str) -> None:
    """Environment, report and checks."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", *asked],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    assert " ".join(done.stdout.splitlines()[-1].split()).endswith(given)


def test_an_unknown_check_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is deployed or asked, and the message names it."""
    assert command_line.main(["dev", "--only", "moon"]) == 2
    assert "'moon'" in capsys.readouterr().err


def test_the_command_runs_with_a_key_that_it_revokes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    api: ScriptedApi,
    deployment: Stubbed,
) -> None:
    """The exit code, the printed lines and the report say the same."""
    commands: list[str] = []
    names: list[str] = []

    def celeriac(_: Stubbed, *arguments: str) -> str:
        commands.append(" ".join(arguments[:2]))
        match arguments:
            case ["keys", "create", name, *_]:
                names.append(name)
                return "secret"
            case ["keys", "list"]:
                return f"id1  other  verify  admin\nid2  {names[0]}  verify  admin"
        return ""

    monkeypatch.setattr(Stubbed, "celeriac", celeriac)
    monkeypatch.setattr("infra.verify.aws.deployment", lambda environment: deployment)
    api.says("GET /health/ready", 200, {"checks": {"s3": "failed"}})
    report = tmp_path / "report.md"

    code = command_line.main(["dev", "--only", "ready", "--report", str(report)])

    assert code == 1
    assert commands == ["keys create", "keys list", "keys revoke"]
    assert json.dumps({"s3": "failed"}).replace('"', "'") in capsys.readouterr().out
    assert "**not held**" in report.read_text()
