"""Suggested items for short ranked feeds (spec 03.3 Fill)."""

from __future__ import annotations

import polars as pl

from assets.feed.people import People, Relations
from assets.feed.window import Ground

FILL_TO = 10


def fill_acts(ground: Ground, public_actors: pl.Series) -> pl.DataFrame:
    """``post`` activities whose audiences are public, by actors (numbers) with a public profile; any time."""
    return ground.acts.filter(
        (pl.col("verb") == "post")
        & (pl.col("actor_level") == 0)
        & (pl.col("owner_level") == 0)
        & pl.col("actor").is_in(public_actors.implode())
    )


def public_profiles(active: pl.DataFrame, people: People) -> pl.Series:
    """Numbers of active users with a public profile."""
    return people.number(active.filter(pl.col("profile_visibility") == "public")["id"])


def short_feeds(viewers: pl.Series, items: pl.DataFrame, max_ranked: int) -> pl.DataFrame:
    """``viewer, room`` of viewers whose ranked feed has fewer than ten items: how many may be added."""
    filled = items.group_by("viewer").agg(pl.len().cast(pl.Int64).alias("filled"))
    target = min(FILL_TO, max_ranked)
    return (
        pl.DataFrame([viewers.cast(pl.UInt32).alias("viewer")])
        .join(filled, on="viewer", how="left")
        .select("viewer", (target - pl.col("filled").fill_null(0)).alias("room"))
        .filter(pl.col("room") > 0)
    )


def at_distance_two(viewers: pl.Series, others: pl.Series, relations: Relations) -> pl.DataFrame:
    """``viewer, other`` at distance exactly two: a common friend, not a friend, not oneself."""
    friends = relations.friends
    first = friends.filter(pl.col("viewer").is_in(viewers.implode()))
    second = friends.filter(pl.col("other").is_in(others.implode()))
    reached = (
        first.join(second, left_on="other", right_on="viewer", suffix="_far")
        .select("viewer", pl.col("other_far").alias("other"))
        .filter(pl.col("viewer") != pl.col("other"))
        .unique()
    )
    return reached.filter(~relations.are_friends(reached["viewer"], reached["other"]))
