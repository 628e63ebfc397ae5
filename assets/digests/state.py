"""State: what one run hands to the next (law 2), and what is dropped from it.

Nobody erased is carried on; what can no longer matter is pruned by arithmetic, not by guess.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from assets.digests.streams import STREAM
from quality.digests import digest_history
from store.settings import DigestsSettings

HISTORY_DAYS = 90
"""Days of built digests that the API serves (06.2)."""
_ZONE_SLACK = timedelta(days=3)
_HISTORY = list(digest_history.to_schema().columns)


def _longest(config: DigestsSettings) -> timedelta:
    floor = max(config.floor_daily_hours, config.floor_weekdays_hours, config.floor_weekly_hours)
    return timedelta(hours=floor)


def not_erased(rows: pl.LazyFrame, erasures: pl.LazyFrame) -> pl.LazyFrame:
    """``rows`` of people who have not asked to be erased."""
    return rows.join(erasures.select("user_id"), on="user_id", how="anti")


def next_streams(
    previous: pl.DataFrame, settled: pl.DataFrame, windows: pl.DataFrame, config: DigestsSettings, as_of: datetime
) -> pl.DataFrame:
    """`digest_streams` after a run; dates that no floor reaches any more are forgotten."""
    seen = settled.group_by(STREAM).agg(pl.col("due_at").max(), pl.col("day").alias("days"))
    oldest = (as_of - _longest(config) - _ZONE_SLACK).date()
    moved = windows.select(
        *STREAM, pl.col("last_closed_end").alias("closed"), pl.col("first_window_start").alias("first")
    )
    return (
        previous.join(seen.join(moved, on=STREAM), on=STREAM, how="full", coalesce=True)
        .select(
            *STREAM,
            pl.max_horizontal("last_settled_due_at", "due_at").alias("last_settled_due_at"),
            pl.coalesce("first_window_start", "first").alias("first_window_start"),
            pl.coalesce("closed", "last_closed_end").alias("last_closed_end"),
            pl.concat_list(pl.col("settled_days").fill_null([]), pl.col("days").fill_null([]))
            .list.unique()
            .list.sort()
            .list.eval(pl.element().filter(pl.element() >= oldest))
            .alias("settled_days"),
        )
        .sort(STREAM)
    )


def next_delivered(delivered: pl.DataFrame, config: DigestsSettings, as_of: datetime) -> pl.DataFrame:
    """`digest_delivered` without what no later window can reach: floor + expiry + lateness."""
    expire = timedelta(hours=max(config.expire_hours, config.expire_weekly_hours))
    oldest = as_of - _longest(config) - expire - timedelta(hours=config.late_hours)
    return delivered.filter(pl.col("created_at") >= oldest).sort("user_id", "channel", "notification_id")


def carried_history(previous: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """What the last 90 days leave of the previous `digest_history`."""
    oldest = as_of - timedelta(days=HISTORY_DAYS)
    return previous.filter(pl.col("due_at") > oldest).select(_HISTORY).sort("digest_id")


def next_history(
    previous: pl.DataFrame, rows: pl.DataFrame, groups: pl.DataFrame, bodies: pl.DataFrame, as_of: datetime
) -> pl.DataFrame:
    """`digest_history`: the last 90 days of built digests, this run's among them.

    ``rows`` = built rows of `digests`; ``groups`` = rendered groups with notification_ids and
    principal_ids; ``bodies`` = `digest_bodies`.
    """
    fields = [field.name for field in _group_fields()]
    folded = (
        groups.sort("digest_id", "rank")
        .group_by("digest_id", maintain_order=True)
        .agg(pl.struct(fields).alias("groups"))
    )
    fresh = (
        rows.join(folded, on="digest_id", how="left")
        .join(bodies, on="digest_id")
        .with_columns(pl.col("groups").fill_null([]))
    )
    kept = carried_history(previous, as_of)
    return pl.concat([kept, fresh.select(_HISTORY).cast(kept.schema)]).sort("digest_id")


def _group_fields() -> list[pl.Field]:
    return digest_history.to_schema().columns["groups"].dtype.type.inner.fields  # type: ignore[no-any-return]
