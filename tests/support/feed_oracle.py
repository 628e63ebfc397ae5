"""A slow oracle of spec 03, written from its text, row by row in plain Python.

It shares no code with ``assets.feed``.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, timedelta
from decimal import Decimal, localcontext
from functools import cache

from store.settings import FeedSettings
from tests.support.feed import Row, World, micros


@cache
def exact_log2(m: int) -> int:
    """floor(10**6 * log2(m)), to 80 digits: far more than any m here needs."""
    if m & (m - 1) == 0:
        return (m.bit_length() - 1) * 1_000_000
    with localcontext() as context:
        context.prec = 80
        return int(Decimal(m).ln() / Decimal(2).ln() * 1_000_000)


def log_count(n: int) -> int:
    return exact_log2(1 + n)


def log_diversity(i: int) -> int:
    # 0.75 * 2**-i + 0.25 = (3 + 2**i) / 2**(i + 2)
    return exact_log2(3 + 2**i) - 1_000_000 * (i + 2)


VERB_POINTS = {
    "post": 2_000_000, "reshare": 1_500_000, "comment": 1_000_000, "friend_add": 1_000_000,
    "group_join": 500_000, "reaction": 0,
}  # fmt: skip


class Oracle:
    """Spec 03, literally, one viewer and one activity at a time."""

    def __init__(self, world: World, config: FeedSettings) -> None:
        self.config = config
        self.as_of = world.as_of
        self.start = world.as_of - timedelta(days=config.window_days)
        self.users = {u["id"]: u for u in world.table("users") if u["created_at"] < self.as_of}
        self.active = {id_ for id_, u in self.users.items() if u["status"] == "active"}
        self.activities = {a["id"]: a for a in world.table("activities") if a["created_at"] < self.as_of}
        self.friends: dict[int | None, set[int]] = defaultdict(set)
        for f in world.table("friendships"):
            if f["created_at"] < self.as_of and (f["ended_at"] is None or f["ended_at"] > self.as_of):
                self.friends[f["user_a_id"]].add(f["user_b_id"])
                self.friends[f["user_b_id"]].add(f["user_a_id"])
        self.blocks = {frozenset((b["blocker_id"], b["blocked_id"])) for b in world.table("blocks")}
        self.mutes = {
            (m["muter_id"], m["muted_id"], m["scope"])
            for m in world.table("mutes")
            if m["expires_at"] is None or m["expires_at"] > self.as_of
        }
        self.private = {g["id"] for g in world.table("groups") if g["is_private"]}
        self.members = {
            (m["user_id"], m["group_id"])
            for m in world.table("memberships")
            if m["joined_at"] < self.as_of and (m["left_at"] is None or m["left_at"] > self.as_of)
        }
        self.hides = {(h["user_id"], h["object_type"], h["object_id"]) for h in world.table("feed_hides")}
        self.seen = {r["user_id"]: r["seen_at"] for r in world.table("feed_reads") if r["seen_at"] < self.as_of}
        self.counted: dict[tuple[int, int], int] = {}
        self.viewers = sorted(
            v
            for v in self.active
            if self.users[v]["last_seen_at"] is None or self.users[v]["last_seen_at"] >= self.as_of - timedelta(days=30)
        )

    # 3.1
    def own(self, a: Row) -> Row | None:
        """The activity that made the object of ``a``."""
        if a["object_type"] not in ("post", "comment"):
            return None
        maker = self.activities.get(a["object_id"])
        return maker if maker is not None and maker["verb"] == a["object_type"] else None

    def owner(self, a: Row) -> int | None:
        if a["object_type"] == "user":
            return int(a["object_id"])
        maker = self.own(a)
        return maker["actor_id"] if maker is not None else a["object_owner_id"]

    def admits(self, audience: str, person: int | None, viewer: int) -> bool:
        if audience == "public":
            return True
        if person is None:
            return False
        if audience == "friends":
            return viewer == person or viewer in self.friends[person]
        return viewer == person

    def keeps_rules(self, a: Row, viewer: int) -> bool:
        """Every rule of 3.1 but the first."""
        own, owner = self.own(a), self.owner(a)
        both = [a] if own is None else [a, own]
        if a["object_type"] in ("post", "comment") and own is None:
            return False
        if any(x["deleted_at"] is not None for x in both):
            return False
        if viewer not in self.active or a["actor_id"] not in self.active:
            return False
        if owner is not None and owner not in self.active:
            return False
        if not self.admits(a["audience"], a["actor_id"], viewer):
            return False
        if not self.admits(a["object_audience"], owner, viewer):
            return False
        if own is not None and not self.admits(own["audience"], owner, viewer):
            return False
        for x in both:
            for person in {x["actor_id"], self.owner(x), x["reply_to_user_id"], *x["mentioned_user_ids"]}:
                if frozenset((viewer, person)) in self.blocks:
                    return False
        if (viewer, a["actor_id"], "all") in self.mutes or (viewer, owner, "all") in self.mutes:
            return False
        if a["verb"] == "reshare" and (viewer, a["actor_id"], "reshares") in self.mutes:
            return False
        replied_to = a["reply_to_user_id"]
        stranger_to_it = viewer not in (a["actor_id"], replied_to) and viewer not in self.friends[replied_to]
        if self.config.reply_rule == "friends" and replied_to is not None and stranger_to_it:
            return False
        groups = {x["group_id"] for x in both} | ({a["object_id"]} if a["object_type"] == "group" else set())
        if any(g in self.private and (viewer, g) not in self.members for g in groups):
            return False
        if (viewer, a["object_type"], a["object_id"]) in self.hides:
            return False
        return not (a["verb"] == "comment" and (viewer, "comment", a["id"]) in self.hides)

    def eligible(self, a: Row, viewer: int) -> bool:
        return (a["actor_id"] == viewer or a["actor_id"] in self.friends[viewer]) and self.keeps_rules(a, viewer)

    def fills(self, a: Row, viewer: int) -> bool:
        """May ``a`` be suggested to ``viewer``?"""
        actor = a["actor_id"]
        own = self.own(a)
        return (
            a["verb"] == "post"
            and a["audience"] == a["object_audience"] == "public"
            and (own is None or own["audience"] == "public")
            and actor != viewer
            and actor not in self.friends[viewer]
            and bool(self.friends[viewer] & self.friends[actor])
            and actor in self.active
            and self.users[actor]["profile_visibility"] == "public"
            and self.keeps_rules(a, viewer)
        )

    # 3.2
    def key(self, a: Row, viewer: int) -> tuple[str, str]:
        """(key, verb) of the ranked card ``a`` falls on."""
        if a["verb"] == "reshare" and a["object_type"] == "post":
            post = self.own(a)
            if post is not None and self.eligible(post, viewer):
                return f"post|post|{a['object_id']}", "post"
        if a["verb"] in ("friend_add", "group_join"):
            return f"{a['verb']}|{a['actor_id']}|{a['created_at'].astimezone(UTC):%Y-%m-%d}", a["verb"]
        return f"{a['verb']}|{a['object_type']}|{a['object_id']}", a["verb"]

    def card(self, key: str, verb: str, members: list[Row], viewer: int) -> Row:
        members = sorted(members, key=lambda a: (-micros(a["created_at"]), a["id"]))
        lead = members[0]
        latest: dict[int, int] = {}
        for a in members:
            latest[a["actor_id"]] = max(latest.get(a["actor_id"], -(10**30)), micros(a["created_at"]))
        sample = sorted(latest, key=lambda actor: (-self.between(viewer, actor), -latest[actor], actor))[:3]
        seen = self.seen.get(viewer)
        return {
            "viewer_id": viewer, "item_id": hashlib.sha256(key.encode()).hexdigest()[:16], "verb": verb,
            "object_type": lead["object_type"], "object_id": lead["object_id"], "object_owner_id": self.owner(lead),
            "lead_activity_id": lead["id"], "lead_actor_id": lead["actor_id"], "actor_count": len(latest),
            "sample_actor_ids": sample, "other_count": len(latest) - len(sample),
            "first_activity_at": min(a["created_at"] for a in members), "last_activity_at": lead["created_at"],
            "is_unseen": seen is None or lead["created_at"] > seen,
        }  # fmt: skip

    # 3.3
    def between(self, viewer: int, other: int) -> int:
        if (viewer, other) not in self.counted:
            self.counted[viewer, other] = self.count_between(viewer, other)
        return self.counted[viewer, other]

    def count_between(self, viewer: int, other: int) -> int:
        if viewer == other:
            return 0
        since = self.as_of.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=90)
        count = 0
        for a in self.activities.values():
            if a["created_at"] < since or a["deleted_at"] is not None or a["actor_id"] not in (viewer, other):
                continue
            far = other if a["actor_id"] == viewer else viewer
            on_object = a["verb"] in ("reaction", "comment") and self.owner(a) == far
            count += on_object or far in a["mentioned_user_ids"]
        return count

    def engagement(self, card: Row) -> int:
        if card["verb"] in ("friend_add", "group_join"):
            return 0
        actors: dict[str, set[int]] = defaultdict(set)
        for a in self.activities.values():
            same = (a["object_type"], a["object_id"]) == (card["object_type"], card["object_id"])
            if same and a["deleted_at"] is None and a["actor_id"] in self.active:
                actors[a["verb"]].add(a["actor_id"])
        return log_count(len(actors["reaction"]) + 2 * len(actors["comment"]) + 3 * len(actors["reshare"]))

    def capped(self, cards: list[Row]) -> list[Row]:
        """Cards with their rank ``i`` among the lead actor's items, below the cap."""
        by_actor: dict[int, list[Row]] = defaultdict(list)
        for card in sorted(cards, key=lambda c: (-micros(c["last_activity_at"]), c["item_id"])):
            by_actor[card["lead_actor_id"]].append(card)
        return [
            card | {"i": i} for group in by_actor.values() for i, card in enumerate(group[: self.config.max_per_actor])
        ]

    def scored(self, cards: list[Row]) -> list[Row]:
        out = []
        for card in self.capped(cards):
            parts = {
                "k_verb": VERB_POINTS[card["verb"]],
                "k_time": micros(card["last_activity_at"]) // (self.config.half_life_hours * 3600),
                "k_engagement": self.engagement(card),
                "k_affinity": log_count(min(15, self.between(card["viewer_id"], card["lead_actor_id"]))),
                "k_diversity": log_diversity(card.pop("i")),
            }
            out.append(card | parts | {"score": sum(parts.values())})
        return sorted(out, key=lambda c: (-c["score"], -micros(c["last_activity_at"]), c["item_id"]))

    def in_window(self) -> list[Row]:
        return [a for a in self.activities.values() if a["created_at"] >= self.start]

    def ranked(self, viewer: int) -> list[Row]:
        groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for a in self.in_window():
            if self.eligible(a, viewer):
                groups[self.key(a, viewer)].append(a)
        cards = [self.card(key, verb, members, viewer) for (key, verb), members in groups.items()]
        real = [c | {"reason": own_or_friend(c)} for c in self.scored(cards)][: self.config.max_ranked]
        if len(real) >= 10:
            return real
        posts = [a for a in self.in_window() if self.fills(a, viewer)]
        suggested = self.scored([self.card(f"post|post|{a['object_id']}", "post", [a], viewer) for a in posts])
        suggested = [c | {"reason": "suggested"} for c in suggested][: 10 - len(real)]
        return (real + suggested)[: self.config.max_ranked]

    def chronological(self, viewer: int) -> list[Row]:
        cards = [
            self.card(f"activity|{a['id']}", a["verb"], [a], viewer)
            for a in self.in_window()
            if a["verb"] in ("post", "comment", "reshare") and self.eligible(a, viewer)
        ]
        zeros = dict.fromkeys(("score", "k_verb", "k_time", "k_engagement", "k_affinity", "k_diversity"), 0)
        kept = sorted(self.capped(cards), key=lambda c: (-micros(c["last_activity_at"]), c["lead_activity_id"]))
        for card in kept:
            del card["i"]
        return [c | zeros | {"reason": own_or_friend(c)} for c in kept[: self.config.max_chronological]]

    def feed_items(self) -> list[Row]:
        return [
            card | {"mode": mode, "position": position}
            for viewer in self.viewers
            for mode, cards in (("chronological", self.chronological(viewer)), ("ranked", self.ranked(viewer)))
            for position, card in enumerate(cards, start=1)
        ]

    # 3.4
    def why_gone(self, item: Row) -> str:
        viewer = item["viewer_id"]
        members = []
        for a in self.activities.values():
            if a["created_at"] < item["first_activity_at"]:
                continue
            if item["mode"] == "chronological":
                belongs = a["id"] == item["lead_activity_id"] and self.eligible(a, viewer)
            elif self.eligible(a, viewer):
                keys = {self.key(a, viewer)[0], f"{a['verb']}|{a['object_type']}|{a['object_id']}"}
                belongs = item["item_id"] in {hashlib.sha256(key.encode()).hexdigest()[:16] for key in keys}
            else:
                belongs = (
                    item["reason"] == "suggested" and a["id"] == item["lead_activity_id"] and self.fills(a, viewer)
                )
            if belongs:
                members.append(a)
        if not members:
            return "removed"
        return "displaced" if any(a["created_at"] >= self.start for a in members) else "aged_out"

    def feed_tombstones(self, items: list[Row], tombstones: list[Row]) -> list[Row]:
        now = {(i["viewer_id"], i["mode"], i["item_id"]) for i in self.feed_items()}
        told = {}
        for t in tombstones:
            key = (t["viewer_id"], t["mode"], t["item_id"])
            if key not in now and t["viewer_id"] in self.viewers and t["removed_at"] + timedelta(days=30) > self.as_of:
                told[key] = t
        for i in items:
            key = (i["viewer_id"], i["mode"], i["item_id"])
            if key not in now and i["viewer_id"] in self.viewers:
                told[key] = dict(zip(("viewer_id", "mode", "item_id"), key, strict=True)) | {
                    "reason": self.why_gone(i), "removed_at": self.as_of,
                }  # fmt: skip
        return [told[key] for key in sorted(told)]


def own_or_friend(card: Row) -> str:
    return "own" if card["lead_actor_id"] == card["viewer_id"] else "friend"
