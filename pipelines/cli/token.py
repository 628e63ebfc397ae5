"""``flowforge token``: a bearer token for trying the API, signed with the demo key kept in HOME."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from api.auth import demo_token
from api.keyring import KeysUnusable
from api.scopes import SCOPES, Scope
from pipelines.cli.console import fail
from store.settings import load_settings


def token(
    user: Annotated[str, typer.Argument(help="The user's id, or a name for a service, analyst or operator.")],
    role: Annotated[
        Literal["user", "service", "analyst", "operator"], typer.Option(help="Whose token; decides the scopes.")
    ] = "user",
    scope: Annotated[list[str] | None, typer.Option(help="Keep only this scope of the role; repeatable.")] = None,
    ttl: Annotated[int, typer.Option(min=1, max=31_536_000, help="Seconds until it expires.")] = 3600,
) -> None:
    """Print a token for trying the API: `curl -H "Authorization: Bearer $(flowforge token 42)" …`.

    Works only while AUTH__JWKS is unset and ENV is not production; real tokens come from your issuer.
    """
    if role == "user" and not user.isdigit():
        fail(f"{user!r} is not a user id: give a number, or choose --role service, analyst or operator", 2)
    kept: list[Scope] | None = None
    if scope:
        kept = [known for known in SCOPES[role] if known in scope]
        unknown = sorted(set(scope).difference(kept))
        if unknown:
            fail(f"{role} has no scope {', '.join(unknown)}; it has {', '.join(sorted(SCOPES[role]))}", 2)
    try:
        made = demo_token(load_settings(), user, role=role, scopes=kept, ttl_seconds=ttl)
    except (KeysUnusable, OSError, ValueError) as error:
        fail(str(error))
    typer.echo(made)
