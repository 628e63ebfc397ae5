"""``flowforge dagster``: the Dagster UI on this home, with its runs in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from store.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]


def dagster(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the UI on 127.0.0.1.")] = 3000,
    daemon: Annotated[bool, typer.Option(help="Also run the daemon, so that schedules tick.")] = False,
) -> None:
    """Open the Dagster UI: asset graph, runs, checks, metadata.

    The home's runs are in it, the demo's too.
    """
    from pipelines.instance import prepare_instance  # noqa: PLC0415 - Dagster takes seconds to load

    settings = load_settings()
    os.environ["FLOWFORGE_HOME"] = str(settings.home)
    prepare_instance(settings.home)
    program = "dagster" if daemon else "dagster_webserver"
    arguments = ["dev"] if daemon else []
    os.chdir(ROOT)
    os.execv(  # noqa: S606
        sys.executable,
        [sys.executable, "-m", program, *arguments, "-h", "127.0.0.1", "-p", str(port), "-m", "pipelines.definitions"],
    )
