"""`plan_daily` (rules 7 and 26) and the merging of small plans that the waterfall shares.

Not here: the merging rule itself (`suppression.py`), months (`revenue.py`), features (`adoption.py`).
"""

from __future__ import annotations

from datetime import date

import polars as pl

from assets.premium.calendar import periods
from assets.premium.movements import LINE
from assets.premium.revenue import dense
from assets.premium.suppression import merge_small
from store.settings import PremiumSettings


def presence(changes: pl.DataFrame, step: str, by: list[str]) -> pl.DataFrame:
    """From per-user steps to changes of the number of distinct users present per ``by`` and day."""
    level = pl.col(step).cum_sum().over("user_id", *by, order_by="day")
    return (
        changes.group_by("user_id", *by, "day")
        .agg(pl.col(step).sum())
        .with_columns(level.alias("level"))
        .with_columns((pl.col("level") > 0).alias("is"), (pl.col("level") - pl.col(step) > 0).alias("was"))
        .group_by(*by, "day")
        .agg((pl.col("is").cast(pl.Int64) - pl.col("was").cast(pl.Int64)).sum().alias("change"))
    )


def shown_plans(
    changes: pl.DataFrame, trial_changes: pl.DataFrame, month_end: date, config: PremiumSettings
) -> pl.DataFrame:
    """Rule 26: ``currency, plan_code, shown_as`` (null = the whole currency is withheld).

    ``month_end`` is the first day after the last complete month.
    """
    line = [pl.col("currency").alias("scope"), pl.col("plan_code").alias("code"), pl.col("user_id")]
    members = pl.concat([changes.select(line), trial_changes.select(line)])
    holdings = (
        changes.filter(pl.col("day") < month_end).group_by(LINE).agg(pl.col("delta").sum().alias("arr_minor"))
    ).select(*line, "arr_minor")
    return merge_small(members, config.k_anonymity, holdings, config.dominance_percent).select(
        pl.col("scope").alias("currency"), pl.col("code").alias("plan_code"), "shown_as"
    )


def as_shown(rows: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with plan codes as they may be published; withheld ones are gone."""
    return (
        rows.join(shown, on=["currency", "plan_code"])
        .filter(pl.col("shown_as").is_not_null())
        .with_columns(pl.col("shown_as").alias("plan_code"))
        .drop("shown_as")
    )


def plan_daily(changes: pl.DataFrame, trial_changes: pl.DataFrame, moves: pl.DataFrame, last: date) -> pl.DataFrame:
    """Day-end state per shown plan and currency, dense; the inputs carry shown plan codes."""
    line = ["currency", "plan_code"]
    firsts = [frame["day"].min() for frame in (changes, trial_changes) if frame.height]
    spine = periods("day", min(firsts), last) if firsts else []  # type: ignore[type-var, arg-type]
    cells = pl.concat([changes.select(line), trial_changes.select(line)])
    kind = pl.col("kind")
    moved = moves.group_by(*line, "day").agg(
        pl.col("user_id").filter(kind == "new").n_unique().cast(pl.Int64).alias("new_count"),
        pl.col("user_id").filter(kind == "churn").n_unique().cast(pl.Int64).alias("churned_count"),
    )
    on = [*line, "day"]
    running = {"active_count": "active", "trialing_count": "trial", "arr_minor": "arr"}
    return (
        dense(cells, "day", spine)
        .join(presence(changes, "delta", line).rename({"change": "active"}), on=on, how="left")
        .join(presence(trial_changes, "step", line).rename({"change": "trial"}), on=on, how="left")
        .join(changes.group_by(on).agg(pl.col("delta").sum().alias("arr")), on=on, how="left")
        .join(moved, on=on, how="left")
        .fill_null(0)
        .sort(on)
        .with_columns(pl.col(source).cum_sum().over(line).alias(name) for name, source in running.items())
        .with_columns(pl.lit(1, pl.Int64).alias("revision"))
    )
