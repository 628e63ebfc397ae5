"""Settling (04.2): occurrences in, settled rows, their groups and items, and the new state out.

Occurrences of one (user, channel) depend on each other (windows, items delivered), those of
different ones never do: so round *n* settles the *n*-th of every (user, channel) at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from assets.digests.groups import counted, group_key, grouped
from assets.digests.items import eligible
from assets.digests.status import CLOSING, status_by_calendar, status_by_content
from assets.digests.streams import STREAM
from assets.digests.windows import window_start
from assets.frame import StageCount
from store.settings import DigestsSettings

COUNTS = ["eligible_count", "group_count", "more_count", "late_count"]
_INBOX = ["user_id", "channel"]


@dataclass(frozen=True)
class Settled:
    """``rows`` (one per occurrence), rendered ``groups`` and all ``items`` of built digests, and state.

    ``windows``: the settled streams' ``last_closed_end, first_window_start`` after this run.
    """

    rows: pl.DataFrame
    groups: pl.DataFrame
    items: pl.DataFrame
    windows: pl.DataFrame
    delivered: pl.DataFrame
    counts: tuple[StageCount, ...]


def digest_id(user_id: int, channel: str, period_key: str) -> str:
    """Lowercase hex sha256 of ``digest|v1|{user_id}|{channel}|{period_key}``: one row each, ever."""
    return hashlib.sha256(f"digest|v1|{user_id}|{channel}|{period_key}".encode()).hexdigest()


def _identified(occurrences: pl.DataFrame) -> pl.DataFrame:
    """Add ``period_key``, ``digest_id`` and the ``round`` in which each is settled."""
    ordered = occurrences.sort(*_INBOX, "due", "day", "kind").with_columns(
        pl.concat_str("kind", pl.col("day").cast(pl.String), separator=":").alias("period_key"),
        pl.int_range(pl.len()).over(_INBOX).alias("round"),
    )
    ids = [digest_id(*key) for key in ordered.select(*_INBOX, "period_key").iter_rows()]
    return ordered.with_columns(pl.Series("digest_id", ids, pl.String))


def settle(
    occurrences: pl.DataFrame,
    candidates: pl.DataFrame,
    delivered: pl.DataFrame,
    config: DigestsSettings,
    as_of: datetime,
) -> Settled:
    """Settle every occurrence in the order (due, local date, kind) of its (user, channel).

    There is at least one. ``occurrences`` carry their stream, its state and limits, and ``preceding_due`` where the
    stream has no row yet; ``delivered`` is the previous `digest_delivered`.
    """
    waiting = _identified(occurrences)
    state = waiting.select(*STREAM, "last_closed_end", "first_window_start").unique(STREAM)
    waiting = waiting.drop("last_closed_end", "first_window_start")
    pool = candidates.with_columns(group_key().alias("group_key"))
    refused: Counter[str] = Counter()
    item_total = 0
    rounds: list[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = []
    for number in range(waiting["round"].n_unique()):
        asked = waiting.filter(pl.col("round") == number).join(state, on=STREAM)
        asked = asked.with_columns(window_start().alias("window_start"), status_by_calendar(as_of).alias("status"))
        items, why = eligible(asked.filter(pl.col("status").is_null()), pool, delivered, config)
        groups = grouped(items)
        rows = _with_status(asked, counted(groups, asked.select("digest_id", "max_groups")))
        built = rows.filter(pl.col("status") == "built").select("digest_id", "max_groups")
        kept = items.join(built, on="digest_id", how="semi")
        refused.update(why)
        refused["below_min_groups"] += items.height - kept.height
        item_total += items.height + sum(why.values())
        rendered = groups.join(built, on="digest_id").filter(pl.col("rank") <= pl.col("max_groups"))
        delivered = pl.concat([delivered, kept.select(delivered.columns)])
        state = _advanced(state, rows)
        rounds.append((rows, rendered.drop("max_groups"), kept))
    return _gathered(rounds, state, delivered, refused, item_total)


def _with_status(asked: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    rows = (
        asked.join(counts, on="digest_id", how="left")
        .with_columns(pl.col(COUNTS).fill_null(0))
        .with_columns(pl.coalesce("status", status_by_content()).alias("status"))
    )
    exists = pl.col("status") != "no_occurrence"
    return rows.with_columns(
        pl.when(exists).then("window_start").alias("window_start"),
        pl.when(exists).then("due").alias("due_at"),
    )


def _advanced(state: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The streams' windows after these rows: closed by what closes, opened by a first row."""
    seen = rows.select(
        *STREAM,
        pl.col("window_start").alias("row_start"),
        pl.when(pl.col("status").is_in(list(CLOSING))).then("due_at").alias("row_end"),
    )
    return state.join(seen, on=STREAM, how="left").select(
        *STREAM,
        pl.coalesce("row_end", "last_closed_end").alias("last_closed_end"),
        pl.coalesce("first_window_start", "row_start").alias("first_window_start"),
    )


def _gathered(
    rounds: list[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]],
    windows: pl.DataFrame,
    delivered: pl.DataFrame,
    refused: Counter[str],
    item_total: int,
) -> Settled:
    rows, groups, items = (pl.concat(frames) for frames in zip(*rounds, strict=True))
    by_status = dict(rows.group_by("status").len().sort("status").iter_rows())
    built = by_status.pop("built", 0)
    return Settled(
        rows,
        groups,
        items,
        windows,
        delivered,
        (
            StageCount("occurrences", rows.height, built, filtered=by_status),
            StageCount("items", item_total, items.height, filtered=dict(refused)),
        ),
    )
