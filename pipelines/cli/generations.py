"""``flowforge generations``: look at the published generations, verify, roll back, pin, prune."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from pipelines.cli.console import complain, fail, out
from store import generations as store
from store.serving import CorruptGeneration, GenerationEntry
from store.settings import load_settings

app = typer.Typer(help="The published generations: list, show, verify, rollback, pin, prune.", no_args_is_help=True)

GenerationId = Annotated[str | None, typer.Argument(help="A generation's id; default: the live one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MOMENT = "%Y-%m-%d %H:%M:%S"
REMEDY = "`flowforge generations rollback` serves an earlier one; `flowforge run` publishes a new one"
REFUSALS = (store.GenerationRefused, store.PublicationBusy, CorruptGeneration)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every generation that stands, newest first."""
    try:
        entries = store.generations(load_settings().home)
    except REFUSALS as error:
        fail(str(error))
    if as_json:
        out.print_json(json.dumps([_facts(entry) for entry in entries]))
        return
    # An id is there to be copied: it stays whole, and the other columns wrap where the terminal is narrow.
    widest = max((len(entry.info.id) for entry in entries), default=0)
    table = Table(Column("generation", overflow="fold", min_width=widest), box=None)
    for name in ("status", "as of", "published", "datasets"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        published = f"{entry.published_at:{MOMENT}}" if entry.published_at else "—"
        cells = (entry.info.id, entry.status, f"{entry.info.as_of:{MOMENT}}", published, str(len(entry.info.datasets)))
        table.add_row(*cells)
    out.print(table)


@app.command()
def show(generation: GenerationId = None, as_json: AsJson = False) -> None:
    """One generation: its datasets, rows, bytes, what was carried over."""
    home = load_settings().home
    try:
        entries = store.generations(home)
        wanted = generation or store.live(home)
        found = next((entry for entry in entries if entry.info.id == wanted), None)
        if found is None:
            store.verify(home, generation)  # says what is wrong with it
            fail(f"generation {wanted} was removed a moment ago")
    except REFUSALS as error:
        fail(str(error))
    facts = _facts(found)
    if as_json:
        out.print_json(json.dumps(facts))
        return
    out.print(f"[bold]{facts['generation']}[/]  {facts['status']}  as of {facts['as_of']}")
    table = Table("dataset", "rows", "bytes", "as of", "carried over", box=None)
    for dataset in facts["datasets"]:
        table.add_row(
            dataset["dataset"],
            f"{dataset['rows']:,}",
            f"{dataset['bytes']:,}",
            dataset["as_of"],
            "yes" if dataset["is_carried_over"] else "",
        )
    out.print(table)


@app.command()
def verify(generation: GenerationId = None) -> None:
    """Compare every checksum; exit 1 naming the file that differs."""
    try:
        checked = store.verify(load_settings().home, generation)
    except CorruptGeneration as error:
        fail(f"{error}. {REMEDY}")
    except REFUSALS as error:
        fail(str(error))
    out.print(f"✓ {checked.id}: every file is as it was written")


@app.command()
def rollback(
    to: Annotated[
        str | None, typer.Argument(metavar="[GENERATION]", help="Generation to go back to; default: the one before.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Kept with the quarantined generation.")] = "rolled back",
) -> None:
    """Serve an earlier verified generation and quarantine the one left."""
    try:
        live = store.rollback(load_settings().home, to, reason=reason, warn=complain)
    except REFUSALS as error:
        fail(str(error))
    out.print(f"✓ {live} is live; the next good run publishes again unless you `flowforge generations pin`")


@app.command()
def pin(off: Annotated[bool, typer.Option("--off", help="Let new generations be served again.")] = False) -> None:
    """Hold the live generation: new ones are built but not served."""
    home = load_settings().home
    try:
        if off:
            store.unpin(home)
            out.print("✓ unpinned: the next publication is served")
        else:
            out.print(f"✓ {store.pin(home)} stays live until `flowforge generations pin --off`")
    except REFUSALS as error:
        fail(str(error))


@app.command()
def prune() -> None:
    """Remove generations beyond retention; the live and pinned ones always stay."""
    settings = load_settings()
    try:
        removed = store.prune(settings.home, settings.retention)
    except REFUSALS as error:
        fail(str(error))
    out.print("\n".join(f"removed {generation}" for generation in removed) or "nothing to remove")


def _facts(entry: GenerationEntry) -> dict[str, Any]:
    info = entry.info
    return {
        "generation": info.id,
        "status": entry.status,
        "as_of": info.as_of.isoformat(),
        "published_at": entry.published_at.isoformat() if entry.published_at else None,
        "code_version": info.code_version,
        "config_hash": info.config_hash,
        "datasets": [
            {
                "dataset": dataset.name,
                "rows": dataset.rows,
                "bytes": dataset.bytes,
                "as_of": dataset.as_of.isoformat(),
                "is_carried_over": dataset.is_carried_over,
                "sha256": dataset.sha256,
            }
            for dataset in info.datasets
        ],
    }
