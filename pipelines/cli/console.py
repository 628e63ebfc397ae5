"""How the command speaks: one console, errors that say what to do, exit codes, live steps.

Exit codes: 0 done, 1 the work failed, 2 wrong usage (Typer) or a wrong setting, 69 something needed is not there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

FAILED = 1
USAGE = 2
UNAVAILABLE = 69


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Print ``message`` on stderr and leave with ``code``."""
    complain(message)
    raise typer.Exit(code)


def complain(message: str) -> None:
    """Print ``message`` on stderr as what went wrong."""
    err.print(Text("✗ ", style="bold red") + Text(message), soft_wrap=True)


class Steps:
    """Steps of long work, shown as they go: live on a terminal, one line each elsewhere."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, float]] = []
        self._open: dict[str, float] = {}
        self._live: Live | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the steps while the block runs."""
        if not out.is_terminal:
            yield
            return
        with Live(console=out, refresh_per_second=8, get_renderable=self._table) as self._live:
            yield
        self._live = None

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """One step; call what is yielded with the detail to print behind it."""
        said: list[str] = []
        self.begin(name)
        try:
            yield said.append
        except BaseException:
            self.end(name, "failed")
            raise
        self.end(name, said[-1] if said else "")

    def begin(self, name: str) -> None:
        """A step starts."""
        self._open[name] = time.monotonic()

    def end(self, name: str, detail: str = "", mark: str = "✓") -> None:
        """A step is over."""
        if name not in self._open:
            return
        seconds = time.monotonic() - self._open.pop(name)
        if detail == "failed":
            mark = "✗"
        self._rows.append((mark, name, detail, seconds))
        if self._live is None:
            out.print(f"  {mark} {name:<12} {seconds:6.1f} s  {detail}".rstrip())
            sys.stdout.flush()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for mark, name, detail, seconds in self._rows:
            style = "green" if mark == "✓" else "red" if mark == "✗" else "yellow"
            table.add_row(Text(mark, style=style), name, Text(f"{seconds:6.1f} s", style="dim"), Text(detail))
        for name, start in self._open.items():
            table.add_row(Text("…", style="cyan"), name, Text(f"{time.monotonic() - start:6.1f} s", style="cyan"), "")
        return table
