"""`usage_daily` (rules 13 and 15): counted events per user, meter and local day.

Also the six aggregations, which entitlements share. Not here: intake, limits.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from assets.premium.calendar import with_local_day
from store.settings import PremiumSettings

ADDITIVE = ("sum", "count", "unique_count")
LEVEL = ("max", "min", "latest")


def usage_daily(counted: pl.DataFrame, users: pl.DataFrame, config: PremiumSettings, as_of: datetime) -> pl.DataFrame:
    """One row per user, meter and day of the user's present zone; deleted users have none."""
    present = users.filter(pl.col("status") != "deleted").select(pl.col("id").alias("user_id"), "time_zone")
    rows = with_local_day(counted.join(present, on="user_id"), "occurred_at", "time_zone")
    late = timedelta(days=config.late_days)
    return aggregate(rows, ["user_id", "meter_key", "day"], pl.col("day_end_at").first()).with_columns(
        (pl.col("day_end_at") + late < as_of).alias("is_final"), pl.lit(1, pl.Int64).alias("revision")
    )


def aggregate(events: pl.DataFrame, by: list[str], *more: pl.Expr) -> pl.DataFrame:
    """``value`` (Int64) and ``event_count`` per group, each by its meter's ``aggregation``; and what ``more`` says.

    Raises OverflowError when a sum could leave 64 bits.
    """
    _refuse_overflow(events, by)
    count = pl.len().cast(pl.Int64).alias("event_count")
    how = {
        "sum": pl.col("amount").sum(),
        "count": pl.len().cast(pl.Int64),
        "unique_count": pl.col("subject").n_unique().cast(pl.Int64),
        "max": pl.col("amount").max(),
        "min": pl.col("amount").min(),
        "latest": pl.col("amount").sort_by("seq").last(),
    }
    return pl.concat(
        events.filter(pl.col("aggregation") == name).group_by(by).agg(value.alias("value"), count, *more)
        for name, value in how.items()
    )


def _refuse_overflow(events: pl.DataFrame, by: list[str]) -> None:
    largest = events.filter(pl.col("aggregation") == "sum").group_by(by).agg(pl.col("amount").cast(pl.Float64).sum())
    if (largest["amount"].max() or 0) > 2.0**62:  # type: ignore[operator]
        raise OverflowError("a usage sum leaves 64 bits")
