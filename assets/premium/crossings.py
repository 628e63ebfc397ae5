"""`usage_threshold_crossings` (rule 21): the first event with which a share of the plan's limit was reached.

Not here: grants and rollover, which crossings do not see; the digests that tell of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from assets.premium.allowances import is_level
from assets.premium.entitlements import burning_events

GROUP = ["row", "period_start"]


def usage_threshold_crossings(
    rows: pl.DataFrame, terms: pl.DataFrame, events: pl.DataFrame, as_of: datetime, keep: timedelta,
    percents: tuple[int, ...],
) -> pl.DataFrame:  # fmt: skip
    """One row per allowance, kept period and threshold that was reached."""
    is_kept = pl.col("period_end").is_null() | (pl.col("period_end") > as_of - keep)
    limited = terms.filter(is_kept & pl.col("is_counted") & (pl.col("plan_limit") > 0)).select(
        *GROUP, pl.col("period_end").alias("resets_at"), pl.col("plan_limit").alias("limit_value")
    )
    steps = _reached(events.join(limited, on=GROUP))
    thresholds = pl.DataFrame({"threshold_percent": sorted(set(percents))}, schema={"threshold_percent": pl.Int64})
    wide = pl.Int128
    is_reached = pl.col("reached").cast(wide) * 100 >= pl.col("threshold_percent").cast(wide) * pl.col("limit_value")
    keys = [*GROUP, "threshold_percent", "resets_at", "limit_value"]
    return (
        steps.join(thresholds, how="cross")
        .filter(is_reached)
        .group_by(keys)
        .agg(pl.col("occurred_at").sort_by("seq").first().alias("crossed_at"))
        .join(rows.select("row", "user_id", "feature_key"), on="row")
    )


def _reached(events: pl.DataFrame) -> pl.DataFrame:
    """``reached`` after each event: the running sum, or the level itself; a minimum is never reached."""
    running = burning_events(events).with_columns(
        pl.col("amount").cum_sum().over(GROUP, order_by="seq").alias("reached")
    )
    levels = events.filter(is_level() & (pl.col("aggregation") != "min")).with_columns(
        pl.col("amount").alias("reached")
    )
    return pl.concat([running, levels])
