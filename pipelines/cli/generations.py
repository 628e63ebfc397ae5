"""``flowforge generations``: look at the published generations, verify, roll back, pin, prune."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from pipelines.cli.console import fail, out
from store import generations as store
from store.serving import CorruptGeneration, GenerationEntry
from store.settings import load_settings

app = typer.Typer(help="The published generations: list, show, verify, rollback, pin, prune.", no_args_is_help=True)

GenerationId = Annotated[str | None, typer.Argument(help="A generation's id; default: the live one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
REFUSALS = (store.GenerationRefused, store.PublicationBusy, CorruptGeneration)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every generation that stands, newest first."""
    entries = store.generations(load_settings().home)
    if as_json:
        out.print_json(json.dumps([_facts(entry) for entry in entries]))
        return
    table = Table("generation", "status", "as of", "published", "datasets", box=None)
    for entry in entries:
        facts = _facts(entry)
        table.add_row(
            facts["generation"],
            facts["status"],
            facts["as_of"],
            facts["published_at"] or "—",
            str(len(facts["datasets"])),
        )
    out.print(table)


@app.command()
def show(generation: GenerationId = None, as_json: AsJson = False) -> None:
    """One generation: its datasets, rows, bytes, what was carried over."""
    entries = store.generations(load_settings().home)
    found = next((e for e in entries if generation in (None, e.info.id) and (generation or e.status == "live")), None)
    if found is None:
        fail(
            f"generation {generation or '(live)'} does not stand here; `flowforge generations list` names those that do"
        )
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
        live = store.rollback(load_settings().home, to, reason=reason)
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
    removed = store.prune(settings.home, settings.retention)
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
