"""Feed items as clients get them (spec 06.2 FeedItem), with sort keys and guards (06.1). Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from assets.published.rows import NO_IDS, encoded, hex16, id_lists, ids, instant
from store.payloads import Mode
from store.payloads.words import SCORE_PARTS

_ITEM: Final = (
    "item_id",
    "sort_key",
    "verb",
    "object_type",
    ids("object_id"),
    ids("object_owner_id"),
    ids("lead_activity_id"),
    ids("lead_actor_id"),
    "actor_count",
    id_lists("sample_actor_ids"),
    "other_count",
    instant("first_activity_at"),
    instant("last_activity_at"),
    "reason",
    "is_unseen",
)
_BODIES: Final = ("post", "comment")
"""Object types that an activity of their own made (01.1)."""


def feed_list(feed_items: pl.LazyFrame, activities: pl.LazyFrame, mode: Mode) -> pl.DataFrame:
    """Items of one mode as :func:`assets.published.rows.list_rows` takes them."""
    items = feed_items.filter(pl.col("mode") == mode).sort("viewer_id", "position").collect()
    keyed = items.with_columns(sort_keys(items, mode).alias("sort_key"))
    return keyed.select(
        "viewer_id",
        encoded(*_ITEM).alias("fragment"),
        pl.col("sort_key").alias("fragment_key"),
        (pl.col("reason") == "suggested").alias("is_cold"),
    ).hstack(feed_guards(items, activities))


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
    """The opaque, fixed-width keys of ``store.payloads`` (ranked and chronological), vectorised."""
    newest_first = hex16(((1 << 59) - items["last_activity_at"].to_physical().to_numpy()).astype(np.uint64))
    time = newest_first.str.slice(1)
    if mode == "chronological":
        return time + "|" + hex16(items["lead_activity_id"].to_numpy().astype(np.uint64))
    suggested = (items["reason"] == "suggested").to_numpy().astype(np.uint64) << np.uint64(63)
    by_score = ((1 << 62) - items["score"].to_numpy()).astype(np.uint64)
    return hex16(suggested | by_score) + time + "|" + items["item_id"]


def feed_guards(items: pl.DataFrame, activities: pl.LazyFrame) -> pl.DataFrame:
    """Per item: every principal of 03.1 that is known here, the groups, the activities it stands on.

    Principals: lead and sampled actors, the owner, and the replied-to and mentioned of the lead activity and
    of the object's own activity; a user who is the object.
    """
    acts = activities.select(
        "id",
        pl.concat_list(
            pl.col("mentioned_user_ids"), pl.concat_list("actor_id"), pl.concat_list("reply_to_user_id")
        ).alias("principals"),
        "group_id",
    )
    wanted = pl.concat([items["lead_activity_id"], items.filter(pl.col("object_type").is_in(_BODIES))["object_id"]])
    found = acts.filter(pl.col("id").is_in(wanted.unique().implode())).collect()
    is_body = pl.col("object_type").is_in(_BODIES)
    own = found.rename({"id": "own_id", "principals": "own_principals", "group_id": "own_group_id"})
    joined = (
        items.with_columns(pl.when(is_body).then("object_id").alias("own_id"))
        .join(found, left_on="lead_activity_id", right_on="id", how="left", maintain_order="left")
        .join(own, on="own_id", how="left", maintain_order="left")
    )

    def when(object_type: str) -> pl.Expr:
        return pl.concat_list(pl.when(pl.col("object_type") == object_type).then("object_id"))

    return joined.select(
        pl.concat_list(
            pl.concat_list("lead_actor_id"),
            pl.concat_list("object_owner_id"),
            pl.col("sample_actor_ids"),
            pl.col("principals").fill_null(NO_IDS),
            pl.col("own_principals").fill_null(NO_IDS),
            when("user"),
        ).alias("guard_users"),
        pl.concat_list(pl.concat_list("group_id"), pl.concat_list("own_group_id"), when("group")).alias("guard_groups"),
        pl.concat_list(pl.concat_list("lead_activity_id"), pl.concat_list("own_id")).alias("guard_objects"),
    )
