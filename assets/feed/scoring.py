"""The five published integers of a ranked score, in micro-bits (spec 03.3).

Lives here: verb, time, engagement and affinity; diversity is in ``diversity`` because it needs the
whole feed. Does not belong here: order and caps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from assets.feed.cards import DAILY_VERBS, Deck
from assets.feed.compressed import Weighed, numbers, starts
from assets.feed.kernels import Longs, Numbers
from assets.feed.log2 import micro_bits, micro_bits_table
from assets.feed.people import People
from assets.feed.window import Ground
from quality.feed import OBJECT_TYPES

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


@dataclass(frozen=True)
class Points:
    """What a ranked card's points are read from: by card, by activity, by pair of people."""

    k_verb: Longs
    k_engagement: Longs
    k_time: Longs
    affinity: Weighed

    @property
    def deck_size(self) -> int:
        """How many cards there may be."""
        return int(self.k_verb.size)

    def k_affinity(self, viewers: Numbers, others: Numbers) -> Longs:
        """``L(min(15, n))`` of the activities between two people."""
        logs = np.array([micro_bits(n) for n in range(AFFINITY_CAP + 1)], dtype=np.int64)
        return np.asarray(logs[np.minimum(AFFINITY_CAP, self.affinity.value(viewers, others))])


def points(deck: Deck, ground: Ground, engaged: pl.DataFrame, affinity: Weighed, half_life_hours: int) -> Points:
    """The points of a deck's cards."""
    return Points(
        k_verb(deck.cards["verb"]),
        k_engagement(deck.cards, engaged),
        k_time(ground.acts["created_us"], half_life_hours),
        affinity,
    )


def k_verb(verbs: pl.Series) -> Longs:
    """Micro-bits of the card's verb."""
    return verbs.replace_strict(dict(VERB_MICRO_BITS), return_dtype=pl.Int64).to_numpy()


def k_time(last_us: pl.Series, half_life_hours: int) -> Longs:
    """Exponential decay as a constant: µs since 1970 // half-life in seconds, floored."""
    return np.asarray(last_us.to_numpy() // (half_life_hours * 3600))


def k_engagement(cards: pl.DataFrame, engaged: pl.DataFrame) -> Longs:
    """Of the card's object; 0 for friend_add and group_join."""
    known = cards.join(engaged, on=["object_type", "object_id"], how="left", maintain_order="left")
    is_daily = pl.col("verb").is_in(DAILY_VERBS)
    return known.select(
        pl.when(is_daily).then(0).otherwise(pl.col("k_engagement").fill_null(0)).cast(pl.Int64)
    ).to_series().to_numpy()  # fmt: skip


def engagement(activities: pl.DataFrame, active: pl.Series) -> pl.DataFrame:
    """``object_type, object_id, k_engagement`` of every object somebody reacted to, commented on or reshared.

    ``activities`` are those before as_of; counts are of undeleted ones by distinct active actors per
    verb, which are told apart by their weights.
    """
    weight = pl.col("verb").replace_strict(dict(ENGAGEMENT_WEIGHT), return_dtype=pl.Int32).alias("weight")
    counted = (
        activities.filter(
            pl.col("verb").is_in(list(ENGAGEMENT_WEIGHT))
            & pl.col("deleted_at").is_null()
            & pl.col("actor_id").is_in(active.implode())
        )
        .select(pl.col("object_type").cast(pl.Enum(OBJECT_TYPES)), "object_id", weight, "actor_id")
        .unique()
        .group_by("object_type", "object_id")
        .agg(pl.col("weight").sum().cast(pl.Int64).alias("engaged"))
    )
    logs = micro_bits_table(counted["engaged"], name="k_engagement")
    return counted.join(logs, on="engaged").select(pl.col("object_type").cast(pl.String), "object_id", "k_engagement")


def affinity_start(as_of: datetime) -> datetime:
    """90 days before the first instant of as_of's UTC month, so that within a month counts only grow."""
    month = as_of.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return month - timedelta(days=AFFINITY_DAYS)


def affinity(resolved: pl.DataFrame, people: People, as_of: datetime) -> Weighed:
    """How many undeleted activities there are between two people, both ways, once each; uncapped.

    An activity is between its actor and the owner of the object it reacts to or comments on, and
    between its actor and everyone it mentions.
    """
    recent = resolved.filter(
        (pl.col("created_at") >= affinity_start(as_of))
        & (pl.col("created_at") < as_of)
        & pl.col("deleted_at").is_null()
    )
    is_on_object = pl.col("verb").is_in(["reaction", "comment"])
    on_object = recent.filter(is_on_object).select("actor_id", pl.col("owner_id").alias("other_id"))
    mentions = (
        recent.filter(pl.col("mentioned_user_ids").list.len() > 0)
        .select("id", "actor_id", pl.when(is_on_object).then("owner_id"), other_id="mentioned_user_ids")
        .explode("other_id")
        .filter(pl.col("other_id").ne_missing(pl.col("owner_id")))
        .unique()
    )
    between = pl.concat([on_object, mentions.select("actor_id", "other_id")]).filter(
        pl.col("other_id") != pl.col("actor_id")
    )
    a, b = (numbers(people.number(between[name])).astype(np.int64) for name in ("actor_id", "other_id"))
    once, n = np.unique(np.minimum(a, b) << 32 | np.maximum(a, b), return_counts=True)
    low, high = once >> 32, once & 0xFFFFFFFF
    edge = np.concatenate([once, high << 32 | low])
    order = np.argsort(edge, kind="stable")
    row, other = pl.Series(edge[order] >> 32), (edge[order] & 0xFFFFFFFF).astype(np.int32)
    return Weighed(starts(row, people.count), other, np.concatenate([n, n])[order].astype(np.int64))
