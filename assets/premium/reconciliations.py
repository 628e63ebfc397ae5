"""Sums that must agree across the premium tables (spec 05.8), exact in integers.

Each truth is a function from tables to the lines of its failures. Not here: truths of one row, which are
rules of the contracts in `quality/premium.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import polars as pl

from assets.premium.calendar import with_local_day
from quality.contract import Failure

Tables = Mapping[str, pl.DataFrame]
SAMPLE = 3
LINE = ["currency", "plan_code"]
MOVED = ("new_minor", "reactivation_minor", "expansion_minor", "contraction_minor", "churn_minor")


def reconcile(tables: Tables) -> list[str]:
    """Every sum that does not agree, as a sentence; an empty list is acceptance.

    ``tables`` are the product's; with ``staged_users`` and ``staged_meters`` beside them rule 20 is asked too.
    """
    return [line for _, truth in TRUTHS for line in truth(tables)]


def verdict(tables: Tables) -> Mapping[str, list[Failure]]:
    """The same as failures per table, for the product's blocking checks."""
    found: dict[str, list[Failure]] = {}
    for table, truth in TRUTHS:
        found.setdefault(table, []).extend(Failure(table, line, "*", None) for line in truth(tables))
    return {table: failures for table, failures in found.items() if failures}


def _failures(name: str, bad: pl.DataFrame) -> list[str]:
    if bad.is_empty():
        return []
    sample = "; ".join(", ".join(f"{k}={v}" for k, v in row.items()) for row in bad.head(SAMPLE).to_dicts())
    return [f"{name}: {bad.height} disagree ({sample})"]


def months_chain(tables: Tables) -> list[str]:
    """A month's start ARR is the end of the month before, per currency and plan; the first starts at 0."""
    rows = tables["mrr_waterfall_monthly"].sort(*LINE, "month")
    before = pl.col("end_arr_minor").shift(fill_value=0).over(LINE)
    bad = rows.filter(pl.col("start_arr_minor") != before).select("month", *LINE)
    return _failures("start ARR = end ARR of the month before", bad)


def months_are_the_sum_of_days(tables: Tables) -> list[str]:
    """Movements of the month's days, per currency; currencies that are withheld have no months."""
    monthly = tables["mrr_waterfall_monthly"].group_by("month", "currency").agg(
        pl.sum_horizontal(MOVED).sum().alias("of_months")
    )  # fmt: skip
    days = (
        tables["mrr_movements_daily"]
        .filter(~pl.col("kind").is_in(["transfer_in", "transfer_out"]))
        .group_by(pl.col("day").dt.truncate("1mo").alias("month"), "currency")
        .agg(pl.col("arr_delta_minor").sum().alias("of_days"))
    )
    both = monthly.join(days, on=["month", "currency"], how="left").with_columns(pl.col("of_days").fill_null(0))
    return _failures("months = sum of days", both.filter(pl.col("of_months") != pl.col("of_days")))


def transfers_cancel(tables: Tables) -> list[str]:
    """What one plan hands over another takes, per currency and month."""
    rows = tables["mrr_waterfall_monthly"].group_by("month", "currency").agg(
        (pl.col("transfer_in_minor") + pl.col("transfer_out_minor")).sum().alias("left")
    )  # fmt: skip
    return _failures("transfers cancel", rows.filter(pl.col("left") != 0))


def days_end_where_months_end(tables: Tables) -> list[str]:
    """`plan_daily` on a month's last day = the month's end ARR, per plan."""
    ends = tables["plan_daily"].filter(pl.col("day").dt.month_end() == pl.col("day"))
    ends = ends.select(pl.col("day").dt.truncate("1mo").alias("month"), *LINE, "arr_minor")
    both = tables["mrr_waterfall_monthly"].join(ends, on=["month", *LINE], how="left")
    bad = both.filter(pl.col("arr_minor").ne_missing(pl.col("end_arr_minor"))).select("month", *LINE)
    return _failures("day-end ARR = month-end ARR", bad)


def days_are_the_sum_of_movements(tables: Tables) -> list[str]:
    """`plan_daily` ARR per currency = all movements up to the day."""
    daily = tables["plan_daily"].group_by("day", "currency").agg(pl.col("arr_minor").sum())
    moved = tables["mrr_movements_daily"].group_by("day", "currency").agg(pl.col("arr_delta_minor").sum())
    both = (
        daily.join(moved, on=["day", "currency"], how="left")
        .sort("currency", "day")
        .with_columns(pl.col("arr_delta_minor").fill_null(0).cum_sum().over("currency"))
    )
    return _failures("ARR = sum of movements", both.filter(pl.col("arr_minor") != pl.col("arr_delta_minor")))


def revenue_is_the_waterfall(tables: Tables) -> list[str]:
    """Start, end and quick ratio of `revenue_monthly` from the waterfall's plans."""
    summed = tables["mrr_waterfall_monthly"].group_by("month", "currency").agg(
        pl.col("start_arr_minor").sum().alias("start"),
        pl.col("end_arr_minor").sum().alias("end"),
        pl.sum_horizontal(MOVED[:3]).sum().alias("gained"),
        (-pl.sum_horizontal(MOVED[3:])).sum().alias("lost"),
    )  # fmt: skip
    both = tables["revenue_monthly"].join(summed, on=["month", "currency"])
    pairs = (("start_arr_minor", "start"), ("end_arr_minor", "end"), ("quick_num_minor", "gained"),
             ("quick_den_minor", "lost"))  # fmt: skip
    bad = both.filter(pl.any_horizontal(pl.col(a) != pl.col(b) for a, b in pairs)).select("month", "currency")
    return _failures("revenue = waterfall", bad)


def payers_chain(tables: Tables) -> list[str]:
    """Paying at the start of a month = paying at the end of the month before."""
    rows = tables["revenue_monthly"].sort("currency", "month")
    before = pl.col("paying_end_count").shift(fill_value=0).over("currency")
    return _failures("payers chain", rows.filter(pl.col("paying_start_count") != before).select("month", "currency"))


def growth_chains(tables: Tables) -> list[str]:
    """active(t) = active(t-1) + new + resurrected - churned, per grain and segment."""
    by = ["grain", "segment"]
    rows = tables["growth_accounting"].sort(*by, "period_start")
    before = pl.col("active_count").shift(fill_value=0).over(by)
    flow = before + pl.col("new_count") + pl.col("resurrected_count") - pl.col("churned_count")
    return _failures("growth chains", rows.filter(flow != pl.col("active_count")).select(*by, "period_start"))


def segments_are_all(tables: Tables) -> list[str]:
    """Where segments are shown, they add up to ``all``."""
    by = ["grain", "period_start"]
    counts = [name for name in tables["growth_accounting"].columns if name.endswith("_count")]
    rows = tables["growth_accounting"]
    parts = rows.filter(pl.col("segment") != "all").group_by(by).agg(pl.col(counts).sum())
    both = rows.filter(pl.col("segment") == "all").join(parts, on=by, suffix="_parts")
    bad = both.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_parts") for name in counts))
    return _failures("segments add up to all", bad.select(by))


def cohorts_are_the_active(tables: Tables) -> list[str]:
    """Cohort diagonals = active (at most, where cohorts are withheld); rolling >= classic, never rising."""
    rows = tables["retention_cohorts"]
    by = ["grain", "cohort_start"]
    wide = rows.filter(pl.col("definition") == "classic").join(
        rows.filter(pl.col("definition") == "rolling"), on=[*by, "age"], suffix="_rolling"
    )
    rises = rows.filter(pl.col("definition") == "rolling").sort(*by, "age").filter(
        pl.col("retained_count") > pl.col("retained_count").shift().over(by)
    )  # fmt: skip
    period = (
        pl.when(pl.col("grain") == "month").then(pl.col("cohort_start").dt.offset_by(pl.format("{}mo", "age")))
        .otherwise(pl.col("cohort_start").dt.offset_by(pl.format("{}w", "age")))
    )  # fmt: skip
    everybody = tables["growth_accounting"].filter(pl.col("segment") == "all").select(
        "grain", "period_start", "active_count"
    )  # fmt: skip
    diagonals = (
        rows.filter((pl.col("definition") == "classic") & ~pl.col("is_censored"))
        .group_by("grain", period.alias("period_start"))
        .agg(pl.col("retained_count").sum())
        .join(everybody, on=["grain", "period_start"], how="left")
    )
    newborn = tables["growth_accounting"].filter(pl.col("segment") == "all").group_by("grain").agg(
        pl.col("new_count").sum()
    )  # fmt: skip
    sizes = rows.select(*by, "size_count").unique().group_by("grain").agg(pl.col("size_count").sum())
    whole = sizes.join(newborn, on="grain").filter(pl.col("size_count") == pl.col("new_count")).select("grain")
    exact = diagonals.join(whole, on="grain").filter(pl.col("retained_count") != pl.col("active_count"))
    above = diagonals.filter((pl.col("retained_count") > pl.col("active_count")).fill_null(value=True))
    return [
        *_failures("rolling >= classic", wide.filter(pl.col("retained_count") > pl.col("retained_count_rolling"))),
        *_failures("rolling never rises", rises.select(*by, "age")),
        *_failures("cohort diagonals = active", pl.concat([exact, above]).unique(maintain_order=True)),
    ]


def lness_is_engagement(tables: Tables) -> list[str]:
    """Users of the cells = WAU and MAU; days times users = DAU summed over the window, where no cell is merged.

    A window is withheld whole or not at all.
    """
    rows = tables["engagement_lness"]
    daily = tables["engagement_daily"]
    cells = rows.group_by("day", "window_days").agg(
        pl.col("user_count").sum(),
        (pl.col("active_days") * pl.col("user_count")).sum().alias("user_days"),
        (pl.col("active_days") == 0).any().alias("is_merged"),
    )
    window = pl.concat(
        daily.sort("day").select(
            "day",
            pl.lit(days, pl.Int64).alias("window_days"),
            pl.col(name).alias("expected"),
            pl.col("dau_count").rolling_sum(days, min_samples=1).alias("dau_sum"),
        )
        for days, name in ((7, "wau_count"), (28, "mau_count"))
    )
    both = window.join(cells, on=["day", "window_days"])
    return [
        *_failures("L-ness = WAU, MAU", both.filter(pl.col("user_count") != pl.col("expected"))),
        *_failures(
            "L-ness days = DAU",
            both.filter(~pl.col("is_merged") & (pl.col("user_days") != pl.col("dau_sum"))),
        ),
    ]


def engagement_is_growth(tables: Tables) -> list[str]:
    """DAU = active users of the day in growth accounting."""
    days = tables["growth_accounting"].filter((pl.col("grain") == "day") & (pl.col("segment") == "all"))
    both = tables["engagement_daily"].join(days, left_on="day", right_on="period_start", how="full")
    bad = both.filter(pl.col("dau_count").ne_missing(pl.col("active_count"))).select("day")
    return _failures("DAU = growth accounting", bad)


def intake_is_complete(tables: Tables) -> list[str]:
    """The counts of the intake are those of its tables; no more events are shown than were counted."""
    summary = tables["usage_intake"].row(0, named=True)
    shown = int(tables["usage_daily"]["event_count"].sum())
    claims = {
        "quarantined events": summary["quarantined"] == tables["usage_quarantine"].height,
        "conflicts": summary["conflicts"] == tables["usage_conflicts"].height,
        "counted events": shown <= summary["counted"],
    }
    return [f"usage_intake disagrees on {name}" for name, holds in claims.items() if not holds]


def usage_is_entitlements(tables: Tables) -> list[str]:
    """Rule 20: `usage_daily` over the days of a period = used, for sum and count."""
    if not {"staged_users", "staged_meters"} <= set(tables):
        return []
    zones = tables["staged_users"].select(pl.col("id").alias("user_id"), "time_zone")
    additive = tables["staged_meters"].filter(pl.col("aggregation").is_in(["sum", "count"]))
    rows = (
        tables["entitlements"]
        .filter(pl.col("used").is_not_null())
        .join(additive.select(pl.col("key").alias("meter_key")), on="meter_key")
        .join(zones, on="user_id")
    )
    # The end's own day begins where the period ends; an open period takes every later day.
    end = pl.coalesce("resets_at", pl.col("as_of") + timedelta(days=3))
    first = (
        with_local_day(rows, "period_start", "time_zone")
        .rename({"day": "first_day"})
        .drop("day_start_at", "day_end_at")
    )
    spans = with_local_day(first.with_columns(end.alias("end_at")), "end_at", "time_zone").rename({"day": "end_day"})
    used = (
        spans.join(tables["usage_daily"].select("user_id", "meter_key", "day", "value"), on=["user_id", "meter_key"])
        .filter((pl.col("day") >= pl.col("first_day")) & (pl.col("day") < pl.col("end_day")))
        .group_by("user_id", "feature_key")
        .agg(pl.col("value").sum())
    )
    both = spans.join(used, on=["user_id", "feature_key"], how="left")
    bad = both.filter(pl.col("value").fill_null(0) != pl.col("used")).select("user_id", "feature_key", "used", "value")
    return _failures("used = sum of usage_daily", bad)


TRUTHS: tuple[tuple[str, Callable[[Tables], list[str]]], ...] = (
    ("mrr_waterfall_monthly", months_chain),
    ("mrr_waterfall_monthly", months_are_the_sum_of_days),
    ("mrr_waterfall_monthly", transfers_cancel),
    ("plan_daily", days_end_where_months_end),
    ("plan_daily", days_are_the_sum_of_movements),
    ("revenue_monthly", revenue_is_the_waterfall),
    ("revenue_monthly", payers_chain),
    ("growth_accounting", growth_chains),
    ("growth_accounting", segments_are_all),
    ("retention_cohorts", cohorts_are_the_active),
    ("engagement_lness", lness_is_engagement),
    ("engagement_daily", engagement_is_growth),
    ("usage_intake", intake_is_complete),
    ("entitlements", usage_is_entitlements),
)
"""Each truth, and the table that is refused when it does not hold."""
