"""Feed items as clients get them (spec 06.2 FeedItem), with sort keys and guards (06.1). Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from assets.published.encoding import encoded, frozen, text_buffers, text_series
from assets.published.guards import OBJECT_TYPE, VERB, ReplyRule, feed_guards
from assets.published.kernels import (
    CHRONOLOGICAL_KEY_BYTES,
    ITEM_ID_BYTES,
    RANKED_KEY_BYTES,
    chronological_keys,
    is_sorted,
    ranked_keys,
)
from quality.feed import FEED_REASONS
from store.payloads import Mode
from store.payloads.words import SCORE_PARTS

_ITEM: Final = (
    "item_id",
    "sort_key",
    "verb",
    "object_type",
    "object_id",
    "object_owner_id",
    "lead_activity_id",
    "lead_actor_id",
    "actor_count",
    "sample_actor_ids",
    "other_count",
    "first_activity_at",
    "last_activity_at",
    "reason",
    "is_unseen",
)
_WORDS: Final = {"verb": VERB, "object_type": OBJECT_TYPE, "reason": pl.Enum(FEED_REASONS)}


def feed_list(
    feed_items: pl.LazyFrame, activities: pl.LazyFrame, mode: Mode, reply_rule: ReplyRule = "friends"
) -> pl.DataFrame:
    """Items of one mode as :func:`assets.published.rows.list_rows` takes them."""
    columns = dict.fromkeys((*(name for name in _ITEM if name != "sort_key"), "viewer_id", "position", "score"))
    narrow = feed_items.filter(pl.col("mode") == mode).select(*columns)
    # Words become numbers before anything is copied.
    items = narrow.with_columns(pl.col(name).cast(kind) for name, kind in _WORDS.items()).collect().rechunk()
    if not is_sorted(*(frozen(items[name].to_numpy()) for name in ("viewer_id", "position"))):
        items = items.sort("viewer_id", "position").rechunk()
    keyed = items.with_columns(sort_keys(items, mode).alias("sort_key"))
    return keyed.select(
        "viewer_id",
        pl.struct(_ITEM).alias("fragment"),
        pl.col("sort_key").alias("fragment_key"),
        (pl.col("reason") == "suggested").alias("is_cold"),
    ).hstack(feed_guards(items, activities, reply_rule))


def tombstone_documents(tombstones: pl.LazyFrame, viewers: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Viewers and bodies of the dataset ``feed_tombstones``: what left a feed, and why (03.4)."""
    buried = (
        tombstones.filter(pl.col("viewer_id").is_in(viewers.implode()))
        .sort("viewer_id", "mode", "item_id")
        .group_by("viewer_id", maintain_order=True)
        .agg(pl.struct("mode", "item_id", "reason").alias("gone"))
        .collect()
    )
    return buried["viewer_id"], buried.select(encoded(pl.col("gone"))).to_series()


def score_documents(feed_items: pl.LazyFrame, viewers: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Viewers and bodies of the dataset ``feed_scores``: the five parts of each ranked item's score, in order."""
    parts = pl.format("[{},{},{},{},{}]", *SCORE_PARTS)
    scored = (
        feed_items.filter((pl.col("mode") == "ranked") & pl.col("viewer_id").is_in(viewers.implode()))
        .sort("viewer_id", "position")
        .group_by("viewer_id", maintain_order=True)
        .agg(parts.alias("parts"))
        .select(
            "viewer_id",
            pl.concat_str(pl.lit('{"parts":['), pl.col("parts").list.join(","), pl.lit("]}")).alias("body"),
        )
        .collect()
    )
    return scored["viewer_id"], scored["body"]


def sort_keys(items: pl.DataFrame, mode: Mode) -> pl.Series:
    """The opaque, fixed-width keys of ``store.payloads`` (ranked and chronological)."""
    micros = frozen(items["last_activity_at"].to_physical().to_numpy())
    if mode == "chronological":
        width = CHRONOLOGICAL_KEY_BYTES
        keys = np.empty(items.height * width, dtype=np.uint8)
        chronological_keys(keys, micros, frozen(items["lead_activity_id"].to_numpy()))
    else:
        width = RANKED_KEY_BYTES
        keys = np.empty(items.height * width, dtype=np.uint8)
        suggested, scores = (items["reason"] == "suggested").to_numpy(), items["score"].to_numpy()
        _, item_ids = text_buffers(items["item_id"])
        ranked_keys(keys, frozen(suggested), frozen(scores), micros, frozen(item_ids.reshape(-1, ITEM_ID_BYTES)))
    return text_series("sort_key", keys, np.arange(items.height + 1, dtype=np.int64) * width)
