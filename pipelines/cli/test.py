"""``flowforge test``: the default test suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parents[2]


def test(context: typer.Context) -> None:
    """Run the default test suite; further arguments go to pytest.

    It takes about ten minutes. `-m slow` and `-m browser` select the marked suites that `.ci/run` adds.
    """
    command = [sys.executable, "-m", "pytest", *context.args]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env={**os.environ}, check=False).returncode)


test.context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}  # type: ignore[attr-defined]
