"""``flowforge doctor``: is everything there that a run needs, and what to do where it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from pipelines.cli.console import FAILED, out
from store import diagnosis
from store.embedded import EmbeddedPostgresError
from store.pg_binaries import PostgresNotFound, find_binaries
from store.settings import Settings, load_settings
from store.source import embedded_server, source_url

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> None:
    """Look at Python, packages, disk, time zones, the source, its role, grants, columns.

    Exit code 0: everything a run needs is there (warnings may remain). 1: something is not, and what to do
    is said beside it. A home without a source yet is looked at without one.
    """
    findings = list(_findings(load_settings()))
    if as_json:
        out.print_json(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark, style = MARKS[finding.status]
            out.print(Text(f"{mark} ", style=style) + Text(f"{finding.what:<16}{finding.said}"), soft_wrap=True)
            if finding.do:
                out.print(Text(f"  {'':<16}→ {finding.do}", style="dim"), soft_wrap=True)
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(FAILED)


def _findings(settings: Settings) -> Iterator[diagnosis.Finding]:
    yield from diagnosis.machine(settings)
    if settings.source.url:
        yield from diagnosis.source(settings.source.url)
        return
    try:
        binaries = find_binaries(settings.source.pg_bin)
    except PostgresNotFound as error:
        yield diagnosis.Finding("Postgres", "failed", "no server binaries", str(error))
        return
    yield diagnosis.Finding("Postgres", "ok", f"embedded, from {binaries}")
    server = embedded_server(settings)
    if not server.data.exists():
        yield diagnosis.Finding(
            "source", "warning", "nothing is loaded yet", "run `flowforge demo` or `flowforge source load`"
        )
        return
    try:
        with server:
            yield from diagnosis.source(source_url(settings, "reader"))
    except EmbeddedPostgresError as error:
        yield diagnosis.Finding("source", "failed", str(error), f"look at {server.log}")
