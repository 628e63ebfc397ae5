"""`growth_accounting` (rules 3, 22 and 27): who is new, stayed, came back or left, per period and segment.

Also the active days and periods that cohorts and engagement share. Not here: usage values, money.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from assets.premium.calendar import GRAINS, Grain, last_complete, period_expr, periods, with_reporting_day
from assets.premium.suppression import merge_small

ALL = "all"
NO_COUNTRY = "none"
COUNTS = ("new_count", "retained_count", "resurrected_count", "churned_count", "active_count")


def active_days(counted: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Rule 22: the distinct ``user_id, day`` with at least one counted event, days of the reporting zone."""
    if zone == "UTC":
        return counted.select("user_id", pl.col("occurred_at").dt.date().alias("day")).unique().sort("user_id", "day")
    return with_reporting_day(counted.select("user_id", "occurred_at"), "occurred_at", zone).select(
        "user_id", "day"
    ).unique().sort("user_id", "day")  # fmt: skip


def spine(days: pl.DataFrame, grain: Grain, as_of: datetime, zone: str) -> list[date]:
    """Rule 3: complete periods from the first with an active user to the last complete one."""
    first = days["day"].min()
    return periods(grain, first, last_complete(grain, as_of, zone)) if isinstance(first, date) else []


def active_periods(days: pl.DataFrame, grain: Grain, complete: list[date]) -> pl.DataFrame:
    """Distinct ``user_id, index``: the active complete periods by their place in the spine, sorted."""
    table = pl.DataFrame({"period": complete}, schema={"period": pl.Date}).with_row_index("index")
    return (
        days.select("user_id", period_expr(grain).alias("period"))
        .unique()
        .join(table, on="period")
        .select("user_id", pl.col("index").cast(pl.Int64))
        .sort("user_id", "index")
    )


def segments(days: pl.DataFrame, users: pl.DataFrame, k: int) -> pl.DataFrame:
    """Rule 27: ``user_id, segment`` of everybody ever active; small countries merged, withheld ones absent."""
    countries = (
        days.select("user_id").unique()
        .join(users.select(pl.col("id").alias("user_id"), "country"), on="user_id")
        .select("user_id", pl.col("country").fill_null(NO_COUNTRY).alias("code"))
    )  # fmt: skip
    shown = merge_small(countries.with_columns(pl.lit(ALL).alias("scope")), k)
    return (
        countries.join(shown, on="code")
        .filter(pl.col("shown_as").is_not_null())
        .select("user_id", pl.col("shown_as").alias("segment"))
    )


def growth_accounting(days: pl.DataFrame, segment_of: pl.DataFrame, as_of: datetime, zone: str) -> pl.DataFrame:
    """The table, dense over grains, complete periods and segments."""
    names = [ALL, *segment_of["segment"].unique().sort().to_list()]
    return pl.concat(
        _one_grain(days, segment_of, grain, spine(days, grain, as_of, zone), names) for grain in GRAINS
    ).with_columns(pl.lit(1, pl.Int64).alias("revision"))


def _one_grain(
    days: pl.DataFrame, segment_of: pl.DataFrame, grain: Grain, complete: list[date], names: list[str]
) -> pl.DataFrame:
    steps = growth_steps(active_periods(days, grain, complete), len(complete))
    per_segment = pl.concat(
        [steps.with_columns(pl.lit(ALL).alias("segment")), steps.join(segment_of, on="user_id")]
    ).group_by("segment", "index")
    counts = per_segment.agg(pl.col(name).sum() for name in COUNTS)
    table = pl.DataFrame({"period_start": complete}, schema={"period_start": pl.Date}).with_row_index("index")
    return (
        table.with_columns(pl.col("index").cast(pl.Int64))
        .join(pl.DataFrame({"segment": names}, schema={"segment": pl.String}), how="cross")
        .join(counts, on=["segment", "index"], how="left")
        .select(
            pl.lit(grain).alias("grain"), "period_start", "segment", *(pl.col(name).fill_null(0) for name in COUNTS)
        )
    )


def of_same_user(steps: int) -> pl.Expr:
    """The user's active period so many rows before (in rows sorted by user and index), else null."""
    return pl.when(pl.col("user_id").shift(steps) == pl.col("user_id")).then(pl.col("index").shift(steps))


def growth_steps(active: pl.DataFrame, periods_count: int) -> pl.DataFrame:
    """Rule 22 per user: 0/1 columns for each active period, and one row for each period first missed after one."""
    index = pl.col("index")
    before, after = of_same_user(1), of_same_user(-1)
    one = pl.Int64
    here = active.with_columns(before.alias("before")).select(
        "user_id",
        "index",
        pl.col("before").is_null().cast(one).alias("new_count"),
        (pl.col("before") == index - 1).fill_null(value=False).cast(one).alias("retained_count"),
        (pl.col("before") < index - 1).fill_null(value=False).cast(one).alias("resurrected_count"),
        pl.lit(0, one).alias("churned_count"),
        pl.lit(1, one).alias("active_count"),
    )
    gone = (
        active.with_columns(after.alias("after"))
        .filter((pl.col("after") != index + 1).fill_null(value=True) & (index + 1 < periods_count))
        .select("user_id", index + 1, *(pl.lit(int(name == "churned_count"), one).alias(name) for name in COUNTS))
    )
    return pl.concat([here, gone])
