"""``flowforge serve``: the API on this machine, until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from api.keyring import KeyRing, KeysUnusable
from api.server import serve as serve_api
from pipelines.cli.console import fail, out
from store.settings import load_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: API__HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Worker processes; default: API__WORKERS.")] = None,
) -> None:
    """Serve the published generations over HTTP; docs at /docs. Ctrl-C or SIGTERM stops.

    Starts before anything is published too: it answers 503 until the first generation is live, and
    follows every later one without a restart.
    """
    settings = load_settings()
    try:
        KeyRing(settings)
    except (KeysUnusable, OSError, ValueError) as error:
        fail(f"tokens cannot be verified: {error}")
    try:
        serve_api(settings, host=host, port=port, workers=workers)
    except OSError as error:
        fail(f"the API could not be started: {error}")
    out.print("API stopped")
