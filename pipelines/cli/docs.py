"""``flowforge docs``: write the generated reference, or say what is stale."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.console import fail, out
from pipelines.reference import DOCS, pages


def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a page is stale.")] = False,
) -> None:
    """Generate the reference pages from their sources.

    docs/settings.md, docs/commands.md, docs/data-dictionary.md and docs/openapi.json.
    """
    from pipelines.cli import build_group  # noqa: PLC0415 - the command documents the group it is part of

    stale = [p for p, text in pages(build_group()).items() if not p.is_file() or p.read_text() != text]
    if check:
        if stale:
            fail(f"stale: {', '.join(p.name for p in stale)}; run `flowforge docs`")
        out.print("✓ the reference is current")
        return
    for path, text in pages(build_group()).items():
        path.write_text(text)
        out.print(f"✓ {path.relative_to(DOCS.parent)}")
