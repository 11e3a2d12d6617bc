"""The command line: ``python -m celeriac``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from pydantic import ValidationError

from celeriac import clock
from celeriac.commands import queues, tasks, workers
from celeriac.errors import CeleriacError, unavailable
from celeriac.keys import KeyNotFoundError, Scope, TenantNameError, generate
from celeriac.services import services
from celeriac.settings import explain

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
keys = typer.Typer(no_args_is_help=True, help="API keys: who may use the HTTP API, and for what.")
app.add_typer(keys, name="keys")
app.add_typer(queues.app, name="queues")
app.add_typer(tasks.app, name="tasks")
app.add_typer(workers.app, name="worker")


@app.callback()
def root() -> None:
    """Look after a Celeriac deployment. Settings come from CELERIAC_… and AWS_… variables."""


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, to tell it from others.")],
    tenant: Annotated[str, typer.Option(help="Whose tasks it sees.")] = "default",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do; give it several times for several.")
    ] = None,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept."""
    secret = generate()
    scopes = scope or [Scope.SUBMIT, Scope.READ, Scope.CANCEL]
    with unavailable("DynamoDB"):
        key = services().keys.register(secret, name=name, tenant=tenant, scopes=scopes)
    typer.echo(f"{key.id}  {key.name}  {key.tenant}  {' '.join(sorted(key.scopes))}", err=True)
    typer.echo(secret)


@keys.command("list")
def list_keys() -> None:
    """Show all keys: id, name, tenant, scopes, creation."""
    with unavailable("DynamoDB"):
        found = services().keys.list()
    for key in found:
        created = clock.to_datetime(key.created_at).isoformat(timespec="seconds")
        typer.echo(f"{key.id}  {key.name}  {key.tenant}  {' '.join(sorted(key.scopes))}  {created}")


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id that 'keys list' shows.")]) -> None:
    """End a key. API processes that have seen it forget it within CELERIAC_API_KEY_CACHE."""
    with unavailable("DynamoDB"):
        key = services().keys.revoke(key_id)
    typer.echo(f"{key.id}  {key.name} is revoked.")


def main() -> int:
    """Run a command; an error is one line and exit code 1."""
    try:
        app()
    except ValidationError as error:
        # Only the settings are validated here: an argument's error is the command's own to tell.
        sys.stderr.write(f"{explain(error)}\n")
    except (CeleriacError, KeyNotFoundError, TenantNameError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
