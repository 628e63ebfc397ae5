"""Analysts' metrics as the API serves them (spec 06.2 MetricPage): one document of rows per metric. Pure.

A metric whose tables are absent or not published is served without rows; ``suppressed_count`` says how many
rows are withheld.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Final

import polars as pl

from assets.published.encoding import encoded
from store.payloads import METRICS, Metric

Frames = Mapping[str, pl.LazyFrame]
PPM: Final = 1_000_000
_LNESS: Final = (("l7", 7), ("l28", 28))

TABLES: Final[Mapping[Metric, tuple[str, ...]]] = {
    "growth": ("growth_accounting",),
    "retention": ("retention_cohorts",),
    "engagement": ("engagement_daily", "engagement_lness"),
    "revenue": ("mrr_waterfall_monthly", "revenue_monthly"),
    "plans": ("plan_daily",),
}
"""The tables a metric is made of; the first holds its rows (06.2)."""


def metric_documents(
    frames: Frames, *, published: Collection[str], reporting_time_zone: str
) -> tuple[pl.Series, pl.Series]:
    """Keys (index in ``store.payloads.METRICS``) and bodies of the dataset ``metrics``."""
    bodies = [_document(metric, frames, published, reporting_time_zone) for metric in METRICS]
    return pl.Series(range(len(METRICS)), dtype=pl.Int64), pl.Series(bodies, dtype=pl.String)


def _document(metric: Metric, frames: Frames, published: Collection[str], zone: str) -> str:
    tables, withheld = TABLES[metric], 0
    rows: list[str] = []
    if all(table in frames and table in published for table in tables):
        rows = _ROWS[metric](frames).to_list()
    elif tables[0] in frames:
        withheld = frames[tables[0]].select(pl.len()).collect().item()
    head = {"definition_version": f"{metric}-1", "reporting_time_zone": zone, "suppressed_count": withheld}
    return json.dumps(head, separators=(",", ":"))[:-1] + f',"data":[{",".join(rows)}]}}'


def growth_rows(frames: Frames) -> pl.Series:
    """`growth_accounting` as GrowthRow."""
    row = encoded(
        "grain",
        _day("period_start"),
        "segment",
        *(pl.col(f"{name}_count").alias(name) for name in ("new", "retained", "resurrected", "churned", "active")),
    )
    return _series(frames["growth_accounting"].sort("grain", "period_start", "segment"), row)


def retention_rows(frames: Frames) -> pl.Series:
    """`retention_cohorts` as RetentionRow."""
    row = encoded(
        "grain",
        _day("cohort_start"),
        "age",
        "definition",
        pl.col("size_count").alias("size"),
        pl.col("retained_count").alias("retained"),
        "interval_low",
        "interval_high",
        "is_censored",
    )
    return _series(frames["retention_cohorts"].sort("grain", "cohort_start", "definition", "age"), row)


def engagement_rows(frames: Frames) -> pl.Series:
    """`engagement_daily` with the L-ness histograms of the day as EngagementRow."""
    days = frames["engagement_daily"].sort("day")
    for name, window in _LNESS:
        days = days.join(_histogram(frames["engagement_lness"], window, name), on="day", how="left").with_columns(
            pl.col(name).fill_null([0] * (window + 1))
        )
    row = encoded(
        _day("day").alias("date"), *(pl.col(f"{name}_count").alias(name) for name in ("dau", "wau", "mau")), "l7", "l28"
    )
    return _series(days.sort("day"), row)


def revenue_rows(frames: Frames) -> pl.Series:
    """`mrr_waterfall_monthly` with NRR and GRR of the row's month and currency as RevenueRow."""
    start = pl.col("start_arr_minor")
    ratios = frames["revenue_monthly"].select(
        "month",
        "currency",
        *(
            pl.when(start > 0).then(pl.col(f"{name}_num_minor") * PPM // start).alias(f"{name}_ppm")
            for name in ("nrr", "grr")
        ),
    )
    amounts = ("start_arr", "new", "reactivation", "expansion", "contraction", "churn", "transfer_in", "transfer_out",
               "end_arr")  # fmt: skip
    row = encoded(_day("month"), "currency", "plan_code", *(f"{name}_minor" for name in amounts), "nrr_ppm", "grr_ppm")
    joined = frames["mrr_waterfall_monthly"].join(ratios, on=["month", "currency"], how="left")
    return _series(joined.sort("month", "currency", "plan_code"), row)


def plan_rows(frames: Frames) -> pl.Series:
    """`plan_daily` as PlanRow."""
    counts = ("active_count", "trialing_count", "new_count", "churned_count", "arr_minor")
    row = encoded(_day("day").alias("date"), "plan_code", "currency", *counts)
    return _series(frames["plan_daily"].sort("day", "plan_code", "currency"), row)


_ROWS: Final[Mapping[Metric, Callable[[Frames], pl.Series]]] = {
    "growth": growth_rows,
    "retention": retention_rows,
    "engagement": engagement_rows,
    "revenue": revenue_rows,
    "plans": plan_rows,
}


def _series(frame: pl.LazyFrame, row: pl.Expr) -> pl.Series:
    return frame.select(row.alias("row")).collect().to_series()


def _day(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).alias(column)


def _histogram(lness: pl.LazyFrame, window: int, name: str) -> pl.LazyFrame:
    """Users per number of active days (index), absent cells 0."""
    cells = [
        pl.col("user_count").filter(pl.col("active_days") == days).sum().cast(pl.Int64) for days in range(window + 1)
    ]
    per_day = lness.filter(pl.col("window_days") == window).group_by("day")
    return per_day.agg(cell.alias(f"c{days}") for days, cell in enumerate(cells)).select(
        "day", pl.concat_list(f"c{days}" for days in range(window + 1)).alias(name)
    )
