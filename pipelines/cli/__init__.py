"""The ``flowforge`` command: the table of its commands, each loaded when it is called.

A command's module imports what its work needs (Dagster, Polars, kernels); naming and listing the
commands must not. A test holds the one-line help equal to the command's own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

HELP = """FlowForge's data platform: friend recommendations, feeds, digests and premium metrics
from consistent Postgres snapshots, published as one immutable generation and served by a small API.

New here? `flowforge demo` shows the whole thing in about a minute; `flowforge demo --help` says how.
Settings are environment variables (FLOWFORGE_…), listed in docs/settings.md.
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo:demo", "Embedded Postgres → world → snapshot → products → published generation → API."),
    "run": ("run:run", "Snapshot → staged → products → published, once, in this process."),
    "serve": ("serve:serve", "Serve the published generations over HTTP; docs at /docs."),
    "revocations": ("revocations:revocations", "Tail the source for what was taken back, so that reads leave it out."),
    "token": ("token:token", "Print a token for trying the API."),
    "generations": ("generations:app", "The published generations: list, show, verify, rollback, pin, prune."),
    "explain": ("explain:explain", "Why a person's feed, recommendations, digests and limits are what they are."),
    "evaluate": ("evaluate:app", "How good the products are, judged on this home's own data."),
    "source": ("source:app", "The app's Postgres: start, stop, migrate, load, generate, look."),
    "dagster": ("dagster:dagster", "Open the Dagster UI: asset graph, runs, checks, metadata."),
    "test": ("test:test", "Run the default test suite; further arguments go to pytest."),
    "erase": ("erase:erase", "Remove a person from snapshots, rejects, products and generations now."),
    "doctor": (
        "doctor:doctor",
        "Look at Python, packages, disk, time zones, the source, its role, grants, columns.",
    ),
    "docs": ("docs:docs", "Generate the reference pages from their sources."),
}
"""Name → where it lives (module of this package, attribute) and what it does, in one line."""


class LazyCommand(TyperCommand):
    """A command that is imported when it is called."""

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, help=summary, rich_markup_mode="markdown")
        self._place = place

    def load(self) -> Any:
        """The real command."""
        module, attribute = self._place.split(":")
        target = getattr(import_module(f"{__name__}.{module}"), attribute)
        if not isinstance(target, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            app.command(context_settings=getattr(target, "context_settings", None))(target)
            target = app
        command = typer.main.get_command(target)
        command.name = self.name
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """The context of the real command, which then runs in this one's place."""
        return self.load().make_context(*args, **kwargs)


def build_group() -> TyperGroup:
    """The command with every sub-command under its name."""
    commands: dict[str, Any] = {name: LazyCommand(name, place, help_) for name, (place, help_) in COMMANDS.items()}
    return TyperGroup(name="flowforge", commands=commands, help=HELP, no_args_is_help=True, rich_markup_mode="markdown")


def main() -> None:
    """Entry point of ``flowforge``."""
    try:
        build_group()(prog_name="flowforge", args=sys.argv[1:])
    except Exception as error:
        # Loaded here, because a list of commands needs neither settings nor a console.
        from pipelines.cli.console import USAGE, complain  # noqa: PLC0415
        from store.settings import SettingsInvalid  # noqa: PLC0415

        if not isinstance(error, SettingsInvalid):
            raise
        complain(str(error))
        sys.exit(USAGE)
