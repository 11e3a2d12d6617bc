"""The command line: ``python -m infra.verify dev``, or ``--moto``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from celeriac import catalogue
from infra.cdk.environments import environment
from infra.rehearsal.deployment import RehearsalError
from infra.verify import aws
from infra.verify.catalogue import checks
from infra.verify.deployment import CommandError, Deployment
from infra.verify.keys import make_key, revoke
from infra.verify.report import Result, markdown, succeeded, summary
from infra.verify.runner import run

#: An access token of the run's, with all scopes, where the deployment takes tokens.
TOKEN = "API_TOKEN"  # noqa: S105  the variable's name


def main(arguments: Sequence[str]) -> int:
    """Run the checks and print what held.

    The exit code is 1 if a claim didn't hold or something was left behind, and 2 if no check ran.
    """
    options = _parser().parse_args(arguments)
    known = checks(catalogue())
    chosen = [each for each in known if not options.only or each.id in options.only]
    if unknown := sorted(set(options.only) - {each.id for each in known}):
        sys.stderr.write(f"There is no check {unknown[0]!r}. docs/verifying.md lists the checks.\n")
        return 2
    try:
        with _target(options) as deployment, _key(deployment) as key:
            results = run(deployment, chosen, key=key, tell=_tell)
    except (
        LookupError,
        BotoCoreError,
        ClientError,
        CommandError,
        RehearsalError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"\n{summary(results)}\n")
    if options.report:
        name = "moto" if options.moto else f"{deployment.environment.prefix} in {deployment.region}"
        options.report.write_text(markdown(results, title=f"What held of {name}"))
    return 0 if succeeded(results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.verify", description=__doc__)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("environment", nargs="?", help="of infra/cdk/environments.py, deployed")
    target.add_argument("--moto", action="store_true", help="deploy to moto, and try it there")
    parser.add_argument("--protected", action="store_true", help="try one that has `protect`")
    parser.add_argument("--report", type=Path, help="write the report to this file, as Markdown")
    parser.add_argument("--only", nargs="+", default=[], metavar="CHECK", help="run these alone")
    return parser


@contextmanager
def _target(options: argparse.Namespace) -> Iterator[Deployment]:
    if not options.moto:
        chosen = environment(options.environment)
        if chosen.protect and not options.protected:
            raise LookupError(
                f"{chosen.name} is protected, and the checks stop a worker and set off an alarm. "
                "Add --protected to run them all the same."
            )
        yield aws.deployment(chosen)
        return
    # It loads the CDK, which checks of a deployment on AWS don't need.
    from infra.verify import moto

    with tempfile.TemporaryDirectory(prefix="celeriac-verify-") as directory:
        sys.stdout.write("Deploying to moto takes a minute or two.\n")
        sys.stdout.flush()
        with moto.deployed(Path(directory)) as deployment:
            yield deployment


@contextmanager
def _key(deployment: Deployment) -> Iterator[str]:
    """A key for the run, revoked after it; or the token of ``API_TOKEN``."""
    if deployment.environment.jwt:
        if not (token := os.environ.get(TOKEN)):
            raise LookupError(f"This deployment takes tokens. Set {TOKEN} to one with all scopes.")
        yield token
        return
    key = make_key(deployment, scope="admin")
    try:
        yield key.secret
    finally:
        revoke(deployment, key)


def _tell(result: Result) -> None:
    sys.stdout.write(f"{result.line}\n")
    for each in result.left_behind:
        sys.stdout.write(f"{'':16}left behind: {each}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
