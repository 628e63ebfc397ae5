"""`retention_cohorts` (rules 23 and 27): who of those first seen in a period came back, by age.

Not here: growth accounting, which counts the same people by period.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from assets.premium.calendar import Grain
from assets.premium.growth import active_periods, spine
from assets.premium.suppression import withhold

Z = 1.96
COHORT_GRAINS: tuple[Grain, ...] = ("week", "month")


def retention_cohorts(days: pl.DataFrame, as_of: datetime, zone: str, k: int) -> pl.DataFrame:
    """The table: every age of every shown cohort, classic and rolling; small cohorts withheld."""
    parts = []
    for grain in COHORT_GRAINS:
        complete = spine(days, grain, as_of, zone)
        rows = cohorts(active_periods(days, grain, complete), complete)
        sizes = rows.select("cohort_start", "size_count").unique()
        shown = withhold(sizes.with_columns(pl.lit(grain).alias("grain")), ["grain"], "size_count", ["cohort_start"], k)
        parts.append(shown.select("grain", "cohort_start").join(rows, on="cohort_start"))
    low, high = wilson("retained_count", "size_count")
    return pl.concat(parts).with_columns(low.alias("interval_low"), high.alias("interval_high"))


def cohorts(active: pl.DataFrame, complete: list[date]) -> pl.DataFrame:
    """Before suppression: ``cohort_start, definition, age, size_count, retained_count, is_censored``."""
    count = len(complete)
    born = active.with_columns(pl.col("index").min().over("user_id").alias("cohort"))
    born = born.with_columns((pl.col("index") - pl.col("cohort")).alias("age"))
    oldest = born.group_by("user_id", "cohort").agg(pl.col("age").max())
    retained = pl.concat(
        [
            _by_age(born, "classic"),
            # Active at or after an age = last seen at that age or later: a running sum from the oldest age down.
            _by_age(oldest, "rolling"),
        ]
    )
    sizes = born.filter(pl.col("age") == 0).group_by("cohort").agg(pl.len().cast(pl.Int64).alias("size_count"))
    ages = pl.DataFrame({"age": range(count)}, schema={"age": pl.Int64})
    starts = pl.DataFrame({"cohort": range(count), "cohort_start": complete},
                          schema={"cohort": pl.Int64, "cohort_start": pl.Date})  # fmt: skip
    definitions = pl.DataFrame({"definition": ["classic", "rolling"]})
    is_rolling = pl.col("definition") == "rolling"
    return (
        sizes.join(starts, on="cohort")
        .join(definitions, how="cross")
        .join(ages, how="cross")
        .join(retained, on=["cohort", "definition", "age"], how="left")
        .sort("cohort", "definition", "age")
        .with_columns((pl.col("cohort") + pl.col("age") >= count).alias("is_censored"), pl.col("n").fill_null(0))
        .with_columns(
            pl.when(is_rolling)
            .then(pl.col("n").cum_sum(reverse=True).over("cohort", "definition"))
            .otherwise("n")
            .alias("n")
        )
        .with_columns(pl.when(~pl.col("is_censored")).then("n").alias("retained_count"))
        .select("cohort_start", "definition", "age", "size_count", "retained_count", "is_censored")
    )


def _by_age(rows: pl.DataFrame, definition: str) -> pl.DataFrame:
    return rows.group_by("cohort", "age").agg(pl.len().cast(pl.Int64).alias("n")).with_columns(
        pl.lit(definition).alias("definition")
    )  # fmt: skip


def wilson(successes: str, trials: str) -> tuple[pl.Expr, pl.Expr]:
    """Rule 23: Wilson's interval at z = 1.96, in float64; within [0, 1], which rounding would leave by a bit or two."""
    n, x = pl.col(trials).cast(pl.Float64), pl.col(successes).cast(pl.Float64)
    share = x / n
    centre = share + Z * Z / (2 * n)
    spread = Z * (share * (1 - share) / n + Z * Z / (4 * n * n)).sqrt()
    scale = 1 + Z * Z / n
    return ((centre - spread) / scale).clip(0, 1), ((centre + spread) / scale).clip(0, 1)
