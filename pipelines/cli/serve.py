"""``flowforge serve``: the API on this machine, until it is stopped (``python -m api.server``).

The server is a process of its own, so that it loads nothing of the batch side; the tailer of revocations is
another, and ends with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated, NoReturn

import typer

from store.settings import RevocationsMode, load_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: API__HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Worker processes; default: API__WORKERS.")] = None,
) -> None:
    """Serve the published generations over HTTP; docs at /docs.

    Ctrl-C or SIGTERM stops it. It starts before anything is published too: it answers 503 until the first
    generation is live, and follows every later one without a restart. Unless REVOCATIONS__MODE is `off`,
    `flowforge revocations` runs beside it and ends with it.
    """
    settings = load_settings()
    os.environ["FLOWFORGE_HOME"] = str(settings.home)
    become_server(host, port, workers, settings.revocations_mode)


def become_server(host: str | None, port: int | None, workers: int | None, mode: RevocationsMode) -> NoReturn:
    """Replace this process by the API's server; its exit code is the command's.

    The tailer started first stays a child of this process, and watches it.
    """
    if mode != "off":
        os.environ["FLOWFORGE_REVOCATIONS__MODE"] = mode
        tailer = [sys.executable, "-m", "pipelines.cli", "revocations", "--parent", str(os.getpid())]
        subprocess.Popen(tailer, stdin=subprocess.DEVNULL)
    given = {"--host": host, "--port": port, "--workers": workers}
    options = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    os.execv(sys.executable, [sys.executable, "-m", "api.server", *options])  # noqa: S606
