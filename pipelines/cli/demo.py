"""``flowforge demo``: the whole platform on one machine, from an empty folder to a served generation.

Lives here: choosing the world, the order of the steps, the closing summary. What each step does is
elsewhere (``store.embedded``, ``store.worlds``, ``pipelines.refresh``, ``api.server``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from dagster import DagsterError
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from pipelines.cli.console import Steps, fail, out
from pipelines.cli.run import refreshed, report
from pipelines.cli.serve import become_server, refuse_taken
from pipelines.cli.summary import Person, Reader, describe, somebody
from pipelines.cli.token import demo_token_of
from pipelines.refresh import Refresh
from pipelines.run_lock import RunRefused
from store.embedded import EmbeddedPostgresError
from store.files import sha256_of
from store.generator import generate_world
from store.home import read_home
from store.lake import Lake
from store.payloads.feed_words import POINTS
from store.pg_binaries import PostgresNotFound
from store.settings import Settings, load_settings
from store.source import embedded_server
from store.worlds import WorldError, load_world, read_world, remember

OURS = ("lake", "generations", "revocations", "postgres", "dagster", "secrets", "inbox", "world", "home.json")
EXPLORER = "FLOWFORGE_EXPLORER__ENABLED"
FAILURES = (RunRefused, EmbeddedPostgresError, PostgresNotFound, WorldError, DagsterError, OSError, ValueError)


@dataclass(frozen=True)
class Wanted:
    """The world the demo is to run on."""

    origin: str
    directory: Path
    users: int | None
    seed: int


def demo(
    world: Annotated[Path | None, typer.Option(help="A world's folder; without it one is generated.")] = None,
    users: Annotated[int, typer.Option(min=1, help="Users of the generated world.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the generated world.")] = 7,
    once: Annotated[bool, typer.Option("--once", help="Exit after the summary; leave no process.")] = False,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the API (default: API__PORT).")] = None,
) -> None:
    """Embedded Postgres → world → snapshot → products → published generation → API.

    Takes about a minute and needs nothing but Python. Everything is written below FLOWFORGE_HOME
    (default: var). A second call on the same world reuses what stands; another world or size starts that
    home anew.
    """
    settings = load_settings()
    if settings.source.url:
        fail("demo uses the embedded Postgres; unset FLOWFORGE_SOURCE__URL (for a real source: flowforge run)")
    wished = port if port is not None else settings.api.port
    # Looked at first too: a minute's work is not to end in a port that cannot be had.
    listening = wished if once else refuse_taken(settings.api.host, wished)
    try:
        wanted = _wanted(settings, world, users, seed)
        _make_room(settings.home, wanted)
        with embedded_server(settings):
            _load(settings, wanted)
            out.print("[bold]Computing[/]")
            done = refreshed(settings, None)
    except FAILURES as error:
        fail(str(error))
    if not done.is_success or done.generation is None:
        report(done)
        fail("the run failed; what was served before is still there")
    person = _summary(settings, done)
    _what_next(settings, person, listening, is_serving=not once)
    if not once:
        os.environ["FLOWFORGE_HOME"] = str(settings.home)
        os.environ.setdefault(EXPLORER, "true")
        become_server(settings.api.host, listening, settings.api.workers, settings.revocations.mode or "best_effort")


def _wanted(settings: Settings, world: Path | None, users: int, seed: int) -> Wanted:
    if world is None:
        return Wanted(f"generated:{users}:{seed}", settings.home / "world", users, seed)
    name = read_world(world).name
    digest = hashlib.sha256()
    for path in sorted(world.glob("*.parquet")):
        digest.update(f"{path.name}:{sha256_of(path)}\n".encode())
    return Wanted(f"world:{name}:{digest.hexdigest()[:12]}", world.resolve(), None, seed)


def _make_room(home: Path, wanted: Wanted) -> None:
    """Start a home that holds something else anew; never touch what the platform did not write."""
    record = read_home(home)
    if record is None and (home / "lake").exists():  # a Postgres beside it may be there for the ledger alone
        fail(f"{home} holds data of a live source; choose another FLOWFORGE_HOME for the demo")
    if record is not None and record.origin != wanted.origin:
        out.print(
            f"{home} holds [bold]{escape(record.origin)}[/]; starting it anew for [bold]{escape(wanted.origin)}[/]"
        )
        embedded_server(load_settings()).stop()
        for name in OURS:
            path = home / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _load(settings: Settings, wanted: Wanted) -> None:
    if read_home(settings.home) is not None:
        out.print(f"[bold]World[/] {escape(wanted.origin)} stands in {settings.home}")
        return
    out.print("[bold]World[/]")
    steps = Steps()
    with steps.showing():
        if wanted.users is not None:
            with steps.step("generate") as say:
                generate_world(wanted.directory, users=wanted.users, seed=wanted.seed)
                say(f"{wanted.users:,} users, seed {wanted.seed}")
        with steps.step("load") as say:
            rows: dict[str, int] = {}
            loaded = load_world(
                embedded_server(settings).url(), wanted.directory, replace=True, progress=rows.__setitem__
            )
            filled = sum(1 for n in rows.values() if n)
            say(f"{sum(rows.values()):,} rows in {filled} tables, as of {loaded.as_of:%Y-%m-%d %H:%M} UTC")
    remember(settings.home, loaded, wanted.origin)


def _summary(settings: Settings, done: Refresh) -> Person | None:
    out.print()
    report(done)
    lake = Lake(settings.home)
    reader = Reader(lake, lake.snapshot_ids()[-1])
    user_id = somebody(reader)
    if user_id is None:
        return None
    person = describe(reader, user_id)
    out.print()
    out.print(Panel.fit(f"[bold]{escape(person.name)}[/] (user {person.user_id}), {_moment(reader.as_of)}"))
    _section("Feed", person.feed)
    if person.feed:
        out.print(Text(f"  {POINTS}", style="dim"))
    _section("People you may know", person.recommendations)
    if person.digest:
        _section("Digest", person.digest.splitlines())
    _section("Plan", person.entitlements)
    return person


def _section(title: str, lines: list[str]) -> None:
    if not lines:
        return
    out.print(f"\n[bold]{title}[/]")
    for line in lines:
        out.print(Padding(Text(line), (0, 0, 0, 2)))


def _moment(instant: datetime) -> str:
    return f"{instant:%A %d %B %Y, %H:%M} UTC"


def _what_next(settings: Settings, person: Person | None, port: int, *, is_serving: bool) -> None:
    base = f"http://{settings.api.host}:{port}"
    out.print()
    if not is_serving:
        out.print("[bold]Next[/]  flowforge demo (serves this)   flowforge dagster (the run, as a graph)")
        if person is not None:
            out.print(f"      flowforge explain {person.user_id} (why this is what they get)")
        return
    out.print(f"[bold]Serving[/] {base}   docs {base}/docs   Ctrl-C stops")
    out.print(f"Explorer  {base}/explorer   sign in with: flowforge token me --role operator")
    out.print("Dagster   flowforge dagster")
    if person is None:
        return
    token = demo_token_of(settings, person.user_id)
    out.print("\n[bold]Try[/] (the token is for this demo, and for one hour)")
    out.print(f"  TOKEN={token}", soft_wrap=True, markup=False)
    for path in ("feed?limit=3", "recommendations/friends?limit=3", "digests", "entitlements"):
        out.print(f"  curl -s -H \"Authorization: Bearer $TOKEN\" '{base}/v2/me/{path}'", soft_wrap=True, markup=False)
    out.print()
