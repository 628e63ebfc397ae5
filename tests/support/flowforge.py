"""The command as a user runs it: a child process with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORLDS = ROOT.parent / "shared" / "worlds"


def child_environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    """This process's environment without its own settings, with ``home`` and ``settings``."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("FLOWFORGE_", "DAGSTER_"))}
    return {**inherited, "FLOWFORGE_HOME": str(home), "COLUMNS": "120", **settings}


def flowforge(*args: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``flowforge ARGS`` with ``FLOWFORGE_HOME=home``; settings as keyword arguments."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *args],
        cwd=ROOT,
        env=child_environment(home, environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def products(home: Path) -> dict[str, str]:
    """Every accepted product: table → sha256 of its files, in order."""
    found = {}
    for pointer in sorted((home / "lake" / "products").glob("*/[0-9]*.json")):
        product_id = json.loads(pointer.read_text())["id"]
        manifest = json.loads((pointer.parent / product_id / "_manifest.json").read_text())
        table = pointer.parent.name
        found[f"{table}/{pointer.stem}"] = ",".join(f["sha256"] for f in manifest["tables"][table]["files"])
    return found


def live(home: Path) -> str | None:
    """The id of the generation that is served."""
    current = home / "generations" / "CURRENT"
    return current.read_text().strip() if current.is_file() else None


def make_world_home(home: Path, world: Path) -> None:
    """A home that holds a world: embedded Postgres migrated and loaded, no snapshot yet."""
    from datetime import datetime

    from store.home import HomeRecord, write_home
    from store.settings import Settings
    from store.source import embedded_server
    from store.worlds import load_world

    home.mkdir(parents=True, exist_ok=True)
    with embedded_server(Settings(home=home)) as server:
        loaded = load_world(server.url(), world, replace=True)
    assert isinstance(loaded.as_of, datetime)
    write_home(home, HomeRecord(world=loaded.name, as_of=loaded.as_of, origin=f"test:{loaded.name}"))
