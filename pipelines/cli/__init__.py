"""The ``flowforge`` command: one module per command or group of commands."""

from __future__ import annotations

import sys

import typer

HELP = """FlowForge's data platform: friend recommendations, feeds, digests and premium metrics
from consistent Postgres snapshots, published as one immutable generation and served by a small API.

New here? `flowforge demo` shows the whole thing in about a minute; `flowforge demo --help` says how.
Settings are environment variables (FLOWFORGE_…), listed in docs/settings.md.
"""


def build_app() -> typer.Typer:
    """Every command, registered under its name."""
    # Imported here so that `python -m pipelines.cli` starts and fails in one place.
    from pipelines.cli.dagster import dagster  # noqa: PLC0415
    from pipelines.cli.demo import demo  # noqa: PLC0415
    from pipelines.cli.docs import docs  # noqa: PLC0415
    from pipelines.cli.doctor import doctor  # noqa: PLC0415
    from pipelines.cli.erase import erase  # noqa: PLC0415
    from pipelines.cli.generate import generate  # noqa: PLC0415
    from pipelines.cli.generations import app as generations  # noqa: PLC0415
    from pipelines.cli.run import run  # noqa: PLC0415
    from pipelines.cli.serve import serve  # noqa: PLC0415
    from pipelines.cli.source import app as source  # noqa: PLC0415
    from pipelines.cli.test import test  # noqa: PLC0415
    from pipelines.cli.token import token  # noqa: PLC0415

    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")
    app.command()(demo)
    app.command()(run)
    app.command()(serve)
    app.command()(token)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(test)
    app.command()(dagster)
    app.command()(erase)
    app.command()(doctor)
    app.command()(docs)
    source.command()(generate)
    app.add_typer(source, name="source")
    app.add_typer(generations, name="generations")
    return app


def main() -> None:
    """Entry point of ``flowforge``."""
    build_app()(prog_name="flowforge", args=sys.argv[1:])
