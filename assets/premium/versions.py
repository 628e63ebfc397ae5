"""Subscriptions in force (rules 4, 5, 6 and 16): which version holds when, what it brings, what it entitles to.

Intervals are ``[begins, ends)`` in microseconds since 1970 (Int64), ``OPEN`` when they do not end.
Not here: days, movements, limits.
"""

from __future__ import annotations

import heapq
from datetime import timedelta
from itertools import groupby, pairwise
from operator import itemgetter

import polars as pl

OPEN = 2**62
PER_YEAR = {"month": 12, "quarter": 4, "half_year": 2, "year": 1}


def strongest(intervals: pl.DataFrame, within: str, by: list[str], descending: list[bool]) -> pl.DataFrame:
    """Of overlapping intervals of one ``within``, the one that sorts last by ``by`` holds.

    Every input column is kept; ``begins`` and ``ends`` are cut to the stretches in which the row holds.
    """
    rows = (
        intervals.filter(pl.col("begins") < pl.col("ends"))
        .sort(by, descending=descending)
        .with_row_index("_rank")
        .sort(within, "begins", "_rank")
        .with_columns(pl.col("ends").cum_max().shift().over(within).alias("_reached"))
        .with_columns((pl.col("begins") >= pl.col("_reached")).fill_null(value=True).cum_sum().alias("_island"))
        .drop("_reached")
    )
    alone = pl.len().over("_island") == 1
    crowded = rows.filter(~alone)
    pieces: list[tuple[int, int, int]] = []
    for _, island in groupby(crowded.select("begins", "ends", "_rank", "_island").iter_rows(), key=itemgetter(3)):
        pieces += _sweep([row[:3] for row in island])
    cut = pl.DataFrame(
        pieces, schema={"begins": pl.Int64, "ends": pl.Int64, "_rank": rows.schema["_rank"]}, orient="row"
    ).join(crowded.drop("begins", "ends"), on="_rank")
    return pl.concat([rows.filter(alone), cut.select(rows.columns)]).drop("_rank", "_island").sort(within, "begins")


def _sweep(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Cut rows ``(begins, ends, rank)``, sorted by begin, so that the highest rank holds at each instant."""
    cuts = sorted({cut for begins, ends, _ in rows for cut in (begins, ends)})
    pieces: list[tuple[int, int, int]] = []
    waiting: list[tuple[int, int]] = []
    upcoming = iter(rows)
    following = next(upcoming, None)
    for left, right in pairwise(cuts):
        while following is not None and following[0] <= left:
            heapq.heappush(waiting, (-following[2], following[1]))
            following = next(upcoming, None)
        while waiting and waiting[0][1] <= left:
            heapq.heappop(waiting)
        if not waiting:
            continue
        rank = -waiting[0][0]
        if pieces and pieces[-1][1] == left and pieces[-1][2] == rank:
            pieces[-1] = (pieces[-1][0], right, rank)
        else:
            pieces.append((left, right, rank))
    return pieces


def _us(column: str) -> pl.Expr:
    return pl.col(column).dt.epoch("us")


def versions_in_force(versions: pl.DataFrame, plans: pl.DataFrame) -> pl.DataFrame:
    """Rule 4: visible versions cut to the stretches in which they are in force, with plan and ``arr_minor`` (rule 5).

    Raises ValueError when a version names a plan that is not there.
    """
    known = plans.select(
        pl.col("id").alias("plan_id"), pl.col("code").alias("plan_code"), "tier_rank",
        pl.col("version").alias("plan_version"),
    )  # fmt: skip
    rows = versions.join(known, on="plan_id", how="left")
    if unknown := rows.filter(pl.col("plan_code").is_null())["plan_id"].unique().sort().to_list():
        raise ValueError(f"subscription versions name plans that do not exist: {unknown[:5]}")
    rows = rows.with_columns(
        _us("valid_from").alias("begins"),
        _us("valid_to").fill_null(OPEN).alias("ends"),
        annual_minor(),
    )
    return strongest(rows, "subscription_id", ["recorded_at", "id"], [False, False])


def annual_minor() -> pl.Expr:
    """Rule 5: the line's ARR in minor units; a discount never makes it negative."""
    line = pl.col("amount_minor") * pl.col("quantity") - pl.col("discount_minor")
    times = pl.col("interval").replace_strict(PER_YEAR, return_dtype=pl.Int64)
    return (pl.max_horizontal(line, 0) * times).alias("arr_minor")


def bringing(in_force: pl.DataFrame, grace_days: int) -> pl.DataFrame:
    """Rule 6: stretches in which a subscription brings its ARR (zero ARR brings nothing)."""
    is_trial = (pl.col("trial_end") >= pl.col("paid_until")).fill_null(value=False)
    until = (
        pl.when(pl.col("status") == "active").then(pl.lit(OPEN, pl.Int64))
        .when(pl.col("status") == "past_due").then(grace_end(grace_days))
        .when((pl.col("status") == "cancelled") & ~is_trial).then(_us("paid_until"))
    )  # fmt: skip
    return _until(in_force.filter(pl.col("arr_minor") > 0), until)


def entitling(in_force: pl.DataFrame, grace_days: int) -> pl.DataFrame:
    """Rule 16: stretches in which a subscription entitles to its plan."""
    until = (
        pl.when(pl.col("status") == "active").then(pl.lit(OPEN, pl.Int64))
        .when(pl.col("status") == "trialing").then(_us("trial_end").fill_null(OPEN))
        .when(pl.col("status") == "past_due").then(grace_end(grace_days))
        .when(pl.col("status") == "cancelled").then(_us("paid_until"))
    )  # fmt: skip
    return _until(in_force, until)


def trialing(in_force: pl.DataFrame) -> pl.DataFrame:
    """Stretches in which a subscription is on trial."""
    return _until(in_force.filter(pl.col("status") == "trialing"), _us("trial_end").fill_null(OPEN))


def grace_end(grace_days: int) -> pl.Expr:
    """Rule 6: when a past-due version stops bringing ARR."""
    return pl.coalesce(_us("paid_until"), _us("valid_from")) + timedelta(days=grace_days) // timedelta(microseconds=1)


def _until(stretches: pl.DataFrame, until: pl.Expr) -> pl.DataFrame:
    return (
        stretches.with_columns(until.alias("_until"))
        .filter(pl.col("_until") > pl.col("begins"))
        .with_columns(pl.min_horizontal("ends", "_until").alias("ends"))
        .drop("_until")
    )


def plan_timeline(entitled: pl.DataFrame) -> pl.DataFrame:
    """Rule 16: per user, which subscription's plan holds when (``user_id, begins, ends, plan_id, anchor_at``)."""
    columns = ["user_id", "begins", "ends", "plan_id", "anchor_at", "tier_rank", "plan_version", "subscription_id"]
    order = ["tier_rank", "plan_version", "subscription_id"]
    best = strongest(entitled.select(columns), "user_id", order, [False, False, True])
    return best.select("user_id", "begins", "ends", "plan_id", "anchor_at")
