"""Streams: which (user, kind, channel) exist, and where the previous run left them.

A stream exists iff the user (active, not erased) has that schedule and at least one preference
with that mode on that channel. Does not belong here: when a stream is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from assets.frame import StageCount
from store.zones import known_zone

STREAM = ["user_id", "kind", "channel"]
KINDS = ("daily", "weekdays", "weekly")
MONDAY = 1


@dataclass(frozen=True)
class Streams:
    """Existing streams with their schedule, zone and state, one row each, and the counts."""

    rows: pl.DataFrame
    counts: tuple[StageCount, ...]
    unknown_zone_count: int


def present_users(users: pl.LazyFrame, erasures: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """Users who are there at ``as_of``, active and not erased."""
    return users.filter(pl.col("status") == "active", pl.col("created_at") < as_of).join(
        erasures.select("user_id"), left_on="id", right_on="user_id", how="anti"
    )


def streams(
    schedules: pl.LazyFrame,
    preferences: pl.LazyFrame,
    users: pl.LazyFrame,
    state: pl.LazyFrame,
) -> Streams:
    """Every stream that exists. ``users`` are the present ones, ``state`` is `digest_streams`.

    Adds ``time_zone`` (as the snapshot holds it), ``zone`` (known to tzdata, else UTC), ``week_day``
    (null = Monday) and the state's columns, null for a stream without any row.
    """
    modes = (
        preferences.filter(pl.col("mode").is_in(list(KINDS)))
        .select("user_id", pl.col("mode").alias("kind"), "channel")
        .unique()
    )
    matched = (
        modes.join(schedules, on=["user_id", "kind"], how="left", coalesce=True)
        .join(
            users.select(pl.col("id").alias("user_id"), "time_zone", "locale", "display_name"),
            on="user_id",
            how="left",
        )
        .collect()
    )
    has_user = pl.col("time_zone").is_not_null()
    has_schedule = pl.col("enabled_at").is_not_null()
    rows = matched.filter(has_user & has_schedule)
    count = StageCount(
        "streams",
        matched.height,
        rows.height,
        filtered={
            "user_not_active": matched.filter(~has_user).height,
            "no_such_schedule": matched.filter(has_user & ~has_schedule).height,
        },
    )
    zones = (
        rows.select("time_zone")
        .unique()
        .with_columns(pl.col("time_zone").map_elements(known_zone, return_dtype=pl.String).alias("zone"))
    )
    rows = (
        rows.join(zones, on="time_zone")
        .join(state.collect(), on=STREAM, how="left")
        .with_columns(pl.col("week_day").fill_null(MONDAY), pl.col("settled_days").fill_null([]))
        .sort(STREAM)
    )
    unknown = rows.filter(pl.col("zone") != pl.col("time_zone")).select("user_id").n_unique()
    return Streams(rows, (count,), unknown)
