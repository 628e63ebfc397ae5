"""Revisions and `metric_restatements` (rule 28): what an already ended period says now and said before.

Compares tables with those of the previous accepted premium. Not here: why a value changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from assets.premium.calendar import INSTANT, Grain, next_period, start
from quality.contract import Contract


@dataclass(frozen=True)
class Restated:
    """How a restated table's periods end, and what restates it."""

    cause: str
    period: str
    """The column that holds the period's first day."""
    grain: Grain | None
    """None: the table's own column ``grain`` says."""
    is_local: bool = False
    """Days end in the user's own zone."""


RESTATED: Mapping[str, Restated] = {
    "usage_daily": Restated("late_usage", "day", "day", is_local=True),
    "growth_accounting": Restated("late_usage", "period_start", None),
    "engagement_daily": Restated("late_usage", "day", "day"),
    "mrr_movements_daily": Restated("late_subscription", "day", "day"),
    "mrr_waterfall_monthly": Restated("late_subscription", "month", "month"),
    "plan_daily": Restated("late_subscription", "day", "day"),
}
NOT_COMPARED = frozenset({"revision", "is_final"})
LINES = "metric_restatements"


@dataclass(frozen=True)
class Past:
    """The previous accepted premium, erased users' rows already removed."""

    tables: Mapping[str, pl.DataFrame]
    as_of: datetime
    zones: pl.DataFrame
    """``user_id, zone``: users' present zones, for tables of local days."""
    reporting_zone: str


def without_erased(table: pl.DataFrame, erased: pl.DataFrame) -> pl.DataFrame:
    """Erasure outranks reproducibility: what was said of an erased user is not compared nor repeated."""
    if "user_id" in table.columns:
        return table.join(erased, on="user_id", how="anti")
    if "table_name" in table.columns:
        named = pl.col("key").str.json_path_match("$.user_id").cast(pl.Int64)
        return table.filter(~named.is_in(erased["user_id"].implode()).fill_null(value=False))
    return table


def restate(table: pl.DataFrame, contract: Contract, past: Past, as_of: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``table`` with its revisions, and this run's lines of what changed in it."""
    how = RESTATED[contract.name]
    key = list(contract.key)
    values = [name for name in contract.schema if name not in {*key, *NOT_COMPARED}]
    before = past.tables[contract.name].select(
        *key, *(pl.col(name).alias(f"{name}_old") for name in values), pl.col("revision").alias("_old")
    )
    both = table.with_columns(pl.lit(value=True).alias("_is_here")).join(before, on=key, how="full", coalesce=True)
    both = _with_ended(both, how, past).with_columns(_key_text(key, contract).alias("_key"))
    both = both.join(_said_before(past, contract.name), on="_key", how="left")
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_old")) for name in values)
    base = pl.max_horizontal(pl.col("_old").fill_null(1), pl.col("_said").fill_null(1))
    both = both.with_columns((changed & pl.col("_ended")).alias("_restated")).with_columns(
        pl.when("_restated").then(base + 1).otherwise(pl.col("_old").fill_null(1)).alias("revision")
    )
    lines = _lines(both.filter("_restated"), values, contract.name, how.cause, past.as_of, as_of)
    return both.filter(pl.col("_is_here")).select(table.columns), lines


def _key_text(key: list[str], contract: Contract) -> pl.Expr:
    fields = (pl.col(name) if contract.schema[name] == pl.Int64 else pl.col(name).cast(pl.String) for name in key)
    return pl.struct(fields).struct.json_encode()


def _said_before(past: Past, name: str) -> pl.DataFrame:
    lines = past.tables[LINES].filter(pl.col("table_name") == name)
    return lines.group_by(pl.col("key").alias("_key")).agg(pl.col("revision").max().alias("_said"))


def _with_ended(rows: pl.DataFrame, how: Restated, past: Past) -> pl.DataFrame:
    """Add ``_ended``: the row's period had ended by the previous ``as_of``."""
    zone = pl.lit(past.reporting_zone)
    if how.is_local:
        rows, zone = rows.join(past.zones, on="user_id", how="left"), pl.col("zone").fill_null(past.reporting_zone)
    grain = pl.lit(how.grain) if how.grain else pl.col("grain")
    rows = rows.with_columns(zone.alias("_zone"), grain.alias("_grain"))
    clock = ["_zone", "_grain", how.period]
    ended = [
        (name, unit, first, start(next_period(unit, first), name) <= past.as_of)
        for name, unit, first in rows.select(clock).unique().iter_rows()
    ]
    schema = pl.Schema([*((name, rows.schema[name]) for name in clock), ("_ended", pl.Boolean())])
    return rows.join(pl.DataFrame(ended, schema=schema, orient="row"), on=clock, how="left")


def _lines(
    rows: pl.DataFrame, values: list[str], table: str, cause: str, previous_as_of: datetime, as_of: datetime
) -> pl.DataFrame:
    parts = [
        rows.filter(pl.col(name).ne_missing(pl.col(f"{name}_old"))).select(
            pl.lit(table).alias("table_name"),
            pl.col("_key").alias("key"),
            pl.lit(name).alias("column_name"),
            "revision",
            pl.col(f"{name}_old").cast(pl.String).alias("old_value"),
            pl.col(name).cast(pl.String).alias("new_value"),
            pl.lit(cause).alias("cause"),
            pl.lit(previous_as_of, INSTANT).alias("previous_as_of"),
            pl.lit(as_of, INSTANT).alias("as_of"),
        )
        for name in values
    ]
    return pl.concat(parts)
