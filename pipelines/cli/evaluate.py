"""``flowforge evaluate``: how good the recommendations are, beside the textbook's, on this home's own data.

Lives here: arguments, reading accepted staged tables, printing. Does not belong here: hold-outs,
metrics (``assets.friends.judging``, ``assets.friends.evaluation``).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import polars as pl
import typer
from rich.table import Table

from assets.friends.engine import Engine
from assets.friends.judging import case_of, judged
from assets.friends.product import friends as product
from pipelines.cli.console import fail, out
from store.lake import Lake, StoredTable
from store.settings import load_settings

app = typer.Typer(help="How good the products are, judged on this home's own data.", no_args_is_help=True)

COLUMNS = ("recall_at_20", "map_at_20", "ndcg_at_20", "hit_at_10", "coverage_at_20", "gini")


@app.callback()
def main() -> None:
    """How good the products are, judged on this home's own data."""


@app.command()
def friends(
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", help="Judge by friendships since this instant (UTC); default: the last fifth."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report, with slices, as JSON.")] = False,
) -> None:
    """Hold friendships out of the newest snapshot, recommend without them, and look who is found again.

    All non-neighbours are ranked; every ranker is judged on the same users. Needs a home in which
    `flowforge run` has been run.
    """
    settings = load_settings()
    lake = Lake(settings.home)
    accepted = next((a for i in reversed(lake.snapshot_ids()) if (a := _staged(lake, i))), None)
    if accepted is None:
        fail("no snapshot of this home has accepted staged tables; `flowforge run` makes some")
    frames = {name: table.scan() for name, table in accepted.items()}
    instant = next(iter(accepted.values())).manifest.as_of
    at = as_of if as_of is None or as_of.tzinfo else as_of.replace(tzinfo=UTC)
    if at is not None and at >= instant:
        fail(f"the newest snapshot is of {instant.isoformat()}: --as-of must be earlier")
    found = judged(case_of(frames, instant, at), settings.friends, Engine(threads=pl.thread_pool_size()))
    if as_json:
        out.print_json(json.dumps(found))
        return
    _print(found)


def _staged(lake: Lake, snapshot_id: str) -> dict[str, StoredTable] | None:
    found: dict[str, StoredTable] = {}
    for name in product.inputs:
        found.update(lake.accepted([name], snapshot_id) or {})
    return found if len(found) == len(product.inputs) else None


def _print(found: dict[str, Any]) -> None:
    out.print(f"{found['viewer_count']:,} viewers judged by {found['held_out']}; ranker: {found['ranker']}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ranker")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for name, figures in found["rankers"].items():
        table.add_row(name, *(f"{figures[column]:.4f}" for column in COLUMNS))
    out.print(table)
    own = found["rankers"]["flowforge"]
    low, high = own["recall_at_20_interval"]
    out.print(f"flowforge recall@20 95 % interval {low:.4f}-{high:.4f}; by the viewer's degree:")
    for name, figures in own["slices"].items():
        out.print(f"  {name:>5}  {figures['viewer_count']:>7,} viewers  recall@20 {figures['recall_at_20']:.4f}")
