"""From snapshot to staged: types, erasures, bad rows to rejects, rows of the future left out.

Pure: frames and ``as_of`` in; one :class:`StagedTable` per source table out. Order: cast → erase →
reject (first broken rule names the row) → duplicates → orphans → not yet there. Does not belong
here: the rules themselves (``quality.rejects``) and what products make of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from assets.frame import StageCount
from quality.contract import SAMPLE, Contract, Failure
from quality.erasure import names_an_erased_user, without_erased_ids
from quality.rejects import DUPLICATE_KEY, MONEY, ORPHAN, REFERENCES, row_rules
from store.settings import QualitySettings

NOT_YET = "not_yet"
ERASED = "erased"
HAPPENED_AT: dict[str, str] = {
    "activities": "created_at",
    "notifications": "created_at",
    "friendships": "created_at",
    "friend_requests": "created_at",
    "memberships": "joined_at",
    "recommendation_impressions": "shown_at",
}
"""Law 7: a row at or after ``as_of`` is not there yet. Restrictions count whatever their time, and
premium filters its own tables (05 rule 1), so neither is listed."""

REJECT_SCHEMA = {"table": pl.String, "key": pl.String, "column": pl.String, "rule": pl.String, "value": pl.String}


class BadSource(Exception):
    """The snapshot breaks a rule by more than its budget; the message names table, column, rule, count, keys."""


@dataclass(frozen=True)
class StagedTable:
    """One staged table, the rows it refused (with reasons), and its counts."""

    frame: pl.DataFrame
    rejects: pl.DataFrame
    count: StageCount


def stage_all(
    raw: Mapping[str, pl.LazyFrame], contracts: Mapping[str, Contract], budget: QualitySettings, as_of: datetime
) -> dict[str, StagedTable]:
    """Stage every source table. ``raw`` and ``contracts`` are keyed by source table name.

    Raises :class:`BadSource` when a rule's rejects exceed ``max(REJECT_ROWS, REJECT_PPM)``; money
    tables never raise here: their budget of 0 is premium's to enforce.
    """
    erased = raw["erasure_requests"].select("user_id").unique().sort("user_id").collect()["user_id"].cast(pl.Int64)
    staged: dict[str, StagedTable] = {}
    known: dict[str, pl.Series] = {}
    for table in sorted(contracts, key=lambda name: (len(REFERENCES.get(name, ())), name)):
        staged[table] = _stage(table, raw[table], contracts[table], erased, known, as_of)
        if table in {target for refs in REFERENCES.values() for _, target, _ in refs}:
            known[table] = staged[table].frame["id"]
    _enforce_budget(staged, budget)
    return staged


def cast_to(contract: Contract, frame: pl.LazyFrame) -> pl.DataFrame:
    """``frame`` in the contract's columns and types; raises :class:`BadSource` naming a missing column."""
    present = frame.collect_schema()
    missing = [name for name in contract.schema if name not in present]
    if missing:
        raise BadSource(f"{contract.name}: column(s) {', '.join(missing)} are missing from the snapshot")
    return frame.select(pl.col(name).cast(dtype) for name, dtype in contract.schema.items()).collect()


def _stage(
    table: str,
    raw: pl.LazyFrame,
    contract: Contract,
    erased: pl.Series,
    known: Mapping[str, pl.Series],
    as_of: datetime,
) -> StagedTable:
    frame = cast_to(contract, raw)
    rows_in = frame.height
    filtered: dict[str, int] = {}
    if erased.len() and (expression := names_an_erased_user(table, erased)) is not None:
        kept = frame.filter(~expression).with_columns(without_erased_ids(table, erased))
        filtered[ERASED] = frame.height - kept.height
        frame = kept
    rejects: list[pl.DataFrame] = []
    frame = _reject_rows(table, frame, contract, as_of, rejects)
    frame = _reject_duplicates(table, frame, contract, rejects)
    frame = _reject_orphans(table, frame, contract, known, rejects)
    if column := HAPPENED_AT.get(table):
        kept = frame.filter(pl.col(column) < as_of)
        filtered[NOT_YET] = frame.height - kept.height
        frame = kept
    frame = frame.sort(contract.key)
    rejected = pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *rejects]).sort(list(REJECT_SCHEMA))
    count = StageCount(contract.name, rows_in, frame.height, rejected.height, filtered)
    return StagedTable(frame, rejected, count)


def _reject_rows(
    table: str, frame: pl.DataFrame, contract: Contract, as_of: datetime, rejects: list[pl.DataFrame]
) -> pl.DataFrame:
    rules = row_rules(table, contract, as_of)
    broken = pl.coalesce(
        pl.when(rule.bad.fill_null(value=False)).then(pl.lit(i, pl.Int32)) for i, rule in enumerate(rules)
    )
    judged = frame.with_columns(broken.alias("__rule"))
    bad = judged.filter(pl.col("__rule").is_not_null())
    if bad.is_empty():
        return frame
    for (index,), rows in bad.group_by("__rule"):
        rule = rules[int(str(index))]
        rejects.append(_reject(table, rows, contract, rule.column, rule.name))
    return judged.filter(pl.col("__rule").is_null()).drop("__rule")


def _reject_duplicates(
    table: str, frame: pl.DataFrame, contract: Contract, rejects: list[pl.DataFrame]
) -> pl.DataFrame:
    key = list(contract.key)
    if not frame.select(key).is_duplicated().any():
        return frame
    # Which of the copies stays must not depend on row order: the smallest in all columns does.
    scalar = [name for name, dtype in contract.schema.items() if not isinstance(dtype, pl.List)]
    ordered = frame.sort([*key, *(c for c in scalar if c not in key)], nulls_last=True)
    first = ordered.select(pl.struct(key).is_first_distinct()).to_series()
    rejects.append(_reject(table, ordered.filter(~first), contract, key[0], DUPLICATE_KEY))
    return ordered.filter(first)


def _reject_orphans(
    table: str, frame: pl.DataFrame, contract: Contract, known: Mapping[str, pl.Series], rejects: list[pl.DataFrame]
) -> pl.DataFrame:
    for column, target, _ in REFERENCES.get(table, ()):
        exists = frame.select(pl.col(column).is_in(known[target].implode())).to_series()
        if not exists.all():
            rejects.append(_reject(table, frame.filter(~exists), contract, column, f"{ORPHAN} in {target}"))
            frame = frame.filter(exists)
    return frame


def _reject(table: str, rows: pl.DataFrame, contract: Contract, column: str, rule: str) -> pl.DataFrame:
    """Reject rows: ids are shown, texts are redacted to their length."""
    is_text = contract.schema[column] == pl.String and column not in contract.key
    value = (
        pl.concat_str(pl.lit("text of "), pl.col(column).str.len_chars().cast(pl.String), pl.lit(" characters"))
        if is_text
        else pl.col(column).cast(pl.String, strict=False)
    )
    if isinstance(contract.schema[column], pl.List):
        value = pl.lit(None, pl.String)
    return rows.select(
        pl.lit(table).alias("table"),
        pl.concat_str([pl.col(k).cast(pl.String).fill_null("null") for k in contract.key], separator=",").alias("key"),
        pl.lit(column).alias("column"),
        pl.lit(rule).alias("rule"),
        value.alias("value"),
    )


def over_budget(table: str, staged: StagedTable, budget: QualitySettings) -> list[Failure]:
    """Rules of ``table`` whose rejects exceed the budget (0 for money tables)."""
    allowed = 0 if table in MONEY else max(budget.reject_rows, staged.count.rows_in * budget.reject_ppm // 1_000_000)
    grouped = staged.rejects.group_by("column", "rule").agg(pl.len().alias("n"), pl.col("key").sort().head(SAMPLE))
    return [
        Failure(table, f"{row['rule']} (allowed: {allowed})", row["column"], row["n"],
                tuple({"key": key} for key in row["key"]))
        for row in grouped.sort("column", "rule").iter_rows(named=True)
        if row["n"] > allowed
    ]  # fmt: skip


def _enforce_budget(staged: Mapping[str, StagedTable], budget: QualitySettings) -> None:
    failures = [
        failure
        for table, result in sorted(staged.items())
        if table not in MONEY
        for failure in over_budget(table, result, budget)
    ]
    if failures:
        raise BadSource("; ".join(str(f) for f in failures))
