"""Rank among the lead actor's items, the cap it cuts at, and its part of the score (spec 03.3)."""

from __future__ import annotations

import numpy as np

from assets.feed.cards import Cards
from assets.feed.kernels import Flags, Longs, rank_within
from assets.feed.log2 import diversity_table
from assets.feed.visibility import Scene


def place(cards: Cards, scene: Scene, deck_size: int) -> Longs:
    """One integer per card that ascends by (last_activity_at desc, item_id asc); cards are numbered by item_id."""
    return np.asarray(scene.ground.age[cards.lead] * deck_size + cards.card)


def rank_per_actor(cards: Cards, places: Longs, scene: Scene) -> Longs:
    """Rank by (last_activity_at desc, item_id asc) among the lead actor's items of one viewer."""
    return rank_within(cards.viewer, scene.ground.actor[cards.lead], places, scene.relations.people.count)


def is_below_cap(ranks: Longs, max_per_actor: int) -> Flags:
    """Items with ``i >= max_per_actor`` are cut."""
    return np.asarray(ranks < max_per_actor)


def k_diversity(ranks: Longs, max_per_actor: int) -> Longs:
    """``floor(10**6 * log2(0.75 * 0.5**i + 0.25))`` of ranks below the cap."""
    size = min(max_per_actor, int(ranks.max(initial=0)) + 1)
    return np.asarray(diversity_table(size).to_numpy()[ranks])
