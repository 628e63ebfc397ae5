"""Digests of real people: `ldbc_sf0003` over two days of ticks equals the oracle, and reads well."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.digests.product import digests
from quality.staged import STAGED
from tests.support.digests import Runs, World
from tests.support.digests_oracle import Oracle

FOLDER = Path(__file__).parents[2].parent / "shared" / "worlds" / "ldbc_sf0003"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"world not found: {FOLDER}")
SCHEMAS = {contract.name: contract.schema for contract in STAGED}


def _world() -> World:
    world = World()
    for name in digests.inputs:
        path = FOLDER / f"{name.removeprefix('staged_')}.parquet"
        if path.exists():
            world.tables[name] = pl.read_parquet(path).select(list(SCHEMAS[name])).to_dicts()
    return world


def test_four_runs_over_real_people_equal_the_oracle() -> None:
    world, runs, oracle = _world(), Runs(), Oracle()
    as_of = datetime.fromisoformat(json.loads((FOLDER / "world.json").read_text())["as_of"])
    built = 0
    for hours in (48, 25, 5, 0):
        result = runs.run(world, as_of - timedelta(hours=hours))
        rows, groups, items = oracle.run(world, as_of - timedelta(hours=hours))
        found = result.tables["digests"].select(set(rows[0])).sort("digest_id").to_dicts()
        assert found == sorted(({k: r[k] for k in found[0]} for r in rows), key=lambda r: str(r["digest_id"]))
        assert result.tables["digest_groups"].drop("text").to_dicts() == sorted(
            ({k: g[k] for k in result.tables["digest_groups"].columns if k != "text"} for g in groups),
            key=lambda g: (str(g["digest_id"]), g["rank"]),
        )
        assert result.tables["digest_items"].height == len(items)
        built += result.tables["digest_bodies"].height
    assert built > 30
    people = {row["display_name"] for row in world.tables["staged_users"]}
    texts = runs.table("digest_groups")["text"].to_list()
    assert all(any(text.startswith(name) for name in people) for text in texts), "every line begins with a real name"
    assert not any("Someone" in text or "update" in text for text in texts)
