"""`mrr_movements_daily` (rules 7, 8 and 9): how recurring revenue changed from day end to day end, and why it ended.

Not here: months, suppression, revisions.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from assets.premium.calendar import INSTANT, start, with_reporting_day
from assets.premium.versions import OPEN

LINE = ["user_id", "currency", "plan_code"]
CUSTOMER = ["user_id", "currency"]
EVENT = [*CUSTOMER, "day"]
REASONS = ("cancel", "payment_failed", "pause", "downgrade", "expired")
"""Rule 9: the first of these that fits is the reason."""


def day_changes(stretches: pl.DataFrame, zone: str, last: date) -> pl.DataFrame:
    """Rule 7: each stretch as a ``step`` +1 on the first day whose end it covers and -1 on the first it does not.

    Only days up to ``last``; a stretch within one day gives two steps that cancel.
    """
    horizon = start(last + timedelta(days=1), zone)
    rows = pl.concat(
        [
            stretches.with_columns(pl.col("begins").alias("at"), pl.lit(1, pl.Int64).alias("step")),
            stretches.filter(pl.col("ends") < OPEN).with_columns(
                pl.col("ends").alias("at"), pl.lit(-1, pl.Int64).alias("step")
            ),
        ]
    ).with_columns(pl.col("at").cast(INSTANT))
    return with_reporting_day(rows.filter(pl.col("at") < horizon), "at", zone)


def plan_changes(bringing: pl.DataFrame, zone: str, last: date) -> pl.DataFrame:
    """Rule 7: change of day-end ARR per (user, currency, plan): ``day, delta`` and the day's bounds; no zero rows."""
    return (
        day_changes(bringing, zone, last)
        .group_by(*LINE, "day", "day_start_at", "day_end_at")
        .agg((pl.col("step") * pl.col("arr_minor")).sum().alias("delta"))
        .filter(pl.col("delta") != 0)
        .sort(*EVENT, "plan_code")
    )


def trial_changes(trialing: pl.DataFrame, zone: str, last: date) -> pl.DataFrame:
    """The same for trials: change of a user's number of running trials at day ends, ``day, step``."""
    return (
        day_changes(trialing, zone, last)
        .group_by(*LINE, "day")
        .agg(pl.col("step").sum())
        .filter(pl.col("step") != 0)
        .sort(*EVENT, "plan_code")
    )


def customer_changes(changes: pl.DataFrame) -> pl.DataFrame:
    """Totals ``before`` and ``after`` each day on which a (user, currency) changed.

    ``was_paying`` says whether it paid at any earlier day end.
    """
    after = pl.col("delta").cum_sum().over(CUSTOMER)
    return (
        changes.group_by(*EVENT, "day_start_at", "day_end_at")
        .agg(pl.col("delta").sum())
        .sort(EVENT)
        .with_columns(after.alias("after"), (after - pl.col("delta")).alias("before"))
        .with_columns((pl.col("after").cum_max().shift().over(CUSTOMER) > 0).fill_null(value=False).alias("was_paying"))
    )


def kind_of() -> pl.Expr:
    """Rule 8: what happened to the total."""
    return (
        pl.when((pl.col("before") == 0) & pl.col("was_paying")).then(pl.lit("reactivation"))
        .when(pl.col("before") == 0).then(pl.lit("new"))
        .when(pl.col("after") == 0).then(pl.lit("churn"))
        .when(pl.col("after") > pl.col("before")).then(pl.lit("expansion"))
        .otherwise(pl.lit("contraction"))
    )  # fmt: skip


def movements(changes: pl.DataFrame, customers: pl.DataFrame) -> pl.DataFrame:
    """Rule 8: ``arr_delta_minor`` per (day, user, currency, plan, kind), transfers between plans apart."""
    gain, loss = pl.col("delta").clip(lower_bound=0), (-pl.col("delta")).clip(lower_bound=0)
    is_change = (pl.col("before") > 0) & (pl.col("after") > 0)
    rows = (
        changes.sort(*EVENT, "plan_code")
        .join(customers.select(*EVENT, "before", "after", kind_of().alias("kind")), on=EVENT, maintain_order="left")
        .with_columns(
            pl.when(is_change)
            .then(pl.min_horizontal(gain.sum().over(EVENT), loss.sum().over(EVENT)))
            .otherwise(0)
            .alias("moved"),
            (gain.cum_sum().over(EVENT) - gain).alias("gained"),
            (loss.cum_sum().over(EVENT) - loss).alias("lost"),
        )
        .with_columns(
            _share(gain, pl.col("moved") - pl.col("gained")).alias("transfer_in"),
            _share(loss, pl.col("moved") - pl.col("lost")).alias("transfer_out"),
        )
    )
    rest = pl.col("delta") - pl.col("transfer_in") + pl.col("transfer_out")
    columns = ["day", *LINE, "kind", "arr_delta_minor"]
    return pl.concat(
        [
            rows.with_columns(rest.alias("arr_delta_minor")).select(columns),
            rows.with_columns(pl.lit("transfer_in").alias("kind"), pl.col("transfer_in").alias("arr_delta_minor"))
            .select(columns),
            rows.with_columns(pl.lit("transfer_out").alias("kind"), (-pl.col("transfer_out")).alias("arr_delta_minor"))
            .select(columns),
        ]
    ).filter(pl.col("arr_delta_minor") != 0)  # fmt: skip


def _share(amount: pl.Expr, left: pl.Expr) -> pl.Expr:
    return pl.min_horizontal(amount, left.clip(lower_bound=0))


def churn_reasons(customers: pl.DataFrame, bringing: pl.DataFrame, in_force: pl.DataFrame) -> pl.DataFrame:
    """Rule 9: ``churn_reason`` and ``churn_requested_at`` of each (user, currency, day) that fell to zero."""
    churned = customers.filter(pl.col("after") == 0).select(
        *EVENT,
        pl.col("day_start_at").dt.epoch("us").alias("opens"),
        pl.col("day_end_at").dt.epoch("us").alias("closes"),
    )
    subscription = [*EVENT, "subscription_id"]
    facts = ["status", "valid_from"]
    brought = churned.join(bringing.select(*CUSTOMER, "subscription_id", "begins", "ends", *facts), on=CUSTOMER).filter(
        (pl.col("begins") < pl.col("opens")) & (pl.col("ends") >= pl.col("opens"))
    )
    holding = (
        brought.select(*subscription, "closes")
        .join(in_force.select("subscription_id", "begins", "ends", *facts), on="subscription_id")
        .filter((pl.col("begins") < pl.col("closes")) & (pl.col("ends") >= pl.col("closes")))
    )
    taken = pl.concat(
        [
            holding.select(*subscription, *facts, pl.lit(value=True).alias("holds")),
            brought.join(holding, on=subscription, how="anti").select(
                *subscription, *facts, pl.lit(value=False).alias("holds")
            ),
        ]
    )
    rank = (
        pl.when(pl.col("status") == "cancelled").then(0)
        .when(pl.col("status") == "past_due").then(1)
        .when(pl.col("status") == "paused").then(2)
        .when(pl.col("holds")).then(3)
        .otherwise(4)
    )  # fmt: skip
    return (
        taken.with_columns(rank.alias("rank"))
        .group_by(EVENT)
        .agg(
            pl.col("rank").min(),
            pl.col("valid_from").filter(pl.col("status") == "cancelled").min().alias("churn_requested_at"),
        )
        .with_columns(
            pl.col("rank").replace_strict(range(len(REASONS)), REASONS, return_dtype=pl.String).alias("churn_reason")
        )
        .drop("rank")
    )


def mrr_movements_daily(moves: pl.DataFrame, reasons: pl.DataFrame) -> pl.DataFrame:
    """The table: movements, with the reason on churn rows only."""
    is_churn = pl.col("kind") == "churn"
    return moves.join(reasons, on=EVENT, how="left").with_columns(
        pl.when(is_churn).then(pl.col(name)).alias(name) for name in ("churn_reason", "churn_requested_at")
    ).with_columns(pl.lit(1, pl.Int64).alias("revision"))  # fmt: skip
