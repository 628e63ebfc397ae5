"""A feed in words: who did what, when, and why it is here (docs/feed.md).

Pure: rows and names in, lines out. Does not belong here: whose feed, where it is read from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

VERBS = {
    "post": "posted",
    "reshare": "reshared",
    "comment": "commented",
    "reaction": "reacted to",
    "friend_add": "became friends with",
    "group_join": "joined",
}
LONGEST = 90
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Teller:
    """What is needed to tell ``viewer`` about their items."""

    viewer: int
    as_of: datetime
    names: Mapping[int, str]
    groups: Mapping[int, str]
    activities: Mapping[int, Row]
    """The items' objects and lead activities, by id."""

    def line(self, row: Row) -> str:
        """Who did what, and when."""
        what = {
            "post": self._post,
            "comment": self._comment,
            "friend_add": self._friend_add,
            "group_join": self._group_join,
        }.get(row["verb"], self._reacted)
        return f"{what(row)}  ({ago(self.as_of, row['last_activity_at'])})"

    def why(self, row: Row) -> str:
        """Why it is here, from its reason and the parts of its score."""
        lead, is_own = self.name(row["lead_actor_id"]), row["reason"] == "own"
        newest = f"{lead}, the latest," if row["actor_count"] > 1 else lead
        told = {
            "own": "your own",
            "friend": f"{newest} is your friend",
            "suggested": f"suggested: {lead} is a friend of your friends, and this is public",
        }[row["reason"]]
        touch, response = (round(2 ** (row[part] / 1_000_000)) - 1 for part in ("k_affinity", "k_engagement"))
        reasons = [told]
        if touch:
            reasons.append(f"in touch {_times(touch)} lately")
        if response:
            reasons.append(f"{_counted(response, 'point')} of response (reactions 1, comments 2, reshares 3)")
        if row["k_diversity"] < 0:
            reasons.append(f"lower, after newer things by {'you' if is_own else lead}")
        return " · ".join(reasons)

    def name(self, user_id: int) -> str:
        """A display name, or the id of somebody who is gone."""
        return self.names.get(user_id, f"user {user_id}")

    def _post(self, row: Row) -> str:
        """Reshares join the post's card: the author posted it, the others passed it on."""
        owner = row["object_owner_id"]
        who = "You" if owner == self.viewer else self.name(owner)
        named = [i for i in row["sample_actor_ids"] if i != owner]
        post = self.activities.get(row["object_id"])
        # The card began with the post itself: its author is one of the actors, perhaps not a named one.
        has_author = post is not None and post["created_at"] == row["first_activity_at"]
        others = row["actor_count"] - len(named) - int(has_author)
        shared = f", shared by {self._people(named, others, start=False)}" if named else ""
        return f"{who} posted {self._quoted(row['object_id'], 'something without words')}{shared}"

    def _comment(self, row: Row) -> str:
        speaker = ""
        if row["actor_count"] > 1:
            lead = row["lead_actor_id"]
            speaker = f", {'you' if lead == self.viewer else self.name(lead)} last"
        said = self._quoted(row["lead_activity_id"], "without words")
        return f"{self._who(row)} commented on {self._whose(row)} {row['object_type']}{speaker}: {said}"

    def _reacted(self, row: Row) -> str:
        said = self._quoted(row["object_id"], "")
        return f"{self._who(row)} {VERBS[row['verb']]} {self._whose(row)} {row['object_type']} {said}".rstrip()

    def _friend_add(self, row: Row) -> str:
        friend = "you" if row["object_id"] == self.viewer else self.name(row["object_id"])
        return f"{self._who(row)} {VERBS['friend_add']} {friend}{_among(row, 'somebody else')}"

    def _group_join(self, row: Row) -> str:
        group = self.groups.get(row["object_id"], "a group")
        return f"{self._who(row)} joined {group}{_among(row, 'another group')}"

    def _who(self, row: Row) -> str:
        return self._people(row["sample_actor_ids"], row["other_count"])

    def _whose(self, row: Row) -> str:
        owner, actors = row["object_owner_id"], list(row["sample_actor_ids"])
        if actors == [owner]:
            return "your own" if owner == self.viewer else "their own"
        if owner is None:
            return "a"
        return "your" if owner == self.viewer else f"{self.name(owner)}'s"

    def _people(self, ids: list[int], others: int, *, start: bool = True) -> str:
        """The viewer first, as "you", then the others."""
        names = [self.name(i) for i in ids if i != self.viewer]
        if self.viewer in ids:
            names.insert(0, "You" if start else "you")
        return listed(names, others)

    def _quoted(self, activity_id: int, wordless: str) -> str:
        said = _text(self.activities[activity_id]["body"]) if activity_id in self.activities else ""
        return f"“{said}”" if said else wordless


def feed_lines(items: pl.DataFrame, teller: Teller) -> list[str]:
    """Every item as a line, and why it is here on the next."""
    return [f"{teller.line(row)}\n    why: {teller.why(row)}" for row in items.iter_rows(named=True)]


def listed(names: list[str], others: int) -> str:
    """``Ann, Bob and 3 others``."""
    people = [*names, _counted(others, "other")] if others > 0 else names
    return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"


def ago(now: datetime, then: datetime) -> str:
    """How long ago, in the unit that is read most easily."""
    minutes = int((now - then).total_seconds() // 60)
    if minutes < 60:
        return f"{max(minutes, 1)} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"


def _among(row: Row, others: str) -> str:
    """A day's card gathers several; the newest is named, and the card says there was more."""
    return f", after {others} that day" if row["first_activity_at"] < row["last_activity_at"] else ""


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"


def _times(count: int) -> str:
    if count == 15:
        return "15 times or more"
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _text(body: str) -> str:
    try:
        text = " ".join(str(json.loads(body).get("text") or "").split())
    except (ValueError, AttributeError):
        return ""
    return text if len(text) <= LONGEST else text[: LONGEST - 3].rstrip() + "…"
