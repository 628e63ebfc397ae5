"""Feed items as clients get them (spec 06.2 FeedItem), with sort keys and guards (06.1). Pure."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl

from assets.published.encoding import encoded, hex_digits, text_buffers, text_series, united
from assets.published.kernels import Bytes
from store.payloads import Mode
from store.payloads.words import SCORE_PARTS

_ITEM: Final = (
    "item_id",
    "sort_key",
    "verb",
    "object_type",
    "object_id",
    "object_owner_id",
    "lead_activity_id",
    "lead_actor_id",
    "actor_count",
    "sample_actor_ids",
    "other_count",
    "first_activity_at",
    "last_activity_at",
    "reason",
    "is_unseen",
)
_ACTIVITY: Final = (
    "id", "actor_id", "verb", "object_type", "object_id", "object_owner_id", "reply_to_user_id",
    "mentioned_user_ids", "group_id", "audience", "object_audience", "created_at",
)  # fmt: skip
ReplyRule = Literal["friends", "all"]
_ITEM_ID_BYTES: Final = 16
_BAR: Final = np.frombuffer(b"|", dtype=np.uint8).reshape(1, 1)
_BODIES: Final = ("post", "comment")
"""Object types that an activity of their own made (01.1)."""


def feed_list(
    feed_items: pl.LazyFrame, activities: pl.LazyFrame, mode: Mode, reply_rule: ReplyRule = "friends"
) -> pl.DataFrame:
    """Items of one mode as :func:`assets.published.rows.list_rows` takes them."""
    items = feed_items.filter(pl.col("mode") == mode).sort("viewer_id", "position").collect()
    keyed = items.with_columns(sort_keys(items, mode).alias("sort_key"))
    return keyed.select(
        "viewer_id",
        pl.struct(_ITEM).alias("fragment"),
        pl.col("sort_key").alias("fragment_key"),
        (pl.col("reason") == "suggested").alias("is_cold"),
    ).hstack(feed_guards(items, activities, reply_rule))


def tombstone_documents(tombstones: pl.LazyFrame, viewers: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Viewers and bodies of the dataset ``feed_tombstones``: what left a feed, and why (03.4)."""
    buried = (
        tombstones.filter(pl.col("viewer_id").is_in(viewers.implode()))
        .sort("viewer_id", "mode", "item_id")
        .group_by("viewer_id", maintain_order=True)
        .agg(pl.struct("mode", "item_id", "reason").alias("gone"))
        .collect()
    )
    return buried["viewer_id"], buried.select(encoded(pl.col("gone"))).to_series()


def score_documents(feed_items: pl.LazyFrame, viewers: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Viewers and bodies of the dataset ``feed_scores``: the five parts of each ranked item's score, in order."""
    parts = pl.format("[{},{},{},{},{}]", *SCORE_PARTS)
    scored = (
        feed_items.filter((pl.col("mode") == "ranked") & pl.col("viewer_id").is_in(viewers.implode()))
        .sort("viewer_id", "position")
        .group_by("viewer_id", maintain_order=True)
        .agg(parts.alias("parts"))
        .select(
            "viewer_id",
            pl.concat_str(pl.lit('{"parts":['), pl.col("parts").list.join(","), pl.lit("]}")).alias("body"),
        )
        .collect()
    )
    return scored["viewer_id"], scored["body"]


def sort_keys(items: pl.DataFrame, mode: Mode) -> pl.Series:
    """The opaque, fixed-width keys of ``store.payloads`` (ranked and chronological), vectorised."""
    newest_first = hex_digits(((1 << 59) - items["last_activity_at"].to_physical().to_numpy()).astype(np.uint64))[:, 1:]
    if mode == "chronological":
        return _joined(newest_first, _BAR, hex_digits(items["lead_activity_id"].to_numpy().astype(np.uint64)))
    suggested = (items["reason"] == "suggested").to_numpy().astype(np.uint64) << np.uint64(63)
    by_score = ((1 << 62) - items["score"].to_numpy()).astype(np.uint64)
    _, item_ids = text_buffers(items["item_id"])
    return _joined(hex_digits(suggested | by_score), newest_first, _BAR, item_ids.reshape(-1, _ITEM_ID_BYTES))


def _joined(*parts: Bytes) -> pl.Series:
    """Texts of a fixed width from their parts, each a row of bytes per text (or one row for all)."""
    rows = len(parts[0])
    wide = np.concatenate([np.broadcast_to(part, (rows, part.shape[1])) for part in parts], axis=1)
    cuts = np.arange(rows + 1, dtype=np.int64) * wide.shape[1]
    return text_series("sort_key", np.ascontiguousarray(wide).ravel(), cuts)


def feed_guards(items: pl.DataFrame, activities: pl.LazyFrame, reply_rule: ReplyRule = "friends") -> pl.DataFrame:
    """Per item: every principal of 03.1 that is known here, the groups, the activities it stands on, the circle.

    Principals: lead and sampled actors, the owner, and the replied-to and mentioned of the activities it stands
    on; the owner of what the object's own activity is about; a user who is the object. An item stands on its lead
    activity, the object's own activity, and what each sampled actor did. Circle: the actors and the owner of what
    is not public; whom a reply is to, if being their friend is why it is shown.
    """
    is_body = pl.col("object_type").is_in(_BODIES)
    acts = activities.select(_ACTIVITY)
    wanted = pl.concat([items["lead_activity_id"], items.filter(is_body)["object_id"]]).unique()
    found = acts.filter(pl.col("id").is_in(wanted.implode())).collect()
    own = _with_owner(found, acts).select(pl.all().name.prefix("own_"))
    joined = (
        items.with_columns(pl.when(is_body).then("object_id").alias("own_id"))
        .with_row_index("place")
        .join(
            found.drop("object_type", "object_id", "object_owner_id", "verb", "created_at"),
            left_on="lead_activity_id",
            right_on="id",
            how="left",
            maintain_order="left",
        )
        .join(own, on="own_id", how="left", maintain_order="left")
        .join(_shared(items, acts, reply_rule), on="place", how="left", maintain_order="left")
    )

    def when(condition: pl.Expr, column: str) -> pl.Expr:
        return pl.when(condition).then(column)

    is_user, is_group = (pl.col("object_type") == each for each in ("user", "group"))
    is_owners = pl.col("object_audience").ne_missing("public") | (is_body & pl.col("own_audience").ne_missing("public"))
    return pl.DataFrame(
        [
            united(
                "guard_users",
                joined.select(
                    "lead_actor_id", "object_owner_id", "sample_actor_ids", "mentioned_user_ids", "reply_to_user_id",
                    "actor_id", "own_mentioned_user_ids", "own_reply_to_user_id", "own_actor_id", "own_owner_id",
                    "shared_users", when(is_user, "object_id"),
                ),
            ),
            united(
                "guard_groups", joined.select("group_id", "own_group_id", "shared_groups", when(is_group, "object_id"))
            ),
            united("guard_objects", joined.select("lead_activity_id", "own_id", "shared_objects")),
            united(
                "guard_circle",
                joined.select(
                    when(pl.col("audience").ne_missing("public"), "lead_actor_id"),
                    when(is_owners, "object_owner_id"),
                    _replied_to(pl.col("lead_actor_id"), reply_rule),
                    "shared_circle",
                ),
            ),
        ]
    )  # fmt: skip


def _with_owner(found: pl.DataFrame, acts: pl.LazyFrame) -> pl.DataFrame:
    """``owner_id`` of each activity's object: who made it, where that is known, else whom the app names."""
    made = (
        acts.filter(pl.col("id").is_in(found["object_id"].unique().implode()))
        .select(pl.col("id").alias("object_id"), pl.col("verb").alias("object_type"), pl.col("actor_id").alias("maker"))
        .collect()
    )
    return found.join(made, on=["object_id", "object_type"], how="left", maintain_order="left").with_columns(
        pl.coalesce("maker", "object_owner_id").alias("owner_id")
    )


def _shared(items: pl.DataFrame, acts: pl.LazyFrame, reply_rule: ReplyRule) -> pl.DataFrame:
    """``place`` of each item of several actors, with the guards of what its sampled actors did to the object."""
    several = (
        items.with_row_index("place")
        .filter(pl.col("actor_count") > 1)
        .select(
            "place", "viewer_id", "object_type", "object_id", "object_owner_id", "first_activity_at",
            "last_activity_at", pl.col("verb").alias("card_verb"), pl.col("sample_actor_ids").alias("actor_id"),
        )
        .explode("actor_id", keep_nulls=False, empty_as_null=False)
        .lazy()
    )  # fmt: skip
    is_of_card = (pl.col("verb") == pl.col("card_verb")) | (
        (pl.col("card_verb") == "post") & (pl.col("verb") == "reshare")
    )
    is_owners = pl.col("object_audience") != "public"
    return (
        several.join(acts.drop("object_owner_id"), on=["object_type", "object_id", "actor_id"])
        .filter(is_of_card & pl.col("created_at").is_between("first_activity_at", "last_activity_at"))
        .group_by("place")
        .agg(
            pl.col("id").alias("shared_objects"),
            pl.col("group_id").drop_nulls().alias("shared_groups"),
            pl.concat_list("mentioned_user_ids", pl.concat_list("reply_to_user_id"))
            .list.explode(keep_nulls=False, empty_as_null=False)
            .drop_nulls()
            .alias("shared_users"),
            pl.concat_list(
                pl.concat_list(pl.when(pl.col("audience") != "public").then("actor_id")),
                pl.concat_list(pl.when(is_owners).then("object_owner_id")),
                pl.concat_list(_replied_to(pl.col("actor_id"), reply_rule)),
            )
            .list.explode(keep_nulls=False, empty_as_null=False)
            .drop_nulls()
            .alias("shared_circle"),
        )
        .collect()
    )


def _replied_to(actor: pl.Expr, reply_rule: ReplyRule) -> pl.Expr:
    """Whom a reply is to, where being their friend is why the viewer sees it (03.1, reply rule)."""
    replied_to, viewer = pl.col("reply_to_user_id"), pl.col("viewer_id")
    is_why = (actor != viewer) & (replied_to != viewer) & pl.lit(reply_rule == "friends")
    return pl.when(is_why).then(replied_to)
