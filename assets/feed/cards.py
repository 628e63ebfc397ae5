"""Items: how activities become cards, and a card's identity (spec 03.2).

Lives here: keys, item ids, grouping, counts and samples of actors. Does not belong here: order and
caps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import polars as pl

from assets.feed.visibility import Scene, visible
from assets.feed.window import Ground

SAMPLE_ACTORS = 3
CHRONOLOGICAL_VERBS = ("post", "comment", "reshare")
DAILY_VERBS = ("friend_add", "group_join")


def item_id(key: str) -> str:
    """First 16 hex digits of sha256 of the key (UTF-8)."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Deck:
    """The cards of one mode that any activity of the window may fall on, numbered in ``item_id`` order.

    ``cards``: ``card, item_id, verb, object_type, object_id`` (the object null where a card has many).
    ``acts``: ``act, card, joined_card, post_act, is_alone`` of the window's activities; ``joined_card``
    and ``post_act`` are set where a reshare joins its post's card if that post is eligible;
    ``is_alone`` where no other activity can fall on the card.
    """

    cards: pl.DataFrame
    acts: pl.DataFrame


def _own_key() -> pl.Expr:
    """Key of a ranked card: the object's, or the actor's day for friend_add and group_join."""
    object_key = pl.format("{}|{}|{}", "verb", "object_type", "object_id")
    day_key = pl.format("{}|{}|{}", "verb", "actor_id", pl.col("created_at").dt.strftime("%Y-%m-%d"))
    return pl.when(pl.col("verb").is_in(DAILY_VERBS)).then(day_key).otherwise(object_key)


def ranked_deck(ground: Ground, actor_ids: pl.Series) -> Deck:
    """Cards of the ranked mode; ``actor_ids`` are the ids behind the actor numbers."""
    window = ground.acts.head(ground.in_window)
    posts = ground.acts.filter(pl.col("verb") == "post").select(
        pl.col("object_id"), pl.lit("post").alias("object_type"), pl.col("act").alias("post_act")
    )
    is_joiner = (pl.col("verb") == "reshare") & (pl.col("object_type") == "post")
    keyed = (
        window.with_columns(actor_id=actor_ids.gather(window["actor"]))
        .join(posts, on=["object_type", "object_id"], how="left", maintain_order="left")
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
    return _deck(pl.concat([own, joined]), keyed)


def chronological_deck(ground: Ground) -> Deck:
    """Every post, comment and reshare is its own item."""
    window = ground.acts.head(ground.in_window).filter(pl.col("verb").is_in(CHRONOLOGICAL_VERBS))
    ids = pl.Series("item_id", [item_id(f"activity|{id_}") for id_ in window["id"].to_list()], dtype=pl.String)
    numbered = (
        window.select("act", "verb", "object_type", "object_id", ids).sort("item_id", "act").with_row_index("card")
    )
    nobody = pl.lit(None, dtype=pl.UInt32)
    acts = numbered.select(
        "act", "card", nobody.alias("joined_card"), nobody.alias("post_act"), pl.lit(value=True).alias("is_alone")
    )
    return Deck(numbered.select("card", "item_id", "verb", "object_type", "object_id"), acts)


def _deck(cards: pl.DataFrame, keyed: pl.DataFrame) -> Deck:
    distinct = cards.unique("key")
    ids = pl.Series("item_id", list(map(item_id, distinct["key"].to_list())), dtype=pl.String)
    numbered = distinct.with_columns(ids).sort("item_id", "key").with_row_index("card")
    numbers = numbered.select("key", "card")
    acts = keyed.join(numbers, on="key", how="left", maintain_order="left").join(
        numbers.rename({"key": "joined_key", "card": "joined_card"}), on="joined_key", how="left", maintain_order="left"
    )
    is_alone = (
        acts["card"].is_unique() & acts["joined_card"].is_null() & ~acts["card"].is_in(acts["joined_card"].implode())
    )
    return Deck(numbered.drop("key"), acts.select("act", "card", "joined_card", "post_act", is_alone.alias("is_alone")))


def deal(pairs: pl.DataFrame, acts: pl.DataFrame, scene: Scene, circle: pl.DataFrame) -> pl.DataFrame:
    """``viewer, act, card, is_alone`` of eligible ``pairs``; a reshare joins the post's card if the post is eligible.

    ``acts`` are a deck's, or those of them that are needed; ``circle`` holds ``viewer, other``:
    whose posts may be eligible for the viewer at all.
    """
    dealt = pairs.join(acts, on="act")
    reshares = dealt.filter(pl.col("post_act").is_not_null())
    plain = dealt.filter(pl.col("post_act").is_null()).select("viewer", "act", "card", "is_alone")
    if reshares.is_empty():
        return plain
    posts = reshares.select("viewer", pl.col("post_act").alias("act")).unique()
    in_circle = posts.with_columns(other=scene.ground.of(posts["act"], "actor")).join(
        circle, on=["viewer", "other"], how="semi"
    )
    eligible, _ = visible(in_circle.select("viewer", "act"), scene)
    joined = reshares.join(
        eligible.select("viewer", pl.col("act").alias("post_act"), pl.lit(value=True).alias("joins")),
        on=["viewer", "post_act"],
        how="left",
    ).select(
        "viewer",
        "act",
        pl.when(pl.col("joins")).then("joined_card").otherwise("card").alias("card"),
        pl.lit(value=False).alias("is_alone"),
    )
    return pl.concat([plain, joined])


def group(dealt: pl.DataFrame, ground: Ground) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cards and their actors.

    Cards: ``viewer, card, lead, first, actor_count``: the lead activity is the newest, then the
    smallest id, which is the smallest number. Actors: ``viewer, card, actor, latest`` (the actor's
    newest activity) of the cards that more than one activity can make.
    """
    single = dealt.filter("is_alone").select(
        "viewer",
        "card",
        pl.col("act").alias("lead"),
        pl.col("act").alias("first"),
        pl.lit(1, dtype=pl.Int64).alias("actor_count"),
    )
    shared = dealt.filter(~pl.col("is_alone"))
    actors = (
        shared.with_columns(actor=ground.of(shared["act"], "actor"))
        .group_by("viewer", "card", "actor")
        .agg(pl.col("act").min().alias("latest"), pl.col("act").max().alias("first"))
    )
    grouped = actors.group_by("viewer", "card").agg(
        pl.col("latest").min().alias("lead"), pl.col("first").max(), pl.len().cast(pl.Int64).alias("actor_count")
    )
    return pl.concat([single, grouped]), actors.drop("first")


def sample_actors(kept: pl.DataFrame, actors: pl.DataFrame, scene: Scene, affinity: pl.DataFrame) -> pl.DataFrame:
    """``viewer, card, sample`` (ids) of kept cards: up to three by (affinity desc, latest desc, id asc).

    ``affinity``: ``edge, n``. Cards of one actor need no order.
    """
    keys = kept.filter(pl.col("actor_count") > 1).select("viewer", "card")
    wanted = actors.join(keys, on=["viewer", "card"], how="semi")
    edges = wanted.with_columns(edge=scene.relations.people.pack(wanted["viewer"], wanted["actor"]))
    known = edges.join(affinity, on="edge", how="left")
    ordered = known.with_columns(
        pl.col("n").fill_null(0), latest_us=scene.ground.of(known["latest"], "created_us")
    ).sort(["viewer", "card", "n", "latest_us", "actor"], descending=[False, False, True, True, False])
    ids = scene.relations.people.ids.gather(ordered["actor"]).alias("actor_id")
    return (
        ordered.with_columns(ids)
        .group_by("viewer", "card", maintain_order=True)
        .agg(pl.col("actor_id").head(SAMPLE_ACTORS).alias("sample"))
    )
