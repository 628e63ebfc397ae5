"""Suggested items for short ranked feeds (spec 03.3 Fill)."""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.feed.kernels import Flags, Longs, Numbers, two_steps
from assets.feed.people import People, Relations
from assets.feed.visibility import Edges
from assets.feed.window import Ground

FILL_TO = 10


def may_fill(ground: Ground, public: Flags) -> Flags:
    """``post`` activities whose audiences are public, by actors with a public profile; any time."""
    is_post = (ground.acts["verb"] == "post").to_numpy()
    return np.asarray(is_post & (ground.actor_level == 0) & (ground.owner_level == 0) & public[ground.actor])


def public_profiles(active: pl.DataFrame, people: People) -> Flags:
    """Which people (by number) are active users with a public profile."""
    out = np.zeros(people.count, dtype=np.bool_)
    out[people.number(active.filter(pl.col("profile_visibility") == "public")["id"]).to_numpy()] = True
    return out


def room(viewers: Numbers, owners: Numbers, max_ranked: int, people_count: int) -> Longs:
    """How many items may be added to each viewer's feed: up to ten in all. ``owners``: the viewer of each item."""
    filled = np.bincount(owners, minlength=people_count)[viewers]
    return np.asarray(np.maximum(0, min(FILL_TO, max_ranked) - filled), dtype=np.int64)


def at_distance_two(viewers: Numbers, is_wanted: Flags, relations: Relations) -> Edges:
    """Wanted others at distance exactly two: a common friend, not a friend, not oneself."""
    return Edges(*two_steps(relations.friends.start, relations.friends.items, viewers, is_wanted))
