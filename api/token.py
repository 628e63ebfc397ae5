"""``python -m api.token``: a bearer token for trying the API, signed with the demo key kept in HOME.

``flowforge token`` runs it. Does not belong here: how tokens are made and checked (api.auth).
"""

from __future__ import annotations

import argparse
import sys

from api.auth import demo_token
from api.keyring import KeysUnusable
from api.scopes import SCOPES, Scope
from store.settings import SettingsInvalid, load_settings

ROLES = ("user", "service", "analyst", "operator")


def main(arguments: list[str] | None = None) -> None:
    """Print a token, or say on stderr why not (exit 1; 2 for wrong arguments)."""
    parser = argparse.ArgumentParser(prog="flowforge token", description="A bearer token for trying the API.")
    parser.add_argument("user")
    parser.add_argument("--role", choices=ROLES, default="user")
    parser.add_argument("--scope", action="append", default=[])
    parser.add_argument("--ttl", type=int, default=3600)
    options = parser.parse_args(arguments)
    if options.role == "user" and not options.user.isdigit():
        parser.error(f"{options.user!r} is not a user id: give a number, or --role service, analyst or operator")
    has = SCOPES[options.role]
    kept: list[Scope] = [known for known in has if known in options.scope]
    if unknown := sorted(set(options.scope).difference(kept)):
        parser.error(f"{options.role} has no scope {', '.join(unknown)}; it has {', '.join(sorted(has))}")
    try:
        settings = load_settings()
    except SettingsInvalid as error:
        parser.error(str(error))
    try:
        made = demo_token(settings, options.user, role=options.role, scopes=kept or None, ttl_seconds=options.ttl)
    except (KeysUnusable, OSError, ValueError) as error:
        sys.exit(f"flowforge token: {error}")
    sys.stdout.write(made + "\n")


if __name__ == "__main__":
    main()
