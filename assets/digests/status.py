"""Status (04.2): what became of an occurrence, the first that applies, and why in words.

Two questions, because the second costs items: what is settled by the calendar alone, and what by
what was found.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from store.payloads.digest_words import NOT_BUILT

CLOSING = ("built", "skipped_empty")
"""Only these close the window; after any other it stays open and its items roll on."""
REASONS = {**NOT_BUILT, "built": "built"}


def status_by_calendar(as_of: datetime) -> pl.Expr:
    """no_occurrence, paused, skipped_gap, expired, or null where items decide."""
    due = pl.col("due")
    return (
        pl.when(~pl.col("date_exists")).then(pl.lit("no_occurrence"))
        .when(due < pl.col("paused_until")).then(pl.lit("paused"))
        .when(due - pl.col("last_closed_end") < pl.col("gap")).then(pl.lit("skipped_gap"))
        .when(pl.lit(as_of, pl.Datetime("us", "UTC")) - due > pl.col("expire")).then(pl.lit("expired"))
    )  # fmt: skip


def may_need_items(as_of: datetime) -> pl.Expr:
    """Occurrences no calendar rule can settle, whatever was closed before them."""
    return (
        pl.col("date_exists")
        & ~(pl.col("due") < pl.col("paused_until")).fill_null(value=False)
        & (pl.lit(as_of, pl.Datetime("us", "UTC")) - pl.col("due") <= pl.col("expire"))
    )


def status_by_content() -> pl.Expr:
    """skipped_empty, skipped_below_min or built, from ``eligible_count, group_count, min_groups``."""
    return (
        pl.when(pl.col("eligible_count") == 0).then(pl.lit("skipped_empty"))
        .when(pl.col("group_count") < pl.col("min_groups")).then(pl.lit("skipped_below_min"))
        .otherwise(pl.lit("built"))
    )  # fmt: skip
