"""After ``flowforge erase USER`` nothing of them is below the home, and ``--verify`` proves it.

A whole home: its own server, a loaded world, a run, the command, another run. The commands run in this process.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from pipelines.cli import build_group
from pipelines.housekeeping import keep_house
from store.erasure import erased_people, forgotten_people
from store.generator import generate_world
from store.lake import Lake
from store.serving import Generation
from store.settings import Settings
from store.source import embedded_server
from store.traces import generation_holds
from tests.support.flowforge import live, make_world_home

pytestmark = pytest.mark.slow
DUE = 7


def command(*arguments: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the orchestrator's own, which a command does not show
        return CliRunner().invoke(build_group(), arguments)


def succeeds(*arguments: str) -> str:
    done = command(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """60 people, one of whom is written about by another, and one whose erasure is due."""
    folder = tmp_path / "world"
    generate_world(folder, users=60, seed=3)
    gone = busiest(folder)
    name = pl.read_parquet(folder / "users.parquet").filter(pl.col("id") == gone)["display_name"].item()
    path = folder / "activities.parquet"
    posts = pl.read_parquet(path)
    mine = (pl.col("actor_id") == gone) | (pl.col("object_owner_id") == gone) | (pl.col("reply_to_user_id") == gone)
    first = posts.filter((pl.col("verb") == "post") & ~mine.fill_null(value=False))["id"].min()
    about = pl.lit(f'{{"text": "Dear {name}"}}')
    posts.with_columns(body=pl.when(pl.col("id") == first).then(about).otherwise("body")).write_parquet(path)
    as_of = datetime.fromisoformat(json.loads((folder / "world.json").read_text())["as_of"])
    asked = pl.read_parquet(folder / "erasure_requests.parquet").clear()
    due = pl.DataFrame({"user_id": [DUE], "requested_at": [as_of - timedelta(days=31)]}, schema=asked.schema)
    due.write_parquet(folder / "erasure_requests.parquet")
    return folder


def busiest(world: Path) -> int:
    """Who does most: others write their name, and digests quote it."""
    counts = pl.read_parquet(world / "activities.parquet").group_by("actor_id").len().sort("len", "actor_id")
    return int(counts["actor_id"][-1])


@pytest.fixture
def home(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tmp_path.chmod(0o755)
    folder = tmp_path / "home"
    monkeypatch.setenv("FLOWFORGE_HOME", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
    make_world_home(folder, world)
    yield folder
    embedded_server(Settings(home=folder)).stop()


def test_an_erased_person_is_nowhere_and_stays_nowhere(home: Path, world: Path) -> None:
    gone, other = busiest(world), 2 if busiest(world) == 1 else 1
    succeeds("run")
    first = live(home)
    before = command("erase", str(gone), "--verify")
    assert before.exit_code == 1
    for part in ("lake/snapshots/", "lake/products/", f"generations/{first}/"):
        assert part in before.output.replace("\n", ""), "the scan finds them wherever they are"

    said = succeeds("erase", str(gone))
    assert f"without user {gone}" in said
    assert "nothing below" in said
    second = live(home)
    assert second is not None
    assert second != first
    assert not (home / "generations" / str(first)).exists(), "no rollback behind an erasure"
    succeeds("erase", str(gone), "--verify")
    assert set(erased_people(home)) == {gone}

    generation = Generation.open(home / "generations" / second)
    users = generation.dataset("users")
    assert users is not None
    assert users.find(gone) is None
    assert users.find(other) is not None
    newest = Lake(home).newest_snapshot()
    assert newest is not None
    posts = Lake(home).scan_snapshot(newest, "activities").collect()
    assert posts["body"].str.contains("Dear ", literal=True).any(), "other people's texts stay"
    assert command("erase", str(other), "--verify").exit_code == 1, "the scan still finds who is there"

    succeeds("run")
    succeeds("erase", str(gone), "--verify")


def test_who_is_due_is_forgotten_once_and_the_next_run_finds_everything_standing(home: Path, world: Path) -> None:
    assert busiest(world) != DUE
    succeeds("run")
    first = live(home)
    assert set(forgotten_people(home)) == {DUE}
    succeeds("erase", str(DUE), "--verify")
    assert not generation_holds(home / "generations" / str(first), {DUE})
    assert generation_holds(home / "generations" / str(first), {DUE, busiest(world)})
    assert keep_house(Settings(home=home)).erased == []
    succeeds("run")
    assert live(home) == first
