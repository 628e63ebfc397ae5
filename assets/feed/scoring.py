"""The five published integers of a ranked score, in micro-bits (spec 03.3).

Lives here: verb, time, engagement and affinity; diversity is in ``diversity`` because it needs the
whole feed. Does not belong here: order and caps.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from assets.feed.cards import DAILY_VERBS
from assets.feed.log2 import micro_bits_table
from assets.feed.people import People

VERB_MICRO_BITS: Mapping[str, int] = {
    "post": 2_000_000,
    "reshare": 1_500_000,
    "comment": 1_000_000,
    "friend_add": 1_000_000,
    "group_join": 500_000,
    "reaction": 0,
}
ENGAGEMENT_WEIGHT: Mapping[str, int] = {"reaction": 1, "comment": 2, "reshare": 3}
AFFINITY_DAYS = 90
AFFINITY_CAP = 15


def k_verb(verb: str = "verb") -> pl.Expr:
    """Micro-bits of the card's verb."""
    return pl.col(verb).replace_strict(dict(VERB_MICRO_BITS), return_dtype=pl.Int64).alias("k_verb")


def k_time(last_us: str, half_life_hours: int) -> pl.Expr:
    """Exponential decay as a constant: µs since 1970 // half-life in seconds, floored."""
    return pl.col(last_us).floordiv(half_life_hours * 3600).alias("k_time")


def engagement(activities: pl.DataFrame, active: pl.Series) -> pl.DataFrame:
    """``object_type, object_id, k_engagement`` of every object somebody reacted to, commented on or reshared.

    ``activities`` are those before as_of; counts are of undeleted ones by distinct active actors per verb.
    """
    counted = (
        activities.filter(
            pl.col("verb").is_in(list(ENGAGEMENT_WEIGHT))
            & pl.col("deleted_at").is_null()
            & pl.col("actor_id").is_in(active.implode())
        )
        .select("object_type", "object_id", "verb", "actor_id")
        .unique()
        .group_by("object_type", "object_id")
        .agg(pl.col("verb").replace_strict(dict(ENGAGEMENT_WEIGHT), return_dtype=pl.Int64).sum().alias("engaged"))
    )
    logs = micro_bits_table(counted["engaged"], name="k_engagement")
    return counted.join(logs, on="engaged").drop("engaged")


def with_card_parts(cards: pl.DataFrame, engaged: pl.DataFrame) -> pl.DataFrame:
    """Add ``k_verb`` and ``k_engagement`` (0 for friend_add and group_join) to a deck's cards."""
    return cards.join(engaged, on=["object_type", "object_id"], how="left", maintain_order="left").with_columns(
        k_verb(),
        pl.when(pl.col("verb").is_in(DAILY_VERBS)).then(0).otherwise(pl.col("k_engagement").fill_null(0))
        .cast(pl.Int64).alias("k_engagement"),
    )  # fmt: skip


def affinity_start(as_of: datetime) -> datetime:
    """90 days before the first instant of as_of's UTC month, so that within a month counts only grow."""
    month = as_of.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return month - timedelta(days=AFFINITY_DAYS)


def affinity(resolved: pl.DataFrame, people: People, as_of: datetime) -> pl.DataFrame:
    """``edge, n, k_affinity``: undeleted activities between two people, both ways, once each.

    An activity is between its actor and the owner of the object it reacts to or comments on, and
    between its actor and everyone it mentions. ``edge`` is the two packed, in either order; ``n``
    is uncapped; ``k_affinity = L(min(15, n))``.
    """
    recent = resolved.filter(
        (pl.col("created_at") >= affinity_start(as_of))
        & (pl.col("created_at") < as_of)
        & pl.col("deleted_at").is_null()
    )
    on_object = recent.filter(pl.col("verb").is_in(["reaction", "comment"])).select(
        "id", "actor_id", pl.col("owner_id").alias("other_id")
    )
    mentions = (
        recent.filter(pl.col("mentioned_user_ids").list.len() > 0)
        .select("id", "actor_id", pl.col("mentioned_user_ids").alias("other_id"))
        .explode("other_id")
    )
    between = pl.concat([on_object, mentions]).filter(pl.col("other_id") != pl.col("actor_id")).unique()
    a, b = people.number(between["actor_id"]), people.number(between["other_id"])
    edges = pl.concat([people.pack(a, b), people.pack(b, a)]).alias("edge")
    counted = edges.to_frame().group_by("edge").agg(pl.len().cast(pl.Int64).alias("n"))
    capped = counted.with_columns(capped=pl.col("n").clip(upper_bound=AFFINITY_CAP))
    return capped.join(micro_bits_table(capped["capped"], name="k_affinity"), on="capped").drop("capped")
