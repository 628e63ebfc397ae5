"""One person's view of a generation, in words: the demo's closing page.

Reads accepted products from the lake, because only they know names; clients get ids and hydrate.
Does not belong here: choosing what to compute, starting servers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from store.lake import Lake

VERBS = {
    "post": "posted",
    "reshare": "reshared",
    "comment": "commented",
    "reaction": "reacted to",
    "friend_add": "became friends with",
    "group_join": "joined",
}
REASONS = {
    "mutual_friends": "{mutual}",
    "shared_school": "went to the same school",
    "shared_employer": "works at the same place",
    "shared_group": "is in a group of yours",
    "shared_interest": "shares an interest",
    "interaction": "you have been in touch",
    "extended_network": "is in your wider circle",
    "popular_in_country": "is popular where you live",
    "suggested": "suggested for you",
}
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
        self._names: dict[int, str] = dict(zip(users["id"], users["display_name"], strict=True))
        self.as_of: datetime = lake.snapshot(snapshot_id).as_of

    def table(self, name: str) -> pl.DataFrame:
        """An accepted table of this snapshot, else its newest accepted one, else no rows."""
        stored = self._lake.accepted([name], self._snapshot_id) or self._lake.newest_accepted([name])
        return stored[name].scan().collect() if stored else pl.DataFrame()

    def name(self, user_id: int) -> str:
        """A display name, or the id of somebody who is gone."""
        return self._names.get(user_id, f"user {user_id}")

    def names(self, user_ids: list[int], others: int = 0) -> str:
        """``Ann, Bob and 3 others``."""
        people = [self.name(i) for i in user_ids]
        if others:
            people.append(f"{others} other{'s' if others > 1 else ''}")
        return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"


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
    return [
        f"{_feed_line(reader, row, acts, groups, user_id)}\n    why: {_why(reader, row)}"
        for row in mine.iter_rows(named=True)
    ]


def _feed_line(
    reader: Reader, row: dict[str, Any], acts: dict[int, dict[str, Any]], groups: dict[int, str], viewer: int
) -> str:
    """Who did what, and when."""
    who = _people(reader, row["sample_actor_ids"], row["other_count"], viewer)
    owner = row["object_owner_id"]
    whose = "your" if owner == viewer else f"{reader.name(owner)}'s" if owner is not None else "a"
    verb = VERBS[row["verb"]]
    if row["verb"] == "friend_add":
        # One card a day gathers several new friends; the lead one is named.
        what = "you" if row["object_id"] == viewer else reader.name(row["object_id"])
    elif row["verb"] == "group_join":
        what = groups.get(row["object_id"], "a group")
    elif row["verb"] == "post":
        who = "You" if owner == viewer else reader.name(owner)
        what = f"“{_said(acts, row['object_id'])}”{_sharers(reader, row, acts, viewer)}"
    elif row["verb"] == "comment":
        what = f"on {whose} {row['object_type']}: “{_said(acts, row['lead_activity_id'])}”"
    else:
        what = f"{whose} {row['object_type']} “{_said(acts, row['object_id'])}”"
    return f"{who} {verb} {what}  ({_ago(reader.as_of, row['last_activity_at'])})"


def _sharers(reader: Reader, row: dict[str, Any], acts: dict[int, dict[str, Any]], viewer: int) -> str:
    """Reshares join the post's card: the author posted it, the others passed it on."""
    owner = row["object_owner_id"]
    named = [i for i in row["sample_actor_ids"] if i != owner]
    post = acts.get(row["object_id"])
    # The card began with the post itself: its author is one of the actors, perhaps not a named one.
    has_author = post is not None and post["created_at"] == row["first_activity_at"]
    others = row["actor_count"] - len(named) - int(has_author)
    return f", shared by {_people(reader, named, others, viewer, start=False)}" if named else ""


def _people(reader: Reader, ids: list[int], others: int, viewer: int, *, start: bool = True) -> str:
    """The viewer first, as "you", then the others."""
    names = [reader.name(i) for i in ids if i != viewer]
    if viewer in ids:
        names.insert(0, "You" if start else "you")
    if others > 0:
        names.append(f"{others} other{'s' if others > 1 else ''}")
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _why(reader: Reader, row: dict[str, Any]) -> str:
    """Why it is here, from its reason and the parts of its score (docs/feed.md)."""
    lead = reader.name(row["lead_actor_id"])
    told = {
        "own": "your own",
        "friend": f"{lead} is your friend",
        "suggested": f"suggested: {lead} is a friend of your friends, and this is public",
    }[row["reason"]]
    touch, response = (round(2 ** (row[part] / 1_000_000)) - 1 for part in ("k_affinity", "k_engagement"))
    reasons = [told]
    if touch:
        times = "15 times or more" if touch == 15 else "once" if touch == 1 else f"{touch} times"
        reasons.append(f"in touch {times} lately")
    if response:
        reasons.append(f"{response} point{'s' if response > 1 else ''} of response")
    if row["k_diversity"] < 0:
        whom = "you" if row["reason"] == "own" else lead
        reasons.append(f"lower, after newer things by {whom}")
    return " · ".join(reasons)


def _recommendations(reader: Reader, user_id: int) -> list[str]:
    table = reader.table("friend_recommendations")
    if table.is_empty():
        return []
    lines = []
    for row in table.filter(pl.col("viewer_id") == user_id).sort("rank").head(SHOWN).iter_rows(named=True):
        count, sample = row["mutual_count"], row["mutual_sample_ids"]
        mutual = f"{count} mutual friend{'s' if count != 1 else ''}"
        if sample:
            mutual += f": {reader.names(list(sample), count - len(sample))}"
        lines.append(f"{reader.name(row['candidate_id'])} — {REASONS[row['reason_code']].format(mutual=mutual)}")
    return lines


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
    lines = []
    for row in table.filter(pl.col("user_id") == user_id).sort("feature_key").iter_rows(named=True):
        if row["kind"] != "metered":
            state = "included" if row["has_access"] else "not included"
        elif row["limit_value"] is None:
            state = f"{row['used']} used, unlimited"
        else:
            state = f"{row['used']} of {row['granted']} used, {row['balance']} left"
            state += f" ({row['overage']} over)" if row["overage"] else ""
        lines.append(f"{row['feature_key']}: {state} — {plans.get(row['plan_id'], 'plan')}")
    return lines


def _said(acts: dict[int, dict[str, Any]], activity_id: int) -> str:
    return _text(acts[activity_id]["body"]) if activity_id in acts else ""


def _text(body: str) -> str:
    try:
        text = str(json.loads(body).get("text", ""))
    except (ValueError, AttributeError):
        return ""
    return text if len(text) <= 90 else text[:87].rstrip() + "…"


def _ago(now: datetime, then: datetime) -> str:
    minutes = int((now - then).total_seconds() // 60)
    if minutes < 60:
        return f"{max(minutes, 1)} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"
