"""Lossless pre-trim before activities meet viewers (spec 03.5).

An activity is *plain* when whoever may see anything of its actor sees it: no rule but those about
the actor can remove it. When an actor has ``max_per_actor`` plain single-activity cards, every
single-activity card behind them in (last_activity_at desc, item_id asc) would be cut by the
per-actor cap for every viewer, so it need not be joined. Cards of more activities stay untrimmed,
or their counts would drift.
"""

from __future__ import annotations

import numpy as np

from assets.feed.cards import Deck
from assets.feed.kernels import Flags
from assets.feed.visibility import Scene


def plain_acts(scene: Scene) -> Flags:
    """Which activities (by number) every friend of the actor sees who sees any of theirs."""
    ground = scene.ground
    principals = ground.principals
    act = np.repeat(np.arange(ground.count), np.diff(principals.start))
    is_exempt = np.zeros(ground.count, dtype=np.bool_)
    is_exempt[act[principals.items != ground.actor[act]]] = True
    is_exempt[np.diff(ground.groups.start) > 0] = True
    is_exempt[scene.hidden.items] = True
    is_for_friends = (ground.actor_level < 2) & (ground.owner_level < 2)
    is_own = (ground.owner == ground.actor) & (ground.reply_to < 0) & ~scene.is_reshare
    return np.asarray(is_for_friends & is_own & ~is_exempt)


def needed(deck: Deck, scene: Scene, is_plain: Flags, max_per_actor: int) -> Flags:
    """Which activities some viewer can get a card of: all but the single-activity cards that no viewer can."""
    ground = scene.ground
    act = np.flatnonzero(deck.card >= 0)
    order = act[np.lexsort((deck.card[act], ground.age[act], ground.actor[act]))]
    counts = (deck.is_alone & is_plain)[order].astype(np.int64)
    before = np.cumsum(counts) - counts
    actor = ground.actor[order]
    is_first = np.diff(actor, prepend=-1) != 0
    ahead = before - np.maximum.accumulate(np.where(is_first, before, 0))
    out = np.zeros(ground.count, dtype=np.bool_)
    out[order[~deck.is_alone[order] | (ahead < max_per_actor)]] = True
    return out
