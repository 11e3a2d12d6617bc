"""``celeriac keys``: the API keys, their tenants and their scopes."""

from __future__ import annotations

from typing import Annotated

import typer

from celeriac import clock
from celeriac.errors import unavailable
from celeriac.storage.keys import Scope, generate
from celeriac.storage.services import services

app = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A label that tells the key from others.")],
    tenant: Annotated[str, typer.Option(help="Whose tasks it sees.")] = "default",
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What the key may do. Repeat the option for several scopes."),
    ] = None,
) -> None:
    """Create a key and print it, once: only its hash is kept."""
    secret = generate()
    scopes = scope or [Scope.SUBMIT, Scope.READ, Scope.CANCEL]
    with unavailable("DynamoDB"):
        key = services().keys.register(secret, name=name, tenant=tenant, scopes=scopes)
    typer.echo(f"{key.id}  {key.name}  {key.tenant}  {' '.join(sorted(key.scopes))}", err=True)
    typer.echo(secret)


@app.command("list")
def list_keys() -> None:
    """Show all keys: id, name, tenant, scopes, creation."""
    with unavailable("DynamoDB"):
        found = services().keys.list()
    for key in found:
        created = clock.to_datetime(key.created_at).isoformat(timespec="seconds")
        typer.echo(f"{key.id}  {key.name}  {key.tenant}  {' '.join(sorted(key.scopes))}  {created}")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id that 'keys list' shows.")]) -> None:
    """Revoke a key. API processes that know it trust it for CELERIAC_API_KEY_CACHE at most."""
    with unavailable("DynamoDB"):
        key = services().keys.revoke(key_id)
    typer.echo(f"{key.id}  {key.name} is revoked.")
