"""The quality gate in real runs: broken recommendations are not accepted, everything else is published all the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from store.generator import generate_world
from store.serving import Generations
from tests.support.flowforge import flowforge

pytestmark = pytest.mark.slow
FIRST = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
BROKEN = {"FLOWFORGE_FRIENDS__SOURCES": '["co_membership"]'}
"""Without friends of friends and PageRank the ranker sees a fraction of whom people will befriend."""


def recommended(home: Path) -> pl.DataFrame:
    """The newest accepted recommendations."""
    folder = home / "lake" / "products" / "friend_recommendations"
    newest = json.loads(max(folder.glob("[0-9]*.json")).read_text())["id"]
    return pl.read_parquet(folder / newest / "part-*.parquet")


def test_a_broken_ranker_is_not_accepted_and_the_last_recommendations_are_carried_filtered_again(tmp_path):
    tmp_path.chmod(0o755)
    home, world = tmp_path / "home", tmp_path / "world"
    generate_world(world, users=300, seed=5, as_of=FIRST)
    try:
        assert flowforge("source", "load", "--replace", str(world), home=home).returncode == 0
        done = flowforge("run", home=home)
        assert done.returncode == 0, done.stdout + done.stderr
        accepted = recommended(home)
        pair = accepted.sort("viewer_id", "rank").row(0, named=True)

        block = {"blocker_id": pair["candidate_id"], "blocked_id": pair["viewer_id"], "created_at": FIRST}
        blocks = pl.read_parquet(world / "blocks.parquet")
        more = pl.DataFrame([{name: block.get(name) for name in blocks.columns}], schema=blocks.schema)
        pl.concat([blocks, more]).write_parquet(world / "blocks.parquet")
        told = json.loads((world / "world.json").read_text())
        told["as_of"] = (FIRST + timedelta(days=1)).isoformat()
        (world / "world.json").write_text(json.dumps(told))
        assert flowforge("source", "load", "--replace", str(world), home=home).returncode == 0
        worse = flowforge("run", "--accept-drift", home=home, **BROKEN)

        said = " ".join((worse.stdout + worse.stderr).split())
        assert "not accepted friend_model" in said, said
        assert "recall_at_20" in said, said
        assert recommended(home).equals(accepted)
        generations = Generations(home)
        generations.refresh()
        served = generations.current()
        assert served is not None and served.id.startswith("20260602T083000")
        carried = {name for name, held in served.datasets.items() if held.is_carried_over}
        assert carried == {"friend_recommendations", "friend_scores"}
        shown = served.dataset("friend_recommendations")
        assert shown is not None
        left = json.loads(shown.page_json(shown.find(pair["viewer_id"])))["data"]
        mine = accepted.filter(viewer_id=pair["viewer_id"]).sort("rank")["candidate_id"].to_list()
        assert [int(item["candidate_id"]) for item in left] == mine[1 : 1 + len(left)]
        assert [item["rank"] for item in left] == list(range(1, len(left) + 1))
    finally:
        flowforge("source", "down", home=home)
