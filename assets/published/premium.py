"""Entitlements and usage as clients get them (spec 06.2 Entitlement, UsageDay). Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from assets.published.encoding import json_texts
from assets.published.rows import GUARDS, NO_IDS

USAGE_DAYS: Final = 92
"""The API serves 90 days that end today; today may be one day ahead or behind of UTC."""

_NO_GUARDS: Final = tuple(NO_IDS.alias(name) for name in GUARDS)


def entitlement_list(entitlements: pl.LazyFrame, plans: pl.LazyFrame, meters: pl.LazyFrame) -> pl.DataFrame:
    """Entitlements by feature, with the plan's code and the meter's unit joined (06.2)."""
    joined = (
        entitlements.join(plans.select("id", "code"), left_on="plan_id", right_on="id", how="left")
        .join(meters.select("key", "unit"), left_on="meter_key", right_on="key", how="left")
        .sort("user_id", "feature_key")
        .collect()
    )
    item = joined.select(
        "feature_key",
        "kind",
        pl.col("code").fill_null("").alias("plan_code"),
        "has_access",
        pl.col("limit_value").alias("limit"),
        "used",
        "granted",
        "balance",
        "overage",
        "unit",
        "period_start",
        "resets_at",
    )
    return _list(joined, item, pl.col("feature_key"))


def usage_list(usage_daily: pl.LazyFrame, meters: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """The last days of each user's usage, by day and meter."""
    joined = (
        usage_daily.filter(pl.col("day") > (as_of - timedelta(days=USAGE_DAYS)).date())
        .join(meters.select("key", "unit"), left_on="meter_key", right_on="key", how="left")
        .sort("user_id", "day", "meter_key")
        .with_columns(pl.col("day").cast(pl.String), pl.col("unit").fill_null(""))
        .collect()
    )
    item = joined.select("meter_key", pl.col("day").alias("date"), "value", "unit", "revision", "is_final")
    return _list(joined, item, pl.col("day") + "|" + pl.col("meter_key"))


def _list(joined: pl.DataFrame, item: pl.DataFrame, key: pl.Expr) -> pl.DataFrame:
    """Items without guards, as :func:`assets.published.rows.list_rows` takes them."""
    return joined.select(
        pl.col("user_id").alias("viewer_id"),
        json_texts(item),
        key.alias("fragment_key"),
        pl.lit(value=False).alias("is_cold"),
        *_NO_GUARDS,
    )
