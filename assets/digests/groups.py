"""Groups (04.3): items of one digest folded by what was done to what, counted and put in order.

Every count is exact; the cut at ``max_groups`` hides groups, it never loses an item.
"""

from __future__ import annotations

import polars as pl

from assets.digests.items import PRIORITIES

SAMPLE_ACTORS = 3
_GROUP = ["digest_id", "group_key"]


def group_key() -> pl.Expr:
    """``verb|object_type|object_id``, null as empty."""
    return pl.concat_str(
        "verb",
        pl.col("object_type").fill_null(""),
        pl.col("object_id").cast(pl.String).fill_null(""),
        separator="|",
    )


def _actors(items: pl.DataFrame) -> pl.DataFrame:
    """Per group its distinct actors, newest item first, then by id."""
    return (
        items.drop_nulls("actor_id")
        .group_by(*_GROUP, "actor_id")
        .agg(pl.col("created_at").max())
        .sort(*_GROUP, "created_at", "actor_id", descending=[False, False, True, False])
        .group_by(_GROUP, maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("actor_count"), pl.col("actor_id").alias("actor_ids"))
    )


def grouped(items: pl.DataFrame) -> pl.DataFrame:
    """``items`` (with digest_id, group_key) → one row per group with its rank, before any cut.

    Order: highest priority desc, actor_count desc, last_activity_at desc, group_key asc (bytes).
    A group's category and owner are those of its newest item.
    """
    newest_first = items.sort(*_GROUP, "created_at", "notification_id", descending=[False, False, True, True])
    folded = newest_first.group_by(_GROUP, maintain_order=True).agg(
        pl.col("category", "verb", "object_type", "object_id", "owner_id", "body").first(),
        pl.col("feature_key", "threshold_percent", "resets_at").first(),
        pl.len().cast(pl.Int64).alias("item_count"),
        pl.col("is_late").sum().cast(pl.Int64).alias("late_count"),
        pl.col("created_at").max().alias("last_activity_at"),
        pl.col("priority").replace_strict(PRIORITIES, return_dtype=pl.Int64).max().alias("priority"),
        pl.col("notification_id").sort().alias("notification_ids"),
    )
    return (
        folded.join(_actors(items), on=_GROUP, how="left")
        .with_columns(pl.col("actor_count").fill_null(0), pl.col("actor_ids").fill_null([]))
        .with_columns(pl.col("actor_ids").list.head(SAMPLE_ACTORS).alias("sample_actor_ids"))
        .sort(
            "digest_id", "priority", "actor_count", "last_activity_at", "group_key",
            descending=[False, True, True, True, False],
        )
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("digest_id").alias("rank"))
    )  # fmt: skip


def counted(groups: pl.DataFrame, max_groups: pl.DataFrame) -> pl.DataFrame:
    """Per digest its counts; ``max_groups``: digest_id, max_groups. eligible = rendered + more."""
    is_hidden = pl.col("rank") > pl.col("max_groups")
    return (
        groups.join(max_groups, on="digest_id")
        .group_by("digest_id")
        .agg(
            pl.col("item_count").sum().alias("eligible_count"),
            pl.len().cast(pl.Int64).alias("group_count"),
            pl.col("item_count").filter(is_hidden).sum().alias("more_count"),
            pl.col("late_count").sum().alias("late_count"),
        )
    )
