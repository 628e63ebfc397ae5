"""Who holds which plan's features in which billing periods (rules 16, 17 and 18, first half).

An *allowance* is a user and a feature of the plan held at ``as_of``; its id is ``row``. Not here: usage.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache

import polars as pl

from assets.premium.calendar import INSTANT, add_months, local_date, microseconds, start_us
from assets.premium.usage import LEVEL

NEVER = "never"


def default_plan(plans: pl.DataFrame) -> int | None:
    """Rule 16: the plan of those whom nothing entitles: not paid, lowest tier, then highest version."""
    free = plans.filter(~pl.col("is_paid")).sort("tier_rank", "version", "id", descending=[False, True, False])
    return int(free["id"][0]) if free.height else None


def plans_at(points: pl.DataFrame, at: str, timeline: pl.DataFrame, default: int | None) -> pl.DataFrame:
    """Rule 16: add ``plan_id`` and ``anchor_at`` (null under the default plan) to ``user_id`` and ``at`` (Int64 µs)."""
    held = points.sort(at).join_asof(
        timeline.sort("begins"), left_on=at, right_on="begins", by="user_id", check_sortedness=False, coalesce=False
    )
    holds = (pl.col("ends") > pl.col(at)).fill_null(value=False)
    return held.with_columns(
        pl.when(holds).then("plan_id").otherwise(pl.lit(default, pl.Int64)).alias("plan_id"),
        pl.when(holds).then("anchor_at").alias("anchor_at"),
    ).drop("begins", "ends")


def holders(users: pl.DataFrame, timeline: pl.DataFrame, default: int | None, as_of: datetime) -> pl.DataFrame:
    """Who holds which plan at ``as_of``: deleted users and those without any plan are absent.

    Columns ``user_id, time_zone, created_at, plan_id, anchor_at``.
    """
    now = users.filter(pl.col("status") != "deleted").select(
        pl.col("id").alias("user_id"), "time_zone", "created_at",
        pl.lit(as_of, INSTANT).dt.epoch("us").alias("at"),
    )  # fmt: skip
    return (
        plans_at(now, "at", timeline, default)
        .drop("at")
        .filter(pl.col("plan_id").is_not_null())
        .with_columns(pl.coalesce("anchor_at", "created_at").alias("anchor_at"))
    )


def allowances(held: pl.DataFrame, features: pl.DataFrame, meters: pl.DataFrame, grants: pl.DataFrame) -> pl.DataFrame:
    """One row per holder and feature of the plan, with ``row``, ``aggregation`` and ``has_history``.

    Past periods matter only where something can come out of them: a rollover in some plan, or a grant.
    """
    rolling = features.filter(pl.col("rollover_max") > 0).select("feature_key", pl.lit(1).alias("_rolls")).unique()
    granted = grants.select("user_id", "feature_key", pl.lit(1).alias("_granted")).unique()
    burns = (pl.col("kind") == "metered") & pl.col("limit_value").is_not_null() & ~is_level()
    return (
        held.join(features, on="plan_id")
        .join(meters.select(pl.col("key").alias("meter_key"), "aggregation"), on="meter_key", how="left")
        .join(rolling, on="feature_key", how="left")
        .join(granted, on=["user_id", "feature_key"], how="left")
        .with_columns(
            (burns & (pl.col("_rolls").is_not_null() | pl.col("_granted").is_not_null())).alias("has_history"),
            pl.col("_granted").is_not_null().alias("has_grants"),
        )
        .drop("_rolls", "_granted")
        .sort("user_id", "feature_key")
        .with_row_index("row")
    )


def is_level() -> pl.Expr:
    """Rule 19: meters that stand rather than add up."""
    return pl.col("aggregation").is_in(LEVEL).fill_null(value=False)


def billing_periods(rows: pl.DataFrame, as_of: datetime, keep: timedelta) -> pl.DataFrame:
    """Rule 17: ``row, period_start, period_end`` (null = open), ``is_current``.

    The period that holds ``as_of``, those before it that end after ``as_of - keep``, and with history all
    back to the user's beginning.
    """
    since = (
        pl.when("has_history")
        .then(pl.min_horizontal("created_at", "anchor_at", pl.lit(as_of - keep, INSTANT)))
        .otherwise(pl.lit(as_of - keep, INSTANT))
    )
    clock = ["time_zone", "anchor_at", "reset", "since"]
    wanted = rows.with_columns(since.alias("since"))
    clocks = wanted.select(clock).unique().sort(clock).with_row_index("clock")
    ids: list[int] = []
    begins: list[int] = []
    ends: list[int | None] = []
    current: list[bool] = []
    for number, zone, anchor, reset, from_ in clocks.iter_rows():
        spans = period_spans(anchor, zone, reset, as_of, from_)
        ids += [number] * len(spans)
        begins += [begin for begin, _ in spans]
        ends += [end for _, end in spans]
        current += [False] * (len(spans) - 1) + [True]
    table = pl.DataFrame(
        {"clock": ids, "period_start": begins, "period_end": ends, "is_current": current},
        schema={"clock": pl.UInt32, "period_start": pl.Int64, "period_end": pl.Int64, "is_current": pl.Boolean},
    ).with_columns(pl.col("period_start").cast(INSTANT), pl.col("period_end").cast(INSTANT))
    asked = wanted.select("row", *clock).join(clocks, on=clock).select("row", "clock")
    return asked.join(table, on="clock").drop("clock").sort("row", "period_start")


def period_spans(
    anchor: datetime, zone: str, reset: str, as_of: datetime, since: datetime
) -> list[tuple[int, int | None]]:
    """Rule 17: the periods of one clock that end after ``since``, up to the one that holds ``as_of`` (the last).

    Begin and end in microseconds; an end of None is open.
    """
    first = local_date(anchor, zone)
    if reset == NEVER:
        return [(_start(first, zone), None)]
    if reset == "month_calendar":
        first = first.replace(day=1)
    now, oldest = microseconds(as_of), microseconds(since)
    today = local_date(as_of, zone)
    n = (today.year - first.year) * 12 + today.month - first.month + 1
    end = _start(add_months(first, n + 1), zone)
    spans: list[tuple[int, int | None]] = []
    while not spans or end > oldest:
        begin = _start(add_months(first, n), zone)
        if begin <= now:
            spans.append((begin, end))
        n, end = n - 1, begin
    return spans[::-1]


@lru_cache(maxsize=1 << 18)
def _start(day: date, zone: str) -> int:
    return start_us(day, zone)


def with_terms(
    spans: pl.DataFrame, rows: pl.DataFrame, features: pl.DataFrame, timeline: pl.DataFrame, default: int | None
) -> pl.DataFrame:
    """Rule 18: add each period's ``plan_limit`` and ``plan_rollover``: of the plan held at its last microsecond.

    The current period goes by the plan at ``as_of``. ``is_counted`` is false where nothing burns.
    """
    asked = spans.join(rows.select("row", "user_id", "feature_key", "meter_key", "plan_id"), on="row")
    past = asked.filter(~pl.col("is_current")).drop("plan_id")
    past = past.with_columns((pl.col("period_end").dt.epoch("us") - 1).alias("at"))
    past = plans_at(past, "at", timeline, default).drop("at", "anchor_at")
    names = {
        "limit_value": "plan_limit",
        "rollover_max": "plan_rollover",
        "meter_key": "plan_meter",
        "kind": "plan_kind",
    }
    terms = features.select("plan_id", "feature_key", *names).rename(names)
    both = pl.concat([asked.filter("is_current").select(past.columns), past])
    is_counted = (
        (pl.col("plan_kind") == "metered")
        & pl.col("plan_limit").is_not_null()
        & pl.col("plan_meter").eq_missing(pl.col("meter_key"))
    )
    return (
        both.join(terms, on=["plan_id", "feature_key"], how="left")
        .with_columns(is_counted.fill_null(value=False).alias("is_counted"))
        .select("row", "period_start", "period_end", "is_current", "plan_limit", "plan_rollover", "is_counted")
        .sort("row", "period_start")
    )
