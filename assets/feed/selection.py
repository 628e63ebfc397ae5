"""Order, caps and positions of both modes (spec 03.3)."""

from __future__ import annotations

import polars as pl

from assets.feed.cards import Deck
from assets.feed.diversity import cut_per_actor, k_diversity, rank_per_actor, rank_within
from assets.feed.people import People
from assets.feed.scoring import k_time
from assets.feed.window import Ground
from store.settings import FeedSettings

PARTS = ("k_verb", "k_time", "k_engagement", "k_affinity", "k_diversity")


def with_lead(cards: pl.DataFrame, deck: Deck, ground: Ground, people: People) -> pl.DataFrame:
    """Add ``lead_actor`` and ``last_us`` of the lead activity, and two packed orders.

    ``edge`` is (viewer, lead actor); ``place`` ascends by (last_activity_at desc, item_id asc), cards
    being numbered in ``item_id`` order.
    """
    lead_actor = ground.of(cards["lead"], "actor")
    return cards.with_columns(
        lead_actor=lead_actor,
        last_us=ground.of(cards["lead"], "created_us"),
        edge=people.pack(cards["viewer"], lead_actor),
        place=ground.of(cards["lead"], "age") * deck.cards.height + cards["card"].cast(pl.Int64),
    )


def score(cards: pl.DataFrame, deck: Deck, affinity: pl.DataFrame, config: FeedSettings) -> pl.DataFrame:
    """Ranked cards below the per-actor cap, with the five parts and their exact sum."""
    kept = cut_per_actor(rank_per_actor(cards), config.max_per_actor)
    known = kept.join(affinity, on="edge", how="left")
    card = known["card"]
    return known.with_columns(
        deck.cards["k_verb"].gather(card),
        k_time("last_us", config.half_life_hours),
        deck.cards["k_engagement"].gather(card),
        pl.col("k_affinity").fill_null(0),
        k_diversity(known["i"], config.max_per_actor),
    ).with_columns(score=pl.sum_horizontal(PARTS))


def order_ranked(scored: pl.DataFrame) -> pl.DataFrame:
    """By (score desc, last_activity_at desc, item_id asc) within each viewer."""
    return scored.sort(["viewer", "score", "place"], descending=[False, True, False])


def order_chronological(cards: pl.DataFrame, config: FeedSettings) -> pl.DataFrame:
    """By (last_activity_at desc, lead_activity_id asc), which is the activities' own order; no score."""
    kept = cut_per_actor(rank_per_actor(cards), config.max_per_actor)
    zeros = [pl.lit(0, dtype=pl.Int64).alias(name) for name in (*PARTS, "score")]
    return kept.sort("viewer", "lead").with_columns(*zeros)


def cut(ordered: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Positions 1 … n within each viewer, cut at ``limit``."""
    return ordered.with_columns(position=rank_within(ordered, "viewer") + 1).filter(pl.col("position") <= limit)
