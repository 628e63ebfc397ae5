"""One person's view of a generation, in words: the demo's closing page (feeds: ``feed_words``).

Reads accepted products from the lake, because only they know names; clients get ids and hydrate.
Does not belong here: choosing what to compute, starting servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from store.lake import Lake
from store.payloads.feed_words import Teller
from store.payloads.words import entitlement_line, name_of, recommendation_line

SHOWN = 5


@dataclass(frozen=True)
class Person:
    """Somebody to look at, and what the platform computed for them."""

    user_id: int
    name: str
    feed: list[str]
    recommendations: list[str]
    digest: str | None
    entitlements: list[str]


class Reader:
    """The accepted products of one snapshot, with names at hand."""

    def __init__(self, lake: Lake, snapshot_id: str) -> None:
        self._lake = lake
        self._snapshot_id = snapshot_id
        users = self.table("staged_users")
        self.names_by_id: dict[int, str] = dict(zip(users["id"], users["display_name"], strict=True))
        self.as_of: datetime = lake.snapshot(snapshot_id).as_of

    def table(self, name: str) -> pl.DataFrame:
        """An accepted table of this snapshot, else its newest accepted one, else no rows."""
        stored = self._lake.accepted([name], self._snapshot_id) or self._lake.newest_accepted([name])
        return stored[name].scan().collect() if stored else pl.DataFrame()

    def name(self, user_id: int) -> str:
        """A display name, or the id of somebody who is gone."""
        return name_of(user_id, self.names_by_id)


def somebody(reader: Reader) -> int | None:
    """The user with most to show: a built digest, then recommendations, feed items, entitlements."""
    digests, feed = reader.table("digests"), reader.table("feed_items")
    scores: list[pl.DataFrame] = []

    def weigh(frame: pl.DataFrame, column: str, weight: int, cap: int) -> None:
        if frame.height:
            counted = frame.group_by(pl.col(column).alias("user_id")).agg((pl.len().clip(0, cap) * weight).alias("n"))
            scores.append(counted.select("user_id", pl.col("n").cast(pl.Int64)))

    weigh(digests.filter(pl.col("status") == "built") if digests.height else digests, "user_id", 1000, 1)
    weigh(feed.filter(pl.col("mode") == "ranked") if feed.height else feed, "viewer_id", 4, 40)
    weigh(reader.table("friend_recommendations"), "viewer_id", 1, 50)
    usage = reader.table("entitlements")
    weigh(usage.filter(pl.col("used") > 0) if usage.height else usage, "user_id", 10, 5)
    if not scores:
        return None
    best = pl.concat(scores).group_by("user_id").agg(pl.col("n").sum()).sort(["n", "user_id"], descending=[True, False])
    return int(best["user_id"][0])


def describe(reader: Reader, user_id: int) -> Person:
    """Everything computed for ``user_id``, as lines that a person reads."""
    return Person(
        user_id=user_id,
        name=reader.name(user_id),
        feed=_feed(reader, user_id),
        recommendations=_recommendations(reader, user_id),
        digest=_digest(reader, user_id),
        entitlements=_entitlements(reader, user_id),
    )


def _feed(reader: Reader, user_id: int) -> list[str]:
    feed = reader.table("feed_items")
    if feed.is_empty():
        return []
    mine = feed.filter((pl.col("viewer_id") == user_id) & (pl.col("mode") == "ranked")).sort("position").head(SHOWN)
    wanted = [*mine["object_id"], *mine["lead_activity_id"]]
    acts = {
        row["id"]: row
        for row in reader.table("staged_activities").filter(pl.col("id").is_in(wanted)).iter_rows(named=True)
    }
    groups = {row["id"]: row["name"] for row in reader.table("staged_groups").iter_rows(named=True)}
    teller = Teller(user_id, reader.as_of, reader.names_by_id, groups, acts)
    return [f"{teller.line(row)}\n    why: {teller.why(row)}" for row in mine.iter_rows(named=True)]


def _recommendations(reader: Reader, user_id: int) -> list[str]:
    table = reader.table("friend_recommendations")
    if table.is_empty():
        return []
    mine = table.filter(pl.col("viewer_id") == user_id).sort("rank").head(SHOWN)
    return [
        f"{reader.name(row['candidate_id'])} — {recommendation_line(row, reader.names_by_id)}"
        for row in mine.iter_rows(named=True)
    ]


def _digest(reader: Reader, user_id: int) -> str | None:
    digests, bodies = reader.table("digests"), reader.table("digest_bodies")
    if digests.is_empty() or bodies.is_empty():
        return None
    mine = digests.filter((pl.col("user_id") == user_id) & (pl.col("status") == "built")).sort("due_at", "digest_id")
    if mine.is_empty():
        return None
    newest = mine.row(-1, named=True)
    text: str = bodies.filter(pl.col("digest_id") == newest["digest_id"])["text"][0]
    return f"Subject: {newest['subject']}\n\n{text.strip()}"


def _entitlements(reader: Reader, user_id: int) -> list[str]:
    table = reader.table("entitlements")
    if table.is_empty():
        return []
    plans = {row["id"]: row["name"] for row in reader.table("staged_plans").iter_rows(named=True)}
    mine = table.filter(pl.col("user_id") == user_id).sort("feature_key").with_columns(limit="limit_value")
    return [
        f"{row['feature_key']}: {entitlement_line(row)} — {plans.get(row['plan_id'], 'plan')}"
        for row in mine.iter_rows(named=True)
    ]
