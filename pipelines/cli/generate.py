"""``flowforge source generate``: a world of made-up people, or one F times another; same arguments, same bytes.

Lives here: arguments, messages, exit codes. Does not belong here: how a world is made
(``store.generator``, ``store.scaling``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import Steps, fail, out
from store.generator import DEFAULT_AS_OF, generate_world
from store.scaling import scale_world
from store.settings import load_settings
from store.worlds import WorldError


def generate(
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder the world is written to, new or empty; default: HOME/world.")
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="How many people live in it.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed and size, same bytes.")] = 7,
    as_of: Annotated[
        datetime | None,
        typer.Option(help=f"When the world is looked at (UTC); default {DEFAULT_AS_OF:%Y-%m-%dT%H:%M}Z."),
    ] = None,
    world: Annotated[Path | None, typer.Option("--world", help="Scale this world instead of making one up.")] = None,
    scale: Annotated[
        str | None, typer.Option(help="How many times the world of --world: 2.5 is two copies and a half of its users.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a world that stands in the folder.")] = False,
) -> None:
    """Write a seeded world: people, friendships, posts, notifications, subscriptions, usage.

    With `--world` and `--scale`, a world some times another: copies side by side, and users drawn uniformly for
    the rest. Load it with `flowforge source load DIR`.
    """
    folder = to or load_settings().home / "world"
    if world is not None or scale is not None:
        _scale(world, scale, folder, seed, replace=replace)
        return
    steps = Steps()
    open_step: list[str] = []

    def begin(part: str) -> None:
        if open_step:
            steps.end(open_step.pop())
        open_step.append(part)
        steps.begin(part)

    at = as_of if as_of is None or as_of.tzinfo else as_of.replace(tzinfo=UTC)
    try:
        with steps.showing():
            made = generate_world(folder, users=users, seed=seed, as_of=at, replace=replace, progress=begin)
            steps.end(open_step.pop())
    except (FileExistsError, ValueError) as error:
        fail(str(error))
    _say(made.rows, made.as_of, made.directory)


def _scale(world: Path | None, scale: str | None, folder: Path, seed: int, *, replace: bool) -> None:
    if world is None or scale is None:
        fail("--world DIR and --scale F go together: which world, and how many times")
    try:
        made, rows = scale_world(world, folder, factor=Decimal(scale), seed=seed, replace=replace)
    except InvalidOperation:
        fail(f"--scale is a number, not {scale!r}")
    except (FileExistsError, WorldError) as error:
        fail(str(error))
    _say(rows, made.as_of, folder)


def _say(rows: Mapping[str, int], as_of: datetime, folder: Path) -> None:
    told = ("friendships", "activities", "notifications", "usage_events")
    counts = ", ".join(f"{rows.get(table, 0):,} {table.replace('_', ' ')}" for table in told)
    out.print(f"{rows['users']:,} people, {counts} as of {as_of:%Y-%m-%d %H:%M}Z in {folder}", soft_wrap=True)
