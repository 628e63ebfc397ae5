"""Order, caps and positions of both modes (spec 03.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assets.feed.cards import Cards
from assets.feed.diversity import is_below_cap, k_diversity, place, rank_per_actor
from assets.feed.kernels import Longs, ordered
from assets.feed.scoring import Points
from assets.feed.visibility import Scene

PARTS = ("k_verb", "k_time", "k_engagement", "k_affinity", "k_diversity")


@dataclass(frozen=True)
class Items:
    """Cards that have a place in a feed, in its order, with the five parts of their scores."""

    cards: Cards
    position: Longs
    parts: Mapping[str, Longs]
    capped: int
    """How many cards the cap per actor cut before these were chosen."""

    def take(self, rows: Longs) -> Items:
        """These items, in this order."""
        parts = {name: part[rows] for name, part in self.parts.items()}
        return Items(self.cards.take(rows), self.position[rows], parts, self.capped)

    @classmethod
    def concat(cls, parts: Sequence[Items]) -> Items:
        """Several, one after another."""
        return cls(
            Cards.concat([items.cards for items in parts]),
            np.concatenate([items.position for items in parts]),
            {name: np.concatenate([items.parts[name] for items in parts]) for name in PARTS},
            sum(items.capped for items in parts),
        )


def total(parts: Mapping[str, Longs]) -> Longs:
    """The score: the exact sum of the five parts."""
    return np.asarray(sum(parts[name] for name in PARTS))


def ranked(cards: Cards, points: Points, scene: Scene, max_per_actor: int, limit: int) -> Items:
    """By (score desc, last_activity_at desc, item_id asc) within each viewer, cut at ``limit``."""
    places = place(cards, scene, points.deck_size)
    ranks = rank_per_actor(cards, places, scene)
    below = np.flatnonzero(is_below_cap(ranks, max_per_actor))
    viewer, card, lead = cards.viewer[below], cards.card[below], cards.lead[below]
    parts = {
        "k_verb": points.k_verb[card],
        "k_time": points.k_time[lead],
        "k_engagement": points.k_engagement[card],
        "k_affinity": points.k_affinity(viewer, scene.ground.actor[lead]),
        "k_diversity": k_diversity(ranks[below], max_per_actor),
    }
    rows, position = ordered(viewer, -total(parts), places[below])
    chosen = rows[position <= limit]
    return Items(
        cards.take(below[chosen]),
        position[position <= limit],
        {name: part[chosen] for name, part in parts.items()},
        cards.count - below.size,
    )


def chronological(cards: Cards, scene: Scene, deck_size: int, max_per_actor: int, limit: int) -> Items:
    """By (last_activity_at desc, lead_activity_id asc), which is the activities' own order; no score."""
    places = place(cards, scene, deck_size)
    below = np.flatnonzero(is_below_cap(rank_per_actor(cards, places, scene), max_per_actor))
    lead = cards.lead[below].astype(np.int64)
    rows, position = ordered(cards.viewer[below], lead, lead)
    chosen = rows[position <= limit]
    zeros = np.zeros(chosen.size, dtype=np.int64)
    return Items(
        cards.take(below[chosen]), position[position <= limit], dict.fromkeys(PARTS, zeros), cards.count - below.size
    )
