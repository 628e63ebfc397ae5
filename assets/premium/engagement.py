"""`engagement_daily` and `engagement_lness` (rules 24 and 27): how many users, and on how many days of a window.

Windows are the last 7 or 28 days ending with the day. Not here: periods, cohorts, money.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from assets.premium.growth import active_periods, of_same_user
from assets.premium.suppression import merged_cells

WEEK, MONTH = 7, 28


def engagement_daily(days: pl.DataFrame, complete: list[date]) -> pl.DataFrame:
    """DAU, WAU and MAU of every complete day since the first active one."""
    active = active_periods(days, "day", complete)
    table = pl.DataFrame({"day": complete}, schema={"day": pl.Date}).with_row_index("index")
    table = table.with_columns(pl.col("index").cast(pl.Int64))
    for name, window in (("dau_count", 1), ("wau_count", WEEK), ("mau_count", MONTH)):
        table = table.join(_changes(active, window, name), on="index", how="left").sort("index")
        table = table.with_columns(pl.col(name).fill_null(0).cum_sum())
    return table.drop("index").with_columns(pl.lit(1, pl.Int64).alias("revision"))


def _changes(active: pl.DataFrame, window: int, name: str) -> pl.DataFrame:
    """Changes of the number of users with an active day in the window: each day keeps its user in until the next."""
    index = pl.col("index")
    leaves = pl.min_horizontal(index + window, of_same_user(-1))
    steps = pl.concat(
        [
            active.select("index", pl.lit(1, pl.Int64).alias(name)),
            active.select(leaves.alias("index"), pl.lit(-1, pl.Int64).alias(name)),
        ]
    )
    return steps.group_by("index").agg(pl.col(name).sum())


def engagement_lness(days: pl.DataFrame, complete: list[date], k: int) -> pl.DataFrame:
    """Users by number of active days in the window; cells under ``k`` merged into ``active_days`` 0."""
    full = pl.concat(lness(active_periods(days, "day", complete), complete, window) for window in (WEEK, MONTH))
    return merged_cells(full, ["day", "window_days"], "active_days", "user_count", k)


def lness(active: pl.DataFrame, complete: list[date], window: int) -> pl.DataFrame:
    """Before suppression: ``day, window_days, active_days, user_count``, sparse in ``active_days >= 1``."""
    steps = pl.concat(
        [
            active.with_columns(pl.lit(1, pl.Int64).alias("step")),
            active.with_columns(pl.col("index") + window, pl.lit(-1, pl.Int64).alias("step")),
        ]
    )
    # A user's steps add up to nothing, so one running sum over all users is each user's own.
    levels = (
        steps.group_by("user_id", "index")
        .agg(pl.col("step").sum())
        .sort("user_id", "index")
        .with_columns(pl.col("step").cum_sum().alias("active_days"))
        .with_columns(of_same_user(-1).fill_null(len(complete)).alias("until"))
        .filter(pl.col("active_days") > 0)
    )
    changes = pl.concat(
        [
            levels.select("active_days", "index", pl.lit(1, pl.Int64).alias("change")),
            levels.select("active_days", pl.col("until").alias("index"), pl.lit(-1, pl.Int64).alias("change")),
        ]
    )
    table = pl.DataFrame({"day": complete}, schema={"day": pl.Date}).with_row_index("index")
    return (
        table.with_columns(pl.col("index").cast(pl.Int64))
        .join(pl.DataFrame({"active_days": range(1, window + 1)}, schema={"active_days": pl.Int64}), how="cross")
        .join(
            changes.group_by("active_days", "index").agg(pl.col("change").sum()),
            on=["active_days", "index"],
            how="left",
        )
        .sort("active_days", "index")
        .with_columns(pl.col("change").fill_null(0).cum_sum().over("active_days").alias("user_count"))
        .filter(pl.col("user_count") > 0)
        .select("day", pl.lit(window, pl.Int64).alias("window_days"), "active_days", "user_count")
    )
