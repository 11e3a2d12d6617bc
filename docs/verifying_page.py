"""Writes ``docs/verifying.md`` from the checks of ``infra/verify``: ``make docs``."""

from __future__ import annotations

from pathlib import Path

from docs.built_in import built_in_catalogue
from infra.verify.catalogue import checks

PAGE = Path(__file__).with_name("verifying.md")

INTRODUCTION = """\
# Verifying a deployment

Made from `infra/verify/` by `make docs`: change the claims there.

Celeriac has not run on AWS yet. Its tests run against moto and a stand-in for AWS. Where a page
says "unverified", it names the check that tries the statement. With an account, these commands run
all checks:

    make deploy ENV=dev
    make verify ENV=dev REPORT=verified.md

`make verify` uses the same credentials and region as the deployment, and reads the rest from the
outputs. It prints a line for each check, and writes a report to the file that `REPORT` names.

| exit code of `python -m infra.verify` | meaning |
|---|---|
| 0 | Every claim that could be shown held. |
| 1 | A claim didn't hold, or something couldn't be removed afterwards. |
| 2 | No check ran, for example because there is no such deployment. |

`make` shows the code of a failure, and exits with 2 itself.

To run one check by itself:

    make verify ENV=dev ONLY=roles

A deployment that takes [tokens](options.md#tokens-in-place-of-keys) has no keys. Set `API_TOKEN`
to a token with all scopes.

Without an account, this command deploys to moto, and tries what moto can show:

    make verify-moto

A claim that can't be tried there is reported as "not shown here", with the reason. It never counts
as held.

## What it does to the deployment

- It takes about an hour. Most of that is waiting: for an alarm, for metrics, and for a fleet to
  fall asleep.
- It costs about 20 cents: up to five workers for most of an hour, and the task types' metrics.
- It submits tasks as its own tenant, `verify`, with a key that it revokes at the end.
- It sets the desired count of the `default` queue's fleet to 0 if the queue is empty, and wakes it.
- It stops one worker of that queue. The worker's other tasks drain, as in a deployment.
- It sends unreadable messages to the `default` queue, and removes them afterwards. They set off the
  dead-letter alarm, which mails you.
- It doesn't touch queues that others use. A check that needs an idle fleet, or an empty dead-letter
  queue, is then not shown.

Afterwards it removes its keys, schedules and messages, and cancels its tasks. Its records, files,
log lines and metrics expire like all others. The report lists what couldn't be removed.

Run it on `dev`. It refuses a protected environment unless the command has `--protected`.

## What it doesn't try

- Options that the environment doesn't use, such as another network, SnapStart, or a domain.
- Deploying: rollback, upgrade, teardown, and the workflow in GitHub Actions.
- Restoring records, and requests for higher quotas.
- A worker that is lost without notice, because ECS sends a signal first. The fault tests kill
  workers.
- Load.

## The checks

The checks run in this order. Those marked only "AWS" need an account.

| check | claims | said in | shown on |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(
        f"| `{each.id}` | {each.claims} | [{each.proves.partition('#')[0].removesuffix('.md')}]"
        f"({each.proves}) | {'AWS' if each.only_aws else 'AWS, moto'} |\n"
        for each in checks(built_in_catalogue())
    )


if __name__ == "__main__":
    PAGE.write_text(page())
