"""``flowforge erase``: take a person out of everything below the home, or prove that nothing of them is left."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from pipelines.cli.console import fail, out
from pipelines.housekeeping import begin_erasure, person_of, reachable_source, remove_traces
from pipelines.refresh import refresh
from pipelines.run_lock import RunRefused, only_run
from store.lake import Lake
from store.settings import Settings, load_settings
from store.source import embedded_server, source_url
from store.traces import Person, traces


def erase(
    user: Annotated[int, typer.Argument(help="The person's user id.", metavar="USER")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Change nothing: search everything, exit 1 naming what is found.")
    ] = False,
) -> None:
    """Remove a person from snapshots, rejects, products and generations now.

    A generation without them is published. The app's database is never changed: delete them there, or write
    to its `erasure_requests`, so that the next snapshot does not bring them back. Without this command the
    same happens by itself within `FLOWFORGE_RETENTION__ERASURE_DAYS` of the request. What stays:
    `erasure_requests`, the erasure set and the ids of ledger rows.
    """
    settings = load_settings()
    person = _person(settings, user)
    if not verify:
        _erase(settings, user)
    _prove(settings, person)


def _erase(settings: Settings, user: int) -> None:
    lake = Lake(settings.home)
    try:
        with only_run(settings.home):
            changed = begin_erasure(settings, user)
        out.print(f"✓ {len(changed)} snapshot(s) rewritten without user {user}")
        newest = lake.newest_snapshot()
        if newest is not None and (settings.home / "generations").is_dir():
            done = refresh(settings, as_of=newest.as_of)
            if not done.is_success:
                fail(f"user {user} is in the erasure set, but computing without them failed: {done.error}")
            out.print(f"✓ computed and published without them: {done.generation}")
        with only_run(settings.home):
            removed, _ = remove_traces(lake, [user])
    except RunRefused as error:
        fail(str(error))
    out.print(f"✓ {len(removed)} older product(s) and generation(s) removed")


def _person(settings: Settings, user: int) -> Person:
    is_embedded = settings.source.url is None
    has_server = not is_embedded or (settings.home / "postgres" / "data").is_dir()
    with embedded_server(settings) if is_embedded and has_server else nullcontext():
        source = reachable_source(source_url(settings, "reader")) if has_server else None
        return person_of(Lake(settings.home), user, source)


def _prove(settings: Settings, person: Person) -> None:
    found = traces(settings.home, person)
    for trace in found:
        out.print(f"[red]✗[/] {trace}", soft_wrap=True)
    sought = f"id {person.user_id}" + (f" and {len(person.texts)} name(s) or address(es)" if person.texts else "")
    if found:
        fail(f"{len(found)} trace(s) of {sought} in {settings.home}")
    out.print(f"✓ nothing below {settings.home} holds {sought}, but for the erasure set")
