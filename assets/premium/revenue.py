"""`mrr_waterfall_monthly` and `revenue_monthly` (rules 10, 11 and 26): months of recurring revenue, sums only.

Ratios are never stored: numerator and denominator are. Not here: movements, plans by day.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from assets.premium.calendar import period_expr, periods
from assets.premium.movements import CUSTOMER
from store.settings import PremiumSettings

KINDS = ("new", "reactivation", "expansion", "contraction", "churn", "transfer_in", "transfer_out")
MONTH = period_expr("month").alias("month")


def dense(keys: pl.DataFrame, name: str, spine: list[date]) -> pl.DataFrame:
    """Rule 3: every key in every period of the spine."""
    return keys.unique().join(pl.DataFrame({name: spine}, schema={name: pl.Date}), how="cross")


def mrr_waterfall_monthly(moves: pl.DataFrame, last: date) -> pl.DataFrame:
    """Rule 26: movements summed per month, currency and shown plan, chained from start to end ARR."""
    line = ["currency", "plan_code"]
    rows = moves.with_columns(MONTH).filter(pl.col("month") <= last)
    if rows.is_empty():
        return dense(rows.select(line), "month", []).select("month", *line, *_zeros())
    sums = rows.group_by("month", *line).agg(
        pl.col("arr_delta_minor").filter(pl.col("kind") == kind).sum().alias(f"{kind}_minor") for kind in KINDS
    )
    total = pl.sum_horizontal(f"{kind}_minor" for kind in KINDS)
    return (
        dense(rows.select(line), "month", periods("month", _first(rows), last))
        .join(sums, on=["month", *line], how="left")
        .sort(*line, "month")
        .with_columns(pl.col(f"{kind}_minor").fill_null(0) for kind in KINDS)
        .with_columns(total.cum_sum().over(line).alias("end_arr_minor"))
        .with_columns((pl.col("end_arr_minor") - total).alias("start_arr_minor"), pl.lit(1, pl.Int64).alias("revision"))
    )


def _zeros() -> list[pl.Expr]:
    names = ["start_arr_minor", *(f"{kind}_minor" for kind in KINDS), "end_arr_minor", "revision"]
    return [pl.lit(0, pl.Int64).alias(name) for name in names]


def _first(rows: pl.DataFrame) -> date:
    first = rows["month"].min()
    assert isinstance(first, date)  # noqa: S101
    return first


def monthly_sums(moves: pl.DataFrame, customers: pl.DataFrame, trials: pl.DataFrame) -> pl.DataFrame:
    """What changed in each (month, currency), movements, customers and trials together (rule 10)."""
    kind, amount = pl.col("kind"), pl.col("arr_delta_minor")
    quick = (
        moves.with_columns(MONTH)
        .group_by("month", "currency")
        .agg(
            amount.filter(kind.is_in(["new", "reactivation", "expansion"])).sum().alias("quick_num_minor"),
            (-amount.filter(kind.is_in(["contraction", "churn"])).sum()).alias("quick_den_minor"),
            amount.sum().alias("change"),
        )
    )
    events = customers.with_columns(MONTH).group_by("month", "currency").agg(
        ((pl.col("before") > 0) & (pl.col("after") == 0)).sum().cast(pl.Int64).alias("churn_event_count")
    )  # fmt: skip
    keys = ["month", "currency"]
    return (
        quick.join(events, on=keys, how="full", coalesce=True)
        .join(_customer_months(customers), on=keys, how="full", coalesce=True)
        .join(trials, on=keys, how="full", coalesce=True)
        .fill_null(0)
    )


def _customer_months(customers: pl.DataFrame) -> pl.DataFrame:
    """Customers whose total changed within the month: what that did to NRR, GRR and the numbers of payers."""
    opened, closed = pl.col("opened"), pl.col("closed")
    was, kept = opened > 0, pl.min_horizontal("opened", "closed")
    return (
        customers.sort("day")
        .with_columns(MONTH)
        .group_by("month", *CUSTOMER)
        .agg(
            pl.col("before").sort_by("day").first().alias("opened"),
            pl.col("after").sort_by("day").last().alias("closed"),
        )
        .group_by("month", "currency")
        .agg(
            (closed - opened).filter(was).sum().alias("nrr_change"),
            (kept - opened).filter(was).sum().alias("grr_change"),
            (was & (closed == 0)).sum().cast(pl.Int64).alias("logo_churned_count"),
            ((closed > 0).cast(pl.Int64) - was.cast(pl.Int64)).sum().alias("paying_change"),
        )
    )  # fmt: skip


def trials_monthly(versions: pl.DataFrame, bringing: pl.DataFrame, config: PremiumSettings, as_of: datetime,
                   month: pl.DataFrame) -> pl.DataFrame:  # fmt: skip
    """Rule 11: one trial per subscription; ``month`` names the reporting month of each trial's first valid_from."""
    window = timedelta(days=config.trial_window_days)
    newest = (
        versions.filter(pl.col("status") == "trialing")
        .sort("recorded_at", "id")
        .group_by("subscription_id", maintain_order=True)
        .agg(pl.col("currency").last(), pl.coalesce("trial_end", "valid_to").last().alias("trial_ends_at"))
        .with_columns((pl.col("trial_ends_at") + window).alias("judged_at"))
        .with_columns((pl.col("judged_at") <= as_of).fill_null(value=False).alias("is_mature"))
    )
    last_instant = pl.col("judged_at").dt.epoch("us") - 1
    converted = (
        newest.filter("is_mature")
        .join(bringing.select("subscription_id", "begins", "ends"), on="subscription_id")
        .filter((pl.col("begins") <= last_instant) & (pl.col("ends") > last_instant))
        .select("subscription_id", pl.lit(1, pl.Int64).alias("is_converted"))
        .unique()
    )
    return (
        newest.join(month, on="subscription_id")
        .join(converted, on="subscription_id", how="left")
        .group_by("month", "currency")
        .agg(
            pl.len().cast(pl.Int64).alias("trials_started_count"),
            pl.col("is_mature").sum().cast(pl.Int64).alias("trials_mature_count"),
            pl.col("is_converted").sum().alias("trials_converted_count"),
        )
    )


def revenue_monthly(sums: pl.DataFrame, currencies: pl.DataFrame, last: date, ltv_min_churns: int) -> pl.DataFrame:
    """Rule 10: one row per complete month and currency seen at some day end and not withheld."""
    rows = sums.join(currencies, on="currency").filter(pl.col("month") <= last)
    spine = periods("month", _first(rows), last) if rows.height else []
    count = pl.col("churn_event_count")
    return (
        dense(currencies, "month", spine)
        .join(rows, on=["month", "currency"], how="left")
        .fill_null(0)
        .sort("currency", "month")
        .with_columns(
            pl.col("change").cum_sum().over("currency").alias("end_arr_minor"),
            pl.col("paying_change").cum_sum().over("currency").alias("paying_end_count"),
        )
        .with_columns(
            (pl.col("end_arr_minor") - pl.col("change")).alias("start_arr_minor"),
            (pl.col("paying_end_count") - pl.col("paying_change")).alias("paying_start_count"),
        )
        .with_columns(
            (pl.col("start_arr_minor") + pl.col("nrr_change")).alias("nrr_num_minor"),
            (pl.col("start_arr_minor") + pl.col("grr_change")).alias("grr_num_minor"),
            pl.when(count >= ltv_min_churns).then(pl.col("start_arr_minor") // (12 * count)).alias("ltv_minor"),
        )
    )
