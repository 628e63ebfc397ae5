"""`plan_feature_daily` (rules 25 and 27): who has a metered feature, uses it, and comes near its limit.

Only the last complete day of the run. Not here: the crossings themselves, limits.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from assets.premium.allowances import plans_at
from assets.premium.calendar import start
from assets.premium.suppression import withhold
from store.settings import PremiumSettings


def plan_feature_daily(
    users: pl.DataFrame, timeline: pl.DataFrame, default: int | None, plans: pl.DataFrame, features: pl.DataFrame,
    counted: pl.DataFrame, crossings: pl.DataFrame, day: date, as_of: datetime, config: PremiumSettings,
) -> pl.DataFrame:  # fmt: skip
    """One row per plan code and metered feature, of users who are not deleted; small rows withheld."""
    zone = config.reporting_time_zone
    opens, closes = start(day - timedelta(days=config.adoption_days - 1), zone), start(day + timedelta(days=1), zone)
    last_instant = pl.lit(closes).dt.epoch("us") - 1
    present = users.filter(pl.col("status") != "deleted").select(
        pl.col("id").alias("user_id"), last_instant.alias("at")
    )
    eligible = (
        plans_at(present, "at", timeline, default)
        .join(features.filter(pl.col("kind") == "metered"), on="plan_id")
        .join(plans.select(pl.col("id").alias("plan_id"), pl.col("code").alias("plan_code")), on="plan_id")
        .select("user_id", "plan_code", "feature_key", "meter_key")
    )
    recent = counted.filter((pl.col("occurred_at") >= opens) & (pl.col("occurred_at") < closes))
    adopted = recent.select("user_id", "meter_key", pl.lit(1, pl.Int64).alias("adopted_count")).unique()
    running = crossings.filter(pl.col("resets_at").is_null() | (pl.col("resets_at") > as_of))
    on = ["user_id", "feature_key"]
    rows = eligible.join(adopted, on=["user_id", "meter_key"], how="left")
    for percent in (80, 100):
        crossed = running.filter(pl.col("threshold_percent") == percent)
        rows = rows.join(crossed.select(*on, pl.lit(1, pl.Int64).alias(f"users_{percent}_count")), on=on, how="left")
    counts = ("adopted_count", "users_80_count", "users_100_count")
    table = rows.group_by("plan_code", "feature_key").agg(
        pl.len().cast(pl.Int64).alias("eligible_count"), *(pl.col(name).sum() for name in counts)
    )
    return withhold(
        table.with_columns(pl.lit(day).alias("day")),
        ["feature_key"],
        "eligible_count",
        ["plan_code"],
        config.k_anonymity,
    )
