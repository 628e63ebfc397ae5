"""``flowforge source``: the app's Postgres: start and stop the embedded one, migrate it, fill it, look at it.

Lives here: arguments, messages, exit codes. Does not belong here: what the commands do
(``store.embedded``, ``store.source``, ``store.worlds``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.cli.generate import generate
from store.embedded import EmbeddedPostgresError
from store.pg_binaries import PostgresNotFound
from store.settings import Settings, load_settings
from store.source import (
    NotOurDatabase,
    current_revision,
    embedded_server,
    migrate,
    migrate_down,
    ownership,
    row_counts,
    source_url,
    transaction,
)
from store.worlds import WorldError, load_world, remember, world_of

app = typer.Typer(help="The app's Postgres: start, stop, migrate, load, generate, look.", no_args_is_help=True)
console = Console()
app.command()(generate)
FAILURES = (EmbeddedPostgresError, PostgresNotFound, NotOurDatabase, WorldError, sa.exc.SQLAlchemyError, ValueError)


@app.command()
def up() -> None:
    """Start the embedded Postgres and leave it running."""
    settings = load_settings()
    with _failures():
        if settings.source.url:
            raise ValueError("FLOWFORGE_SOURCE__URL is set: the server there is not ours to start")
        server = embedded_server(settings)
        started = server.start()
        console.print(
            f"Postgres {'started' if started else 'was running already'}: {_shown(server.url())}", soft_wrap=True
        )


@app.command()
def down() -> None:
    """Stop the embedded Postgres; its data stay."""
    with _failures():
        stopped = embedded_server(load_settings()).stop()
        console.print("Postgres stopped" if stopped else "Postgres was not running")


@app.command("migrate")
def migrate_command(
    down_: Annotated[bool, typer.Option("--down", help="Drop everything the migrations made, data included.")] = False,
) -> None:
    """Bring a database of ours to the newest schema."""
    with _failures(), _server(load_settings()) as url:
        revision = migrate_down(url) if down_ else migrate(url)
        console.print(f"schema app stands at revision {revision}")


@app.command()
def load(
    directory: Annotated[Path, typer.Argument(help="A world: Parquet files and world.json.", metavar="DIR")],
    replace: Annotated[bool, typer.Option("--replace", help="Empty the database first.")] = False,
) -> None:
    """Migrate and fill a database of ours with a world, whole or not at all."""
    with _failures(), _server(load_settings()) as url:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(f"loading {directory.name}")
            world = load_world(
                url,
                directory,
                replace=replace,
                progress=lambda table, rows: bar.update(task, description=f"loading {table}: {rows:,} rows"),
            )
        remember(load_settings().home, world)
        rows = sum(row_counts(url).values())
        console.print(f"loaded {world.name}: {rows:,} rows, as of {world.as_of.isoformat()}")


@app.command()
def status() -> None:
    """Say whether the source answers, what it holds and where it stands."""
    settings = load_settings()
    with _failures():
        if not settings.source.url and embedded_server(settings).running is None:
            console.print("Postgres is not running; start it with: flowforge source up")
            raise typer.Exit(3)
        url = source_url(settings)
        with transaction(url) as connection:
            owner = ownership(connection)
            revision = current_revision(connection) if owner == "ours" else None
        console.print(f"source    {_shown(url)}", soft_wrap=True)
        console.print(
            {"ours": f"schema    revision {revision}", "empty": "schema    none yet", "foreign": "schema    not ours"}[
                owner
            ]
        )
        if owner == "empty" or (owner == "ours" and revision is None):
            return
        if (world := world_of(url)) is not None:
            console.print(f"world     {world.name}, as of {world.as_of.isoformat()} ({world.licence})", highlight=False)
        table = Table("table", "rows", box=None)
        table.columns[1].justify = "right"
        for name, rows in row_counts(url).items():
            table.add_row(name, f"{rows:,}")
        console.print(table)


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    """The source's URL; an embedded server that is down is started, and left running."""
    if not settings.source.url:
        embedded_server(settings).start()
    yield source_url(settings)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error


def _shown(url: str) -> str:
    return sa.make_url(url).render_as_string(hide_password=True)
