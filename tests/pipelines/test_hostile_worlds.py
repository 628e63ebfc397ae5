"""Worlds of hostile text, extreme instants, nobody or nothing: right results or a clear error.

Whole runs, in this process, from a database of the test's own server.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.refresh import Refresh, refresh
from store.generator import generate_world
from store.lake import Lake
from store.serving import Dataset, Generation
from store.settings import QualitySettings, Settings, SourceSettings
from store.worlds import load_world
from tests.support.flowforge import live
from tests.support.source import run, user, write_world

pytestmark = pytest.mark.slow

TEXTS = (
    "\u202eevil\u202c RTL \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "zero\u200bwidth\u200d\ufeffjoin",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308",
    "<script>alert('x')</script>",
    "\"><img src=x onerror='alert(1)'>",
    "quote ' double \" back \\ slash %s {name} $1 ; DROP TABLE users; --",
    "line\nbreak\r\nand\ttab\u2028\u2029",
    "\x01\x02\x1b[31mcontrol\x7f\x85",
    "\ud7ff\ue000\U0010ffff\ufffe",
    "A\u0300\u0301\u0302\u0303" * 50,
    "",
    " ",
    "x" * 100_000,
)
TAGS = (b"<script", b"<img src=x")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    yield tmp_path / "home"


def computed(home: Path, url: str, quality: QualitySettings = QualitySettings()) -> Refresh:  # noqa: B008
    """One whole run of a home on the database at ``url``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the orchestrator's own, which a command does not show
        return refresh(Settings(home=home, source=SourceSettings(url=url), quality=quality))


def served(home: Path, done: Refresh) -> Generation:
    assert done.is_success, done.error
    assert done.generation is not None
    assert live(home) == done.generation
    return Generation.open(home / "generations" / done.generation)


def dataset(generation: Generation, name: str) -> Dataset:
    found = generation.dataset(name)
    assert found is not None
    return found


def documents(generation: Generation) -> Iterator[Any]:
    """Every JSON document of a generation, parsed."""
    for name in generation.datasets:
        found = dataset(generation, name)
        for row in range(found.rows):
            for read in (found.body, found.page_json):
                try:
                    text = read(row)
                except KeyError:
                    continue
                if text:
                    yield json.loads(text)


def made_world(folder: Path, **changed: list[pl.Expr]) -> Path:
    """A generated world of 60 people, some of its columns replaced."""
    generate_world(folder, users=60, seed=3)
    for table, columns in changed.items():
        path = folder / f"{table}.parquet"
        pl.read_parquet(path).with_columns(columns).write_parquet(path)
    return folder


def _hostile(salt: int) -> pl.Expr:
    """One of the texts per row, in turn."""
    texts = pl.Series(TEXTS)
    return pl.lit(texts).gather((pl.int_range(pl.len()) + salt) % len(TEXTS))


def _as_json(texts: pl.Expr) -> pl.Expr:
    return texts.map_elements(lambda text: json.dumps({"text": text}), pl.String)


def test_hostile_text_comes_out_as_it_went_in_and_never_as_markup(
    tmp_path: Path, home: Path, fresh_database: str
) -> None:
    changed = {
        "users": [_hostile(0).alias("display_name")],
        "groups": [_hostile(1).alias("name")],
        "activities": [_as_json(_hostile(2)).alias("body")],
        "notifications": [_as_json(_hostile(3)).alias("payload")],
        "plans": [_hostile(4).alias("name")],
    }
    load_world(fresh_database, made_world(tmp_path / "w", **changed))
    generation = served(home, computed(home, fresh_database))
    assert sum(1 for _ in documents(generation)) > 100, "all of them are JSON"
    names = dict(pl.read_parquet(tmp_path / "w" / "users.parquet").select("id", "display_name").iter_rows())
    lake = Lake(home)
    newest = lake.newest_snapshot()
    assert newest is not None
    assert dict(lake.scan_snapshot(newest, "users").select("id", "display_name").collect().iter_rows()) == names
    told = 0
    found = dataset(generation, "digest_details")
    for row in range(found.rows):
        html = found.html(row)
        assert not any(tag in html.lower() for tag in TAGS), html[:500]
        told += b"&lt;script&gt;" in html
    assert told, "somebody's name with a tag in it stands in a digest, escaped"


@pytest.mark.parametrize("at", ["epoch", "infinity", "-infinity"])
def test_an_extreme_instant_anywhere_is_kept_rejected_or_cut_and_the_run_ends(
    at: str, tmp_path: Path, home: Path, fresh_database: str
) -> None:
    load_world(fresh_database, made_world(tmp_path / "w"))
    columns = {
        "users": ("created_at", "updated_at", "last_seen_at"),
        "friend_requests": ("created_at", "responded_at"),
        "friendships": ("created_at", "ended_at"),
        "blocks": ("created_at",),
        "mutes": ("created_at", "expires_at"),
        "recommendation_dismissals": ("dismissed_at",),
        "memberships": ("joined_at", "left_at"),
        "activities": ("created_at", "updated_at", "deleted_at"),
        "feed_hides": ("hidden_at",),
        "feed_reads": ("seen_at",),
        "notifications": ("created_at", "read_at", "deleted_at"),
        "notification_preferences": ("updated_at",),
        "digest_schedules": ("enabled_at", "paused_until"),
        "grants": ("effective_at", "expires_at", "voided_at"),
        "usage_events": ("ingested_at", "occurred_at"),
        "groups": ("created_at",),
    }
    statements = []
    for table, names in columns.items():
        for turn, name in enumerate(names):  # another row for each column
            row = f"SELECT ctid FROM app.{table} ORDER BY ctid OFFSET {turn} LIMIT 1"
            statements.append(f"UPDATE app.{table} SET {name} = '{at}' WHERE ctid = ({row})")
    run(fresh_database, *statements)
    if at == "infinity":
        refused = computed(home, fresh_database)
        assert "friendships.user_a_id: refers to a row that exists in users (allowed: 5)" in (refused.error or "")
    generation = served(home, computed(home, fresh_database, QualitySettings(reject_rows=1000)))
    assert all(document is not None for document in documents(generation))
    newest = Lake(home).newest_snapshot()
    assert newest is not None
    assert bool((newest.model_extra or {})["cut_instants"]) == (at != "epoch")


def _nobody(folder: Path) -> Path:
    return write_world(folder)


def _one_user(folder: Path) -> Path:
    return write_world(folder, users=[user(1)])


def _two_of_the_least_and_largest_id(folder: Path) -> Path:
    people = [user(0), user(2**63 - 1)]
    friendship = {"user_a_id": 0, "user_b_id": 2**63 - 1, "created_at": datetime(2026, 1, 2, tzinfo=UTC)}
    return write_world(folder, users=people, friendships=[friendship])


def _nobody_active(folder: Path) -> Path:
    gone = [pl.lit("deactivated").alias("status"), pl.lit(None, pl.Datetime("us", "UTC")).alias("last_seen_at")]
    return made_world(folder, users=gone)


@pytest.mark.parametrize("world", [_nobody, _one_user, _two_of_the_least_and_largest_id, _nobody_active])
def test_a_world_of_nobody_or_of_few_is_served(
    world: Callable[[Path], Path], tmp_path: Path, home: Path, fresh_database: str
) -> None:
    load_world(fresh_database, world(tmp_path / "w"))
    generation = served(home, computed(home, fresh_database))
    assert all(document is not None for document in documents(generation))
    users = tmp_path / "w" / "users.parquet"
    viewers = pl.read_parquet(users).filter(pl.col("status") == "active").height if users.is_file() else 0
    assert dataset(generation, "users").rows == viewers
    assert dataset(generation, "feed").rows <= viewers
