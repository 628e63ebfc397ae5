"""The rows of ``feed_items``: numbers become ids, and what the viewer has seen (spec 03.4)."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from assets.feed.cards import Deck
from assets.feed.people import People
from assets.feed.window import Ground


def marks(reads: pl.DataFrame, people: People, as_of: datetime) -> pl.DataFrame:
    """``viewer, seen_at`` of the reading marks before ``as_of`` of those who are anybody."""
    there = reads.filter((pl.col("seen_at") < as_of) & pl.col("user_id").is_in(people.ids.implode()))
    return there.select(people.number(there["user_id"]).alias("viewer"), "seen_at")


def rows(
    items: pl.DataFrame, mode: str, deck: Deck, ground: Ground, seen: pl.DataFrame, people: People
) -> pl.DataFrame:
    """Rows of ``feed_items``.

    ``items``: ``viewer, card, lead, first, actor_count, position, score, k_*, is_suggested`` and
    ``sample`` (ids; null where the lead actor is the only one).
    """
    known = items.join(seen, on="viewer", how="left", maintain_order="left")
    lead, card = known["lead"], known["card"]
    lead_actor = ground.of(lead, "actor")
    last_at = ground.of(lead, "created_at")
    lead_actor_ids = people.ids.gather(lead_actor).alias("lead_actor_id")
    samples = known.select(pl.coalesce("sample", pl.concat_list(lead_actor_ids)).alias("sample_actor_ids")).to_series()
    named = pl.DataFrame(
        [
            people.ids.gather(known["viewer"]).alias("viewer_id"),
            pl.repeat(mode, known.height, dtype=pl.String, eager=True).alias("mode"),
            known["position"],
            deck.cards["item_id"].gather(card),
            deck.cards["verb"].gather(card),
            ground.of(lead, "object_type"),
            ground.of(lead, "object_id"),
            people.ids.gather(ground.of(lead, "owner")).alias("object_owner_id"),
            ground.of(lead, "id").alias("lead_activity_id"),
            lead_actor_ids,
            known["actor_count"],
            samples,
            (known["actor_count"] - samples.list.len().cast(pl.Int64)).alias("other_count"),
            ground.of(known["first"], "created_at").alias("first_activity_at"),
            last_at.alias("last_activity_at"),
            *(known[name] for name in ("score", "k_verb", "k_time", "k_engagement", "k_affinity", "k_diversity")),
        ]
    )
    is_own = lead_actor == known["viewer"]
    reason = (
        pl.when(known["is_suggested"]).then(pl.lit("suggested")).when(is_own).then(pl.lit("own"))
        .otherwise(pl.lit("friend")).alias("reason")
    )  # fmt: skip
    is_unseen = (last_at > known["seen_at"]).fill_null(value=True)
    return named.with_columns(reason, is_unseen.alias("is_unseen"))
