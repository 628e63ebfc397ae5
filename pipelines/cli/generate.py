"""``flowforge source generate``: a world of made-up people, the same for the same arguments.

Lives here: arguments, messages, exit codes. Does not belong here: how a world is made
(``store.generator``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import Steps, fail, out
from store.generator import DEFAULT_AS_OF, generate_world
from store.settings import load_settings


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
    replace: Annotated[bool, typer.Option("--replace", help="Replace a world that stands in the folder.")] = False,
) -> None:
    """Write a seeded world: people, friendships, posts, notifications, subscriptions, usage.

    Load it with `flowforge source load DIR`.
    """
    folder = to or load_settings().home / "world"
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
            world = generate_world(folder, users=users, seed=seed, as_of=at, replace=replace, progress=begin)
            steps.end(open_step.pop())
    except (FileExistsError, ValueError) as error:
        fail(str(error))
    out.print(
        f"{world.rows['users']:,} people, {world.rows['friendships']:,} friendships, {world.rows['activities']:,} "
        f"activities, {world.rows['notifications']:,} notifications, {world.rows['usage_events']:,} usage events "
        f"as of {world.as_of:%Y-%m-%d %H:%M}Z in {world.directory}",
        soft_wrap=True,
    )
