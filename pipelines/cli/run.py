"""``flowforge run``: take a snapshot, compute every product, publish; or compute from a stored snapshot."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from dagster import DagsterError
from rich.markup import escape

from pipelines.cli.console import Steps, fail, out
from pipelines.refresh import Refresh, Step, refresh
from pipelines.run_lock import RunRefused
from store.embedded import EmbeddedPostgresError
from store.pg_binaries import PostgresNotFound
from store.settings import Settings, load_settings
from store.source import embedded_server

AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="Take no snapshot; use the newest stored one with as_of ≤ this instant (ISO 8601)."),
]


def run(
    as_of: AsOf = None,
    accept_drift: Annotated[
        bool,
        typer.Option(
            "--accept-drift", help="Publish although the population moved beyond the drift gate (QUALITY__DRIFT_…)."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> None:
    """Snapshot → staged → products → published, once, in this process.

    Exit code 0: what was computed is live, or the last line says why not (pinned, quarantined, older than the live
    one). 1: the run failed. What was served before is served until another generation is live.
    """
    settings = load_settings()
    instant = _instant(as_of) if as_of else None
    try:
        needs_server = settings.source.url is None and instant is None
        with embedded_server(settings) if needs_server else nullcontext():
            done = refreshed(settings, instant, accept_drift=accept_drift, quiet=as_json)
    except (RunRefused, EmbeddedPostgresError, PostgresNotFound, DagsterError, ValueError) as error:
        fail(str(error))
    if as_json:
        out.print_json(json.dumps(asdict(done)))
    else:
        report(done)
    if not done.is_success:
        raise typer.Exit(1)


def refreshed(
    settings: Settings, as_of: datetime | None, *, accept_drift: bool = False, quiet: bool = False
) -> Refresh:
    """Run once with the steps shown as they go."""
    if quiet:
        return refresh(settings, as_of=as_of, accept_drift=accept_drift)
    steps = Steps()

    def told(step: str, said: str) -> None:
        if said == "started":
            steps.begin(step)
        else:
            steps.end(step, "" if said == "finished" else said)

    with steps.showing():
        return refresh(settings, as_of=as_of, accept_drift=accept_drift, listener=told)


def report(done: Refresh) -> None:
    """Rows and seconds per step, what was not accepted, and the generation that is live."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("step", "rows in", "rows out", "rejected", "seconds", ""):
        table.add_column(column, justify="left" if column in ("step", "") else "right")
    for step in done.steps:
        table.add_row(*_cells(step))
    out.print(table)
    for problem in (p for step in done.steps for p in step.problems):
        out.print(f"[yellow]not accepted[/] {escape(problem)}", soft_wrap=True)
    if done.error:
        out.print(f"[red]failed[/] {escape(done.error)}", soft_wrap=True)
    if done.generation:
        already = " already: nothing that is served changed" if done.was_live else ""
        out.print(f"generation [bold]{done.generation}[/] is live{already}", soft_wrap=True)
    if done.not_served:
        out.print(f"[yellow]not served[/] {escape(done.not_served)}; what was served before still is", soft_wrap=True)


def _cells(step: Step) -> list[str]:
    def number(value: int | None) -> str:
        return "" if value is None else f"{value:,}"

    return [
        step.name,
        number(step.rows_in),
        number(step.rows_out),
        number(step.rejected),
        f"{step.seconds:.1f}",
        "stood already" if step.is_reused else "",
    ]


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an ISO 8601 instant such as 2026-06-15T09:30:00Z") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
