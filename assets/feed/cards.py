"""Items: how activities become cards, and a card's identity (spec 03.2).

Lives here: keys, item ids, grouping, counts and samples of actors. Does not belong here: order and
caps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.feed.compressed import Weighed, numbers
from assets.feed.kernels import Flags, Longs, Numbers, best_three, grouped, taken
from assets.feed.visibility import Pairs, Scene, is_in_circle, is_visible
from assets.feed.window import Ground

SAMPLE_ACTORS = 3
CHRONOLOGICAL_VERBS = ("post", "comment", "reshare")
DAILY_VERBS = ("friend_add", "group_join")


def item_ids(keys: Iterable[str]) -> pl.Series:
    """``item_id`` of every key: first 16 hex digits of its sha256 (UTF-8)."""
    sha256 = hashlib.sha256
    return pl.Series("item_id", [sha256(key.encode()).hexdigest()[:16] for key in keys], dtype=pl.String)


@dataclass(frozen=True)
class Deck:
    """The cards of one mode that any activity of the window may fall on, numbered in ``item_id`` order.

    ``cards``: ``item_id, verb, object_type, object_id`` (the object null where a card has many), row
    ``i`` is card number ``i``. The arrays hold one entry per activity, -1 where there is none:
    ``card``; ``joined_card`` and ``post_act``, set where a reshare joins its post's card if that
    post is eligible; ``is_alone`` where no other activity can fall on the card.
    """

    cards: pl.DataFrame
    card: Numbers
    joined_card: Numbers
    post_act: Numbers
    is_alone: Flags


@dataclass(frozen=True)
class Cards:
    """Cards of viewers, all of one viewer together, and who acted on them.

    ``lead`` is the newest activity, then the smallest id, which is the smallest number; ``first`` the
    oldest. ``latest[actors_start[i]:actors_start[i + 1]]`` are the newest activities of card ``i``'s actors.
    """

    viewer: Numbers
    card: Numbers
    lead: Numbers
    first: Numbers
    actors_start: Longs
    latest: Numbers

    @property
    def count(self) -> int:
        """How many cards there are."""
        return int(self.viewer.size)

    @property
    def actor_count(self) -> Longs:
        """Exact distinct eligible actors of each card."""
        return np.diff(self.actors_start)

    def take(self, rows: Longs) -> Cards:
        """These cards, in this order."""
        start, latest = taken(self.actors_start, self.latest, rows)
        return Cards(self.viewer[rows], self.card[rows], self.lead[rows], self.first[rows], start, latest)

    @classmethod
    def concat(cls, parts: Sequence[Cards]) -> Cards:
        """Several, one after another."""
        sizes = np.concatenate([cards.actor_count for cards in parts])
        start = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        return cls(
            np.concatenate([cards.viewer for cards in parts]),
            np.concatenate([cards.card for cards in parts]),
            np.concatenate([cards.lead for cards in parts]),
            np.concatenate([cards.first for cards in parts]),
            start,
            np.concatenate([cards.latest for cards in parts]),
        )


def _own_key() -> pl.Expr:
    """Key of a ranked card: the object's, or the actor's day for friend_add and group_join."""
    object_key = pl.format("{}|{}|{}", "verb", "object_type", "object_id")
    day_key = pl.format("{}|{}|{}", "verb", "actor_id", pl.col("created_at").dt.strftime("%Y-%m-%d"))
    return pl.when(pl.col("verb").is_in(DAILY_VERBS)).then(day_key).otherwise(object_key)


def ranked_deck(ground: Ground, actor_ids: pl.Series) -> Deck:
    """Cards of the ranked mode; ``actor_ids`` are the ids behind the actor numbers."""
    window = ground.acts.head(ground.in_window)
    posts = ground.acts.filter(pl.col("verb") == "post").select("object_id", pl.col("act").alias("post_act"))
    is_joiner = (pl.col("verb") == "reshare") & (pl.col("object_type") == "post")
    keyed = (
        window.with_columns(actor_id=actor_ids.gather(ground.actor[: ground.in_window]))
        .join(posts, on="object_id", how="left", maintain_order="left")
        .select(
            "act", "verb", "object_type", "object_id",
            pl.when(is_joiner).then("post_act").alias("post_act"),
            _own_key().alias("key"),
            pl.when(is_joiner & pl.col("post_act").is_not_null())
            .then(pl.format("post|post|{}", "object_id")).alias("joined_key"),
        )
    )  # fmt: skip
    is_daily = pl.col("verb").is_in(DAILY_VERBS)
    own = keyed.select(
        "key",
        "verb",
        pl.when(~is_daily).then("object_type").alias("object_type"),
        pl.when(~is_daily).then("object_id").alias("object_id"),
    )
    joined = keyed.filter(pl.col("joined_key").is_not_null()).select(
        pl.col("joined_key").alias("key"), pl.lit("post").alias("verb"), "object_type", "object_id"
    )
    return _deck(pl.concat([own, joined]), keyed, ground)


def chronological_deck(ground: Ground) -> Deck:
    """Every post, comment and reshare is its own item."""
    window = ground.acts.head(ground.in_window).filter(pl.col("verb").is_in(CHRONOLOGICAL_VERBS))
    ids = item_ids(f"activity|{id_}" for id_ in window["id"].to_list())
    numbered = window.select("act", "verb", "object_type", "object_id", ids).sort("item_id", "act")
    card, nothing = (np.full(ground.count, -1, dtype=np.int32) for _ in range(2))
    card[numbered["act"].to_numpy()] = np.arange(numbered.height, dtype=np.int32)
    cards = numbered.select("item_id", "verb", "object_type", "object_id")
    return Deck(cards, card, nothing, nothing, np.ones(ground.count, dtype=np.bool_))


def _deck(cards: pl.DataFrame, keyed: pl.DataFrame, ground: Ground) -> Deck:
    distinct = cards.unique("key")
    ids = item_ids(distinct["key"].to_list())
    numbered = distinct.with_columns(ids).sort("item_id", "key").with_row_index("card")
    keys = numbered.select("key", "card")
    acts = keyed.join(keys, on="key", how="left", maintain_order="left").join(
        keys.rename({"key": "joined_key", "card": "joined_card"}), on="joined_key", how="left", maintain_order="left"
    )
    members = np.bincount(pl.concat([acts["card"], acts["joined_card"].drop_nulls()]).to_numpy())
    is_alone = (members[acts["card"].to_numpy()] == 1) & acts["joined_card"].is_null().to_numpy()
    old = ground.count - ground.in_window
    card, joined_card, post_act = (
        np.concatenate([numbers(acts[name]), np.full(old, -1, dtype=np.int32)])
        for name in ("card", "joined_card", "post_act")
    )
    return Deck(
        numbered.drop("key", "card"), card, joined_card, post_act, np.concatenate([is_alone, np.zeros(old, np.bool_)])
    )


def deal(pairs: Pairs, deck: Deck, is_needed: Flags, scene: Scene) -> tuple[Pairs, Numbers]:
    """The ``pairs`` that the mode has a card for (``is_needed``), and the card of each.

    A reshare joins the post's card if the post is eligible, whatever its age.
    """
    dealt = pairs.where(is_needed[pairs.act])
    card = deck.card[dealt.act]
    reshares = np.flatnonzero(deck.post_act[dealt.act] >= 0)
    posts = Pairs(dealt.viewer[reshares], deck.post_act[dealt.act[reshares]])
    joining = reshares[is_in_circle(posts, scene) & is_visible(posts, scene)]
    card[joining] = deck.joined_card[dealt.act[joining]]
    return dealt, card


def group(dealt: Pairs, card: Numbers, scene: Scene) -> Cards:
    """The cards that eligible activities make."""
    actors, people = scene.ground.actor, scene.relations.people.count
    return Cards(*grouped(dealt.viewer, card, dealt.act, actors, people))


def singles(dealt: Pairs, card: Numbers) -> Cards:
    """The cards of activities that share none: each its own lead, first and only one."""
    return Cards(dealt.viewer, card, dealt.act, dealt.act, np.arange(dealt.count + 1), dealt.act)


def sample_actors(cards: Cards, scene: Scene, affinity: Weighed) -> tuple[Longs, Numbers]:
    """Up to three actors (numbers) of each card by (affinity count desc, latest desc, id asc), compressed by card."""
    actor = scene.ground.actor[cards.latest]
    known = affinity.value(np.repeat(cards.viewer, cards.actor_count), actor)
    return best_three(cards.actors_start, known, scene.ground.age[cards.latest], actor)
