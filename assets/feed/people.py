"""Dense numbers for people, and the relations between them as of one instant (spec 00 law 7, 03.1).

Lives here: who is friend of whom, who blocked, muted or belongs to what, each relation as one
packed integer column so that a rule asks it by membership. Does not belong here: the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from assets.frame import StageCount

SEEN_DAYS = 30
"""Viewers not seen for longer cost nothing and have no feed (03.5)."""


@dataclass(frozen=True)
class People:
    """Every id that is anybody's, numbered in id order: number ``i`` is the person ``ids[i]``."""

    ids: pl.Series

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return len(self.ids)

    def number(self, ids: pl.Series) -> pl.Series:
        """The numbers of ``ids`` (UInt32; null stays null)."""
        return self.ids.search_sorted(ids).cast(pl.UInt32).set(ids.is_null(), None)

    def pack(self, viewers: pl.Series, others: pl.Series) -> pl.Series:
        """One Int64 per pair of numbers; null where either is null."""
        return viewers.cast(pl.Int64) * self.count + others.cast(pl.Int64)


@dataclass(frozen=True)
class Relations:
    """The relations a rule may ask; pairs ``(viewer, other)`` as numbers, packed where only membership is asked."""

    people: People
    friends: pl.DataFrame
    """``viewer, other``, both directions."""
    friend_pairs: pl.Series
    blocked: pl.DataFrame
    """``viewer, other``, both directions, so that neither can be told from the other."""
    muted: pl.DataFrame
    muted_reshares: pl.DataFrame
    private_groups: pl.Series
    members: pl.DataFrame
    """``viewer, group_id`` of private groups."""
    hides: pl.DataFrame
    """``viewer, object_type, object_id``."""

    def are_friends(self, viewers: pl.Series, others: pl.Series) -> pl.Series:
        """Which pairs are friends; false where one is null."""
        return self.people.pack(viewers, others).is_in(self.friend_pairs.implode()).fill_null(value=False)


def in_force(start: str, end: str, as_of: datetime) -> pl.Expr:
    """What lasts ``[start, end)`` is in force iff start < as_of and (end null or > as_of)."""
    return (pl.col(start) < as_of) & (pl.col(end).is_null() | (pl.col(end) > as_of))


def number_people(frames: Mapping[str, pl.DataFrame]) -> People:
    """Number every id that the source names as a person."""
    activities = frames["staged_activities"]
    named = [
        frames["staged_users"]["id"],
        activities["actor_id"],
        activities["object_owner_id"],
        activities["reply_to_user_id"],
        activities["mentioned_user_ids"].explode(empty_as_null=False),
        activities.filter(pl.col("object_type") == "user")["object_id"],
        *(frames["staged_friendships"][name] for name in ("user_a_id", "user_b_id")),
        *(frames["staged_blocks"][name] for name in ("blocker_id", "blocked_id")),
        *(frames["staged_mutes"][name] for name in ("muter_id", "muted_id")),
        frames["staged_memberships"]["user_id"],
        frames["staged_feed_hides"]["user_id"],
    ]
    ids = pl.concat([series.rename("id") for series in named]).unique().drop_nulls().sort()
    return People(ids)


def relate(frames: Mapping[str, pl.DataFrame], people: People, as_of: datetime) -> Relations:
    """The relations as of ``as_of``: restrictions as they stand, friendships and memberships in force."""
    friends = _both_ways(
        frames["staged_friendships"].filter(in_force("created_at", "ended_at", as_of)),
        "user_a_id",
        "user_b_id",
        people,
    ).filter(pl.col("viewer") != pl.col("other"))
    mutes = frames["staged_mutes"].filter(pl.col("expires_at").is_null() | (pl.col("expires_at") > as_of))
    private = frames["staged_groups"].filter(pl.col("is_private"))["id"]
    members = frames["staged_memberships"].filter(
        in_force("joined_at", "left_at", as_of) & pl.col("group_id").is_in(private.implode())
    )
    hides = frames["staged_feed_hides"]
    return Relations(
        people=people,
        friends=friends,
        friend_pairs=people.pack(friends["viewer"], friends["other"]).sort(),
        blocked=_both_ways(frames["staged_blocks"], "blocker_id", "blocked_id", people),
        muted=_one_way(mutes.filter(pl.col("scope") == "all"), "muter_id", "muted_id", people),
        muted_reshares=_one_way(mutes.filter(pl.col("scope") == "reshares"), "muter_id", "muted_id", people),
        private_groups=private,
        members=members.select(people.number(members["user_id"]).alias("viewer"), "group_id"),
        hides=hides.select(people.number(hides["user_id"]).alias("viewer"), "object_type", "object_id"),
    )


def _one_way(frame: pl.DataFrame, viewer: str, other: str, people: People) -> pl.DataFrame:
    return pl.DataFrame(
        [people.number(frame[viewer]).alias("viewer"), people.number(frame[other]).alias("other")]
    ).unique()


def _both_ways(frame: pl.DataFrame, a: str, b: str, people: People) -> pl.DataFrame:
    return pl.concat([_one_way(frame, a, b, people), _one_way(frame, b, a, people)]).unique()


def active_users(users: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Users who are there and active; the erased are not in the staged table."""
    return users.filter((pl.col("created_at") < as_of) & (pl.col("status") == "active"))


def viewers_of_feeds(users: pl.DataFrame, as_of: datetime) -> tuple[pl.Series, StageCount]:
    """Ids of the active users seen in the last 30 days (never seen counts as seen), sorted; and the count."""
    active = active_users(users, as_of)
    is_seen = pl.col("last_seen_at").is_null() | (pl.col("last_seen_at") >= as_of - timedelta(days=SEEN_DAYS))
    viewers = active.filter(is_seen)["id"].sort()
    present = users.filter(pl.col("created_at") < as_of).height
    return viewers, StageCount(
        "viewers",
        users.height,
        len(viewers),
        filtered={
            "not_there_yet": users.height - present,
            "inactive": present - active.height,
            "dormant": active.height - len(viewers),
        },
    )
