"""Allowed (04.3): may this recipient be told about this actor and this object at all?

Questions of access only, asked per notification; windows, reading and preferences are asked in
``items``. Restrictions count as they stand in the snapshot (law 7). Hides and mentions play no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

Frames = Mapping[str, pl.LazyFrame]
MADE = ("post", "comment")
"""Types of objects that an activity of their own made (01.1)."""


@dataclass(frozen=True)
class Standing:
    """What is in force at one instant: pairs of people in both directions, mutes, groups, who is in them."""

    friends: pl.LazyFrame
    """``a, b``"""
    blocked: pl.LazyFrame
    """``a, b``"""
    mutes: pl.LazyFrame
    """``muter_id, muted_id, scope``"""
    groups: pl.LazyFrame
    """``id, is_private``"""
    members: pl.LazyFrame
    """``group_id, user_id``"""

    @property
    def muted(self) -> pl.LazyFrame:
        """Those who are muted altogether."""
        return self.mutes.filter(pl.col("scope") == "all")


def standing(frames: Frames, as_of: datetime) -> Standing:
    """What is in force at ``as_of``; restrictions count as they stand in the snapshot (law 7)."""
    friendships = frames["staged_friendships"].filter(
        pl.col("created_at") < as_of, pl.col("ended_at").is_null() | (pl.col("ended_at") > as_of)
    )
    return Standing(
        friends=_both_ways(friendships, "user_a_id", "user_b_id"),
        blocked=_both_ways(frames["staged_blocks"], "blocker_id", "blocked_id"),
        mutes=frames["staged_mutes"]
        .filter(pl.col("expires_at").is_null() | (pl.col("expires_at") > as_of))
        .select("muter_id", "muted_id", "scope"),
        groups=frames["staged_groups"].filter(pl.col("created_at") < as_of).select("id", "is_private"),
        members=frames["staged_memberships"]
        .filter(pl.col("joined_at") < as_of, pl.col("left_at").is_null() | (pl.col("left_at") > as_of))
        .select("group_id", "user_id"),
    )


def _flagged(rows: pl.LazyFrame, known: pl.LazyFrame, on: list[str], keys: list[str], flag: str) -> pl.LazyFrame:
    """``rows`` plus the boolean ``flag``: whether ``on`` is among the ``keys`` of ``known``."""
    marked = (
        known.select(pl.col(key).alias(f"_{key}") for key in keys).unique().with_columns(pl.lit(value=True).alias(flag))
    )
    return rows.join(marked, left_on=on, right_on=[f"_{key}" for key in keys], how="left").with_columns(
        pl.col(flag).fill_null(value=False)
    )


def own_activities(wanted: pl.LazyFrame, activities: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """The own activity of each wanted (object_type, object_id) that is there and not deleted.

    Adds ``author_id`` and the owner of *its* object (03.1): its own activity's actor, else
    ``object_owner_id``; a post is its own object.
    """
    there = activities.filter(pl.col("verb").is_in(list(MADE)), pl.col("created_at") < as_of)
    own = (
        there.filter(pl.col("deleted_at").is_null())
        .join(wanted.select("object_id").unique(), left_on="id", right_on="object_id", how="semi")
        .select(
            pl.col("verb").alias("object_type"),
            pl.col("id").alias("object_id"),
            pl.col("actor_id").alias("author_id"),
            pl.col("object_type").alias("target_type"),
            pl.col("object_id").alias("target_id"),
            "object_owner_id",
            "group_id",
            "audience",
            "object_audience",
            "body",
        )
    )
    targets = there.join(own, left_on="id", right_on="target_id", how="semi").select(
        pl.col("verb").alias("target_type"),
        pl.col("id").alias("target_id"),
        pl.col("actor_id").alias("target_author_id"),
    )
    return own.join(targets, on=["target_type", "target_id"], how="left").with_columns(
        pl.coalesce("target_author_id", "object_owner_id").alias("target_owner_id")
    )


def _admits(audience: str, owner: str, is_friend: str) -> pl.Expr:
    """Public admits all; friends the owner and the owner's friends; only_me the owner alone."""
    return (
        (pl.col(audience) == "public")
        | (pl.col(owner) == pl.col("user_id")).fill_null(value=False)
        | ((pl.col(audience) == "friends") & pl.col(is_friend))
    ).fill_null(value=False)


def judged(notifications: pl.LazyFrame, users: pl.LazyFrame, frames: Frames, as_of: datetime) -> pl.LazyFrame:
    """Each notification with ``refusal`` (null = allowed), ``owner_id`` and the object's ``body``.

    ``notifications``: notification_id, user_id (the recipient), verb, actor_id, object_type,
    object_id. ``users`` are the present ones. Refusals: actor_not_active, actor_blocked,
    actor_muted, object_gone, owner_not_active, owner_blocked, owner_muted, audience, private_group.
    """
    own, now = own_activities(notifications, frames["staged_activities"], as_of), standing(frames, as_of)
    reshares_muted = now.mutes.filter(pl.col("scope") == "reshares")

    rows = (
        notifications.select("notification_id", "user_id", "verb", "actor_id", "object_type", "object_id")
        .join(own, on=["object_type", "object_id"], how="left")
        .with_columns(
            pl.when(pl.col("object_type") == "user")
            .then(pl.col("object_id"))
            .otherwise(pl.col("author_id"))
            .alias("owner_id")
        )
    )
    for who in ("actor_id", "owner_id"):
        rows = _flagged(rows, users, [who], ["id"], f"{who}_active")
        rows = _flagged(rows, now.blocked, ["user_id", who], ["a", "b"], f"{who}_blocked")
        rows = _flagged(rows, now.muted, ["user_id", who], ["muter_id", "muted_id"], f"{who}_muted")
    rows = _flagged(rows, reshares_muted, ["user_id", "actor_id"], ["muter_id", "muted_id"], "reshares_muted")
    rows = _flagged(rows, now.friends, ["user_id", "owner_id"], ["a", "b"], "is_friend_of_owner")
    rows = _flagged(rows, now.friends, ["user_id", "target_owner_id"], ["a", "b"], "is_friend_of_target_owner")
    rows = _flagged(rows, now.groups, ["object_id"], ["id"], "group_exists")
    rows = _flagged(rows, now.groups.filter(~pl.col("is_private")), ["group_id"], ["id"], "is_open_group")
    rows = _flagged(rows, now.members, ["group_id", "user_id"], ["group_id", "user_id"], "is_member")

    has_actor = pl.col("actor_id").is_not_null()
    has_owner = pl.col("object_type").is_in(["user", *MADE])
    is_made = pl.col("object_type").is_in(list(MADE))
    exists = (
        pl.when(pl.col("object_type").is_null() | (pl.col("object_type") == "user"))
        .then(statement=True)
        .when(pl.col("object_type") == "group")
        .then(pl.col("group_exists"))
        .otherwise(pl.col("author_id").is_not_null())
    )
    admitted = _admits("audience", "owner_id", "is_friend_of_owner") & _admits(
        "object_audience", "target_owner_id", "is_friend_of_target_owner"
    )
    refusal = (
        pl.when(has_actor & ~pl.col("actor_id_active")).then(pl.lit("actor_not_active"))
        .when(has_actor & pl.col("actor_id_blocked")).then(pl.lit("actor_blocked"))
        .when(has_actor & (pl.col("actor_id_muted") | (pl.col("reshares_muted") & (pl.col("verb") == "reshare"))))
        .then(pl.lit("actor_muted"))
        .when(~exists).then(pl.lit("object_gone"))
        .when(has_owner & ~pl.col("owner_id_active")).then(pl.lit("owner_not_active"))
        .when(has_owner & pl.col("owner_id_blocked")).then(pl.lit("owner_blocked"))
        .when(has_owner & pl.col("owner_id_muted")).then(pl.lit("owner_muted"))
        .when(is_made & ~admitted).then(pl.lit("audience"))
        .when(is_made & pl.col("group_id").is_not_null() & ~pl.col("is_open_group") & ~pl.col("is_member"))
        .then(pl.lit("private_group"))
    )  # fmt: skip
    return rows.select("notification_id", "owner_id", "body", refusal.alias("refusal"))


def _both_ways(pairs: pl.LazyFrame, left: str, right: str) -> pl.LazyFrame:
    """Ordered pairs ``a, b`` in both directions."""
    return pl.concat(
        [
            pairs.select(pl.col(left).alias("a"), pl.col(right).alias("b")),
            pairs.select(pl.col(right).alias("a"), pl.col(left).alias("b")),
        ]
    )
