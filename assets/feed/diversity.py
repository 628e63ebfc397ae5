"""Rank among the lead actor's items, the cap it cuts at, and its part of the score (spec 03.3)."""

from __future__ import annotations

import polars as pl

from assets.feed.log2 import diversity_table


def rank_per_actor(cards: pl.DataFrame) -> pl.DataFrame:
    """Add ``i``: rank by (last_activity_at desc, item_id asc) among the lead actor's items of one viewer.

    ``edge`` is viewer and lead actor, ``place`` the order by time and item_id (``selection.with_lead``).
    """
    ordered = cards.sort("edge", "place")
    return ordered.with_columns(i=rank_within(ordered, "edge"))


def rank_within(ordered: pl.DataFrame, key: str) -> pl.Series:
    """0, 1, 2 … within each run of equal ``key`` of a frame sorted by it."""
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    is_first = (pl.col(key) != pl.col(key).shift(1)).fill_null(value=True)
    start = pl.when(is_first).then(row).forward_fill()
    return ordered.select((row - start).alias("i")).to_series()


def cut_per_actor(ranked: pl.DataFrame, max_per_actor: int) -> pl.DataFrame:
    """Drop items with ``i >= max_per_actor``."""
    return ranked.filter(pl.col("i") < max_per_actor)


def k_diversity(i: pl.Series, max_per_actor: int) -> pl.Series:
    """``floor(10**6 * log2(0.75 * 0.5**i + 0.25))`` of ranks below the cap."""
    ranks = min(max_per_actor, int(i.max() or 0) + 1)  # type: ignore[arg-type]
    return diversity_table(ranks).gather(i).alias("k_diversity")
