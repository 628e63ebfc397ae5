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

from pipelines.cli.console import fail
from store.ports import PortTaken, check_port
from store.settings import RevocationsMode, load_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: API__HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Worker processes; default: API__WORKERS.")] = None,
) -> None:
    """Serve the published generations over HTTP; docs at /docs.

    Ctrl-C or SIGTERM stops it. It starts before anything is published too: it answers 503 until the first
    generation is live, and follows every later one without a restart. Unless REVOCATIONS__MODE is `off`,
    `flowforge revocations` runs beside it and ends with it. A port that another process listens on is refused;
    servers of one home on several ports share one tailer.
    """
    settings = load_settings()
    os.environ["FLOWFORGE_HOME"] = str(settings.home)
    chosen = settings.api.port if port is None else port
    become_server(host or settings.api.host, chosen, workers or settings.api.workers, settings.revocations_mode)


def refuse_taken(host: str, port: int) -> int:
    """The port to serve on (a free one for 0); fails, naming it, when another process listens there."""
    try:
        return check_port(host, port)
    except (PortTaken, OSError) as error:
        fail(str(error) if isinstance(error, PortTaken) else f"{host} cannot be listened on: {error}")


def become_server(host: str, port: int, workers: int, mode: RevocationsMode) -> NoReturn:
    """Replace this process by the API's server; its exit code is the command's.

    The tailer started first stays a child of this process, and watches it. Of several servers of one home one
    has the tailer that reads; those of the others stand by, and follow the file it writes.
    """
    port = refuse_taken(host, port)  # before a tailer is started that would have no server
    if mode != "off":
        os.environ["FLOWFORGE_REVOCATIONS__MODE"] = mode
        tailer = [sys.executable, "-m", "pipelines.cli", "revocations", "--parent", str(os.getpid())]
        subprocess.Popen(tailer, stdin=subprocess.DEVNULL)
    options = ["--host", host, "--port", str(port), "--workers", str(workers)]
    os.execv(sys.executable, [sys.executable, "-m", "api.server", *options])  # noqa: S606
