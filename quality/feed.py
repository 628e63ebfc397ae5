"""Contracts of the feed tables (spec 03.4)."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from quality.contract import Contract, Rule
from quality.types import BigintList, Instant, Strict

MODES = ("chronological", "ranked")
VERBS = ("post", "reshare", "comment", "reaction", "friend_add", "group_join")
OBJECT_TYPES = ("post", "comment", "user", "group")
FEED_REASONS = ("own", "friend", "suggested")
TOMBSTONE_REASONS = ("removed", "aged_out", "displaced")
ITEM_ID = r"^[0-9a-f]{16}$"
SAMPLE_ACTORS = 3


class feed_items(pa.DataFrameModel):
    """One card of one viewer's feed in one mode."""

    viewer_id: pl.Int64
    mode: pl.String
    position: pl.Int64
    item_id: pl.String
    verb: pl.String
    object_type: pl.String
    object_id: pl.Int64
    object_owner_id: pl.Int64 = pa.Field(nullable=True)
    lead_activity_id: pl.Int64
    lead_actor_id: pl.Int64
    actor_count: pl.Int64
    sample_actor_ids: BigintList
    other_count: pl.Int64
    first_activity_at: Instant
    last_activity_at: Instant
    score: pl.Int64
    k_verb: pl.Int64
    k_time: pl.Int64
    k_engagement: pl.Int64
    k_affinity: pl.Int64
    k_diversity: pl.Int64
    reason: pl.String
    is_unseen: pl.Boolean

    Config = Strict


class feed_tombstones(pa.DataFrameModel):
    """An item of an earlier generation that is gone, and why."""

    viewer_id: pl.Int64
    mode: pl.String
    item_id: pl.String
    reason: pl.String
    removed_at: Instant

    Config = Strict


_list = pl.col("sample_actor_ids").list
_parts = pl.sum_horizontal("k_verb", "k_time", "k_engagement", "k_affinity", "k_diversity")
_is_ranked = pl.col("mode") == "ranked"
_follows = (pl.col("viewer_id") == pl.col("viewer_id").shift(1)) & (pl.col("mode") == pl.col("mode").shift(1))
_next_position = pl.when(_follows.fill_null(value=False)).then(pl.col("position").shift(1) + 1).otherwise(1)


def _one_of(column: str, labels: tuple[str, ...]) -> Rule:
    return Rule(f"{column} is one of {', '.join(labels)}", column, ~pl.col(column).is_in(list(labels)))


FEED: tuple[Contract, ...] = (
    Contract(
        feed_items,
        key=("viewer_id", "mode", "position"),
        group="feed",
        kind="product",
        is_published=True,
        rules=(
            _one_of("mode", MODES),
            _one_of("verb", VERBS),
            _one_of("object_type", OBJECT_TYPES),
            _one_of("reason", FEED_REASONS),
            Rule("positions are dense from 1", "position", pl.col("position") != _next_position),
            Rule("item_id is 16 hex digits", "item_id", ~pl.col("item_id").str.contains(ITEM_ID)),
            Rule(
                "an item stands once in a feed",
                "item_id",
                pl.struct("viewer_id", "mode", "item_id").is_duplicated(),
            ),
            Rule(
                "one to three sample actors, all different",
                "sample_actor_ids",
                ~_list.len().is_between(1, SAMPLE_ACTORS) | (_list.n_unique() != _list.len()),
            ),
            Rule(
                "other_count = actor_count - sample actors",
                "other_count",
                (pl.col("other_count") != pl.col("actor_count") - _list.len().cast(pl.Int64))
                | (pl.col("other_count") < 0),
            ),
            Rule(
                "activities run from first to last",
                "first_activity_at",
                pl.col("first_activity_at") > pl.col("last_activity_at"),
            ),
            Rule("the parts sum to the score", "score", pl.col("score") != _parts),
            Rule("a chronological item has no score", "score", ~_is_ranked & (pl.col("score") != 0)),
            Rule("diversity never adds", "k_diversity", pl.col("k_diversity") > 0),
            Rule("only ranked feeds have suggestions", "reason", ~_is_ranked & (pl.col("reason") == "suggested")),
            Rule(
                "reason own iff the viewer leads",
                "reason",
                (pl.col("reason") == "own") != (pl.col("lead_actor_id") == pl.col("viewer_id")),
            ),
        ),
    ),
    Contract(
        feed_tombstones,
        key=("viewer_id", "mode", "item_id"),
        group="feed",
        kind="product",
        is_published=True,
        rules=(
            _one_of("mode", MODES),
            _one_of("reason", TOMBSTONE_REASONS),
            Rule("item_id is 16 hex digits", "item_id", ~pl.col("item_id").str.contains(ITEM_ID)),
        ),
    ),
)
