"""The rows of ``feed_items``: numbers become ids, and what the viewer has seen (spec 03.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import pyarrow as pa

from assets.feed.cards import Deck, sample_actors
from assets.feed.compressed import Weighed
from assets.feed.kernels import Flags, Longs, Numbers
from assets.feed.people import People
from assets.feed.selection import PARTS, Items, total
from assets.feed.visibility import Scene

MODES = ("chronological", "ranked")
REASONS = ("own", "friend", "suggested")
ABOUT_THE_LEAD = {
    "object_type": "object_type",
    "object_id": "object_id",
    "owner_id": "object_owner_id",
    "id": "lead_activity_id",
}
"""Columns of the lead activity, and what they are called in a row."""
MAX_ITEMS = 1_000
"""More than any mode's cap (settings: 500)."""
NEVER = np.iinfo(np.int64).min


def marks(reads: pl.DataFrame, people: People, as_of: datetime) -> Longs:
    """Of everybody (by number) the reading mark before ``as_of``, µs since 1970; ``NEVER`` without one."""
    there = reads.filter((pl.col("seen_at") < as_of) & pl.col("user_id").is_in(people.ids.implode()))
    out = np.full(people.count, NEVER, dtype=np.int64)
    out[people.number(there["user_id"]).to_numpy()] = there["seen_at"].to_physical().to_numpy()
    return out


def is_unseen(last_us: Longs, seen_us: Longs) -> Flags:
    """Newer than the mark; equality is seen, no mark is unseen."""
    return np.asarray(last_us > seen_us)


@dataclass(frozen=True)
class Shown:
    """Items of one mode and kind, and where their cards begin in the catalogue of both decks."""

    items: Items
    mode: str
    first_card: int
    is_suggested: bool = False


@dataclass(frozen=True)
class Words:
    """What numbers are turned into."""

    scene: Scene
    catalogue: pl.DataFrame
    """The cards of both decks: ``item_id, verb``."""
    seen_us: Longs


def catalogue(decks: list[Deck]) -> pl.DataFrame:
    """``item_id, verb`` of the cards of every deck, one deck after another."""
    return pl.concat([deck.cards.select("item_id", "verb") for deck in decks]).rechunk()


def rows(shown: list[Shown], words: Words, affinity: Weighed) -> pl.DataFrame:
    """Rows of ``feed_items`` of some viewers, by (viewer_id, mode, position)."""
    ground, people = words.scene.ground, words.scene.relations.people
    every = Items.concat([part.items for part in shown])
    mode = _of_each(shown, [MODES.index(part.mode) for part in shown])
    order = np.argsort((every.cards.viewer * np.int64(2) + mode) * MAX_ITEMS + every.position, kind="stable")
    items = every.take(order)
    cards = items.cards
    card = (every.cards.card + _of_each(shown, [part.first_card for part in shown]))[order]
    numbered = pl.Series(card, dtype=pl.UInt32)
    is_suggested = _of_each(shown, [int(part.is_suggested) for part in shown])[order] > 0
    actor = ground.actor[cards.lead]
    lead, ids, created_us = pl.Series(cards.lead, dtype=pl.UInt32), people.ids.to_numpy(), ground.created_us
    samples = _lists(*sample_actors(cards, words.scene, affinity), people)
    return pl.DataFrame(
        [
            pl.Series("viewer_id", ids[cards.viewer]),
            _words("mode", MODES, mode[order]),
            pl.Series("position", items.position),
            *(words.catalogue[name].gather(numbered) for name in words.catalogue.columns),
            *(ground.acts[name].gather(lead).alias(alias) for name, alias in ABOUT_THE_LEAD.items()),
            pl.Series("lead_actor_id", ids[actor]),
            pl.Series("actor_count", cards.actor_count),
            samples,
            pl.Series("other_count", cards.actor_count) - samples.list.len().cast(pl.Int64),
            _instants("first_activity_at", created_us[cards.first]),
            _instants("last_activity_at", created_us[cards.lead]),
            pl.Series("score", total(items.parts)),
            *(pl.Series(name, items.parts[name]) for name in PARTS),
            _words("reason", REASONS, np.where(is_suggested, 2, np.where(actor == cards.viewer, 0, 1))),
            pl.Series("is_unseen", is_unseen(created_us[cards.lead], words.seen_us[cards.viewer])),
        ]
    )


def _of_each(shown: list[Shown], values: list[int]) -> Longs:
    """The value of each part, once for each of its items."""
    return np.repeat(np.array(values, dtype=np.int64), [part.items.cards.count for part in shown])


def _words(name: str, words: tuple[str, ...], codes: Longs) -> pl.Series:
    return pl.Series(name, list(words), dtype=pl.String).gather(codes)


def _instants(name: str, us: Longs) -> pl.Series:
    return pl.Series(name, us).cast(pl.Datetime("us", "UTC"))


def _lists(start: Longs, people_numbers: Numbers, people: People) -> pl.Series:
    """``sample_actor_ids``: the ids of compressed numbers, one list per row."""
    values = pa.array(people.ids.to_numpy()[people_numbers])
    return pl.Series("sample_actor_ids", pa.LargeListArray.from_arrays(pa.array(start, pa.int64()), values))
