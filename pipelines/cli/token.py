"""``flowforge token``: a bearer token for trying the API (``python -m api.token``)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated, Literal

import typer

from store.settings import Settings


def token(
    user: Annotated[str, typer.Argument(help="The user's id, or a name for a service, analyst or operator.")],
    role: Annotated[
        Literal["user", "service", "analyst", "operator"], typer.Option(help="Whose token; decides the scopes.")
    ] = "user",
    scope: Annotated[list[str] | None, typer.Option(help="Keep only this scope of the role; repeatable.")] = None,
    ttl: Annotated[int, typer.Option(min=1, max=31_536_000, help="Seconds until it expires.")] = 3600,
) -> None:
    """Print a token for trying the API.

    For example: curl -H "Authorization: Bearer $(flowforge token 42)" http://127.0.0.1:8000/v2/me/feed

    Works only while AUTH__JWKS is unset and ENV is not production; real tokens come from your issuer.
    """
    scopes = [part for one in scope or [] for part in ("--scope", one)]
    command = [sys.executable, "-m", "api.token", user, "--role", role, "--ttl", str(ttl), *scopes]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def demo_token_of(settings: Settings, user_id: int) -> str:
    """A user's token for the demo's ``curl`` lines; valid for an hour."""
    command = [sys.executable, "-m", "api.token", str(user_id)]
    environment = {**os.environ, "FLOWFORGE_HOME": str(settings.home)}
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return done.stdout.strip()
