"""A feed in words: who did what, when, and why it is here (docs/feed.md).

Pure: rows and names in, lines out; one wording for the demo, ``flowforge explain`` and the explorer. Where
names or texts are not at hand (a generation holds none), things are called by their ids.
Does not belong here: whose feed, where it is read from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

VERBS = {
    "post": "posted",
    "reshare": "reshared",
    "comment": "commented",
    "reaction": "reacted to",
    "friend_add": "became friends with",
    "group_join": "joined",
}
POINTS = "Points of response: a reaction counts 1, a comment 2, a reshare 3, by distinct people."
"""What the points are; said once beside a list."""
LONGEST = 90
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Teller:
    """What is needed to tell ``viewer`` about their items."""

    viewer: int
    as_of: datetime
    names: Mapping[int, str]
    groups: Mapping[int, str]
    activities: Mapping[int, Row] | None
    """The items' objects and lead activities, by id; None where no text is known."""

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
            reasons.append(_counted(response, "point") + " of response")
        if row["k_diversity"] < 0:
            reasons.append(f"held back by newer things of {'yours' if is_own else lead}")
        return " · ".join(reasons)

    def name(self, user_id: int) -> str:
        """A display name, or the id of somebody who is gone."""
        return self.names.get(user_id, f"user {user_id}")

    def _post(self, row: Row) -> str:
        """Reshares join the post's card: the author posted it, the others passed it on."""
        owner = row["object_owner_id"]
        who = "You" if owner == self.viewer else self.name(owner)
        named = [i for i in row["sample_actor_ids"] if i != owner]
        others = row["actor_count"] - len(named) - int(self._has_author(row))
        shared = f", shared by {self._people(named, others, start=False)}" if named else ""
        return f"{who} posted {self._quoted(row['object_id'], 'something without words', 'post')}{shared}"

    def _has_author(self, row: Row) -> bool:
        """Whether the card began with the post itself: its author is one of the actors, perhaps not a named one."""
        if self.activities is None:
            return row["object_owner_id"] in row["sample_actor_ids"] or row["object_id"] == row["lead_activity_id"]
        post = self.activities.get(row["object_id"])
        return post is not None and bool(post["created_at"] == row["first_activity_at"])

    def _comment(self, row: Row) -> str:
        speaker = ""
        if row["actor_count"] > 1:
            lead = row["lead_actor_id"]
            speaker = f", {'you' if lead == self.viewer else self.name(lead)} last"
        said = self._quoted(row["lead_activity_id"], "without words", "comment")
        return f"{self._who(row)} commented on {self._whose(row)} {row['object_type']}{speaker}: {said}"

    def _reacted(self, row: Row) -> str:
        said = self._quoted(row["object_id"], "", "")
        return f"{self._who(row)} {VERBS[row['verb']]} {self._whose(row)} {row['object_type']} {said}".rstrip()

    def _friend_add(self, row: Row) -> str:
        friend = "you" if row["object_id"] == self.viewer else self.name(row["object_id"])
        return f"{self._who(row)} {VERBS['friend_add']} {friend}{_among(row, 'somebody else')}"

    def _group_join(self, row: Row) -> str:
        group = self.groups.get(row["object_id"], f"group {row['object_id']}")
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

    def _quoted(self, activity_id: int, wordless: str, kind: str) -> str:
        """The text; ``wordless`` where there is none; the ``kind`` and id where texts are not known."""
        if self.activities is None:
            return f"({kind} {activity_id})" if kind else str(activity_id)
        said = _text(self.activities[activity_id]["body"]) if activity_id in self.activities else ""
        return f"“{said}”" if said else wordless


def card_of(activity: Row) -> dict[str, Any]:
    """One activity (``id, actor_id, verb, object_type, object_id, owner_id, created_at``) as a card of its own."""
    return {
        "verb": activity["verb"],
        "object_type": activity["object_type"],
        "object_id": activity["object_id"],
        "object_owner_id": activity["owner_id"],
        "lead_activity_id": activity["id"],
        "lead_actor_id": activity["actor_id"],
        "actor_count": 1,
        "sample_actor_ids": [activity["actor_id"]],
        "other_count": 0,
        "first_activity_at": activity["created_at"],
        "last_activity_at": activity["created_at"],
    }


def listed(names: list[str], others: int) -> str:
    """``Ann, Bob and 3 others``."""
    people = [*names, _counted(others, "other")] if others > 0 else names
    return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"


def ago(now: datetime, then: datetime) -> str:
    """How long ago, a minute at least."""
    return f"{span(max((now - then).total_seconds(), 60))} ago"


def span(seconds: float) -> str:
    """A length of time in whole units of the one that is read most easily."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 48 * 3600 else f"{whole // 86_400} days"


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
