"""Dense numbers for people, and the relations between them as of one instant (spec 00 law 7, 03.1).

Lives here: who is friend of whom, who blocked, muted or belongs to what, each relation as
compressed rows so that a rule asks it by membership. Does not belong here: the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from assets.feed.compressed import Compressed, compress
from assets.frame import StageCount

SEEN_DAYS = 30
"""Viewers not seen for longer cost nothing and have no feed (03.5)."""

DENSE = 8
"""Ids are dense when the greatest is at most this many times their count."""


@dataclass(frozen=True)
class People:
    """Every id that is anybody's, numbered in id order: number ``i`` is the person ``ids[i]``."""

    ids: pl.Series

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return len(self.ids)

    def number(self, ids: pl.Series) -> pl.Series:
        """The numbers of ``ids`` (UInt32); null where null, or nobody's."""
        if self.count == 0:
            return pl.repeat(None, len(ids), dtype=pl.UInt32, eager=True).alias(ids.name)
        if self._table is None:
            found = self.ids.search_sorted(ids).cast(pl.UInt32)
            is_theirs = self.ids.gather(found.clip(upper_bound=self.count - 1)) == ids
            return found.set(~is_theirs.fill_null(value=False), None)
        is_inside = ids.is_between(0, len(self._table) - 1)
        return self._table.gather(ids.set(~is_inside, None).cast(pl.UInt32)).alias(ids.name)

    @cached_property
    def _table(self) -> pl.Series | None:
        """The number of every id where ids are dense enough for a table: a gather costs a tenth of a search."""
        if self.count == 0 or int(self.ids[0]) < 0 or int(self.ids[-1]) > DENSE * self.count:
            return None
        table = pl.repeat(None, int(self.ids[-1]) + 1, dtype=pl.UInt32, eager=True)
        return table.scatter(self.ids, pl.int_range(self.count, dtype=pl.UInt32, eager=True))


@dataclass(frozen=True)
class Relations:
    """The relations a rule may ask: row = a viewer's number, items = the numbers of others."""

    people: People
    friends: Compressed
    """Both directions."""
    blocked: Compressed
    """Both directions, so that neither can be told from the other."""
    muted: Compressed
    muted_reshares: Compressed
    private_groups: pl.Series
    """Ids, ascending: group number ``i`` is ``private_groups[i]``."""
    members: Compressed
    """Items are numbers of private groups."""
    hides: pl.DataFrame
    """``viewer, object_type, object_id``."""


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
    standing = frames["staged_friendships"].filter(in_force("created_at", "ended_at", as_of))
    mutes = frames["staged_mutes"].filter(pl.col("expires_at").is_null() | (pl.col("expires_at") > as_of))
    private = frames["staged_groups"].filter(pl.col("is_private"))["id"].sort()
    members = frames["staged_memberships"].filter(
        in_force("joined_at", "left_at", as_of) & pl.col("group_id").is_in(private.implode())
    )
    hides = frames["staged_feed_hides"]
    return Relations(
        people=people,
        friends=_both_ways(standing.filter(pl.col("user_a_id") != pl.col("user_b_id")), people),
        blocked=_both_ways(frames["staged_blocks"].select("blocker_id", "blocked_id"), people),
        muted=_one_way(mutes.filter(pl.col("scope") == "all").select("muter_id", "muted_id"), people),
        muted_reshares=_one_way(mutes.filter(pl.col("scope") == "reshares").select("muter_id", "muted_id"), people),
        private_groups=private,
        members=compress(
            pl.DataFrame(
                [people.number(members["user_id"]), private.search_sorted(members["group_id"]).alias("group")]
            ),
            people.count,
        ),
        hides=hides.select(people.number(hides["user_id"]).alias("viewer"), "object_type", "object_id"),
    )


def _numbered(pairs: pl.DataFrame, people: People) -> pl.DataFrame:
    """The first two columns as numbers ``viewer, other``."""
    viewer, other = pairs.to_series(0), pairs.to_series(1)
    return pl.DataFrame([people.number(viewer).alias("viewer"), people.number(other).alias("other")])


def _one_way(pairs: pl.DataFrame, people: People) -> Compressed:
    return compress(_numbered(pairs, people), people.count)


def _both_ways(pairs: pl.DataFrame, people: People) -> Compressed:
    there = _numbered(pairs, people)
    back = there.select(pl.col("other").alias("viewer"), pl.col("viewer").alias("other"))
    return compress(pl.concat([there, back]), people.count)


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
