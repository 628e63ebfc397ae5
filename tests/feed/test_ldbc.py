"""The chronological mode on public data equals LDBC SNB IC2 (spec 03.7)."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from assets.feed.product import feed
from assets.frame import Inputs, Result
from quality.staged import STAGED
from store.settings import FeedSettings
from tests.support.feed import frame_of

WORLD = Path(__file__).parents[2].parent / "shared" / "worlds" / "ldbc_sf0003"
pytestmark = pytest.mark.skipif(not WORLD.is_dir(), reason=f"world not found: {WORLD}")
SCHEMAS = {contract.name: contract.schema for contract in STAGED}
NEWEST = 20


def _world(name: str) -> pl.DataFrame:
    path = WORLD / f"{name.removeprefix('staged_')}.parquet"
    return pl.read_parquet(path).select(list(SCHEMAS[name])) if path.exists() else frame_of(name, [])


def _feed(config: FeedSettings) -> Result:
    return feed.compute(
        Inputs(
            frames={name: _world(name).lazy() for name in feed.inputs},
            previous={name: frame_of(name, []).lazy() for name in feed.tables},
            previous_as_of=None,
            config=config,
            as_of=datetime.fromisoformat(json.loads((WORLD / "world.json").read_text())["as_of"]),
        )
    )


def test_every_person_reads_the_20_newest_messages_of_friends() -> None:
    friends: dict[int, set[int]] = defaultdict(set)
    for a, b in _world("staged_friendships").select("user_a_id", "user_b_id").rows():
        friends[a].add(b)
        friends[b].add(a)
    activities = _world("staged_activities").filter(pl.col("verb").is_in(["post", "comment"]))
    messages = activities.select("id", "actor_id", pl.col("created_at").to_physical().alias("us")).rows()
    newest_first = sorted(messages, key=lambda message: (-message[2], message[0]))
    items = _feed(FeedSettings(window_days=36500, reply_rule="all")).tables["feed_items"]
    others = items.filter((pl.col("mode") == "chronological") & (pl.col("lead_actor_id") != pl.col("viewer_id")))
    people = _world("staged_users")["id"].to_list()
    assert len(people) == 222
    for person in people:
        expected = [id_ for id_, actor, _ in newest_first if actor in friends[person]][:NEWEST]
        read = others.filter(pl.col("viewer_id") == person)["lead_activity_id"].to_list()[:NEWEST]
        assert read == expected, person


def test_the_ranked_order_on_real_data_is_by_score_with_suggestions_last() -> None:
    config = FeedSettings()
    items = _feed(config).tables["feed_items"].filter(pl.col("mode") == "ranked")
    assert items["viewer_id"].n_unique() > 150
    ordered = items.sort(
        ["viewer_id", pl.col("reason") == "suggested", "score", "last_activity_at", "item_id"],
        descending=[False, False, True, True, False],
    )
    assert items.equals(ordered)
