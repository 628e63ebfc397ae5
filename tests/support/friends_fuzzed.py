"""Fuzzed worlds for friend recommendations."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from tests.support.friends import AS_OF, LONG_AGO, TICK


def fuzzed(rng: random.Random, size: int) -> dict[str, list[dict[str, Any]]]:
    """A small crowded world: every filter, every group kind, every audience, times at the boundaries."""
    ids = [i * 7 + 3 for i in range(size)]
    anyone = [*ids, 999_999]

    def pair() -> tuple[int, int]:
        return rng.choice(anyone), rng.choice(anyone)

    def at(days: float = 0) -> datetime:
        return AS_OF - timedelta(days=days) + rng.choice([-TICK, timedelta(0), TICK, -timedelta(days=2)])

    def some(share: float) -> range:
        return range(rng.randint(0, round(size * share)))

    people = [
        {
            "id": i, "country": rng.choice(["DE", "DE", "FR", None]),
            "status": rng.choices(["active", "deactivated", "deleted"], [9, 1, 1])[0],
            "profile_visibility": rng.choices(["public", "friends", "private"], [6, 2, 1])[0],
            "friend_list_visibility": rng.choices(["public", "private"], [3, 1])[0],
            "is_discoverable": rng.random() < 0.9, "wants_recommendations": rng.random() < 0.9,
            "created_at": rng.choices([LONG_AGO, at()], [8, 1])[0],
        }
        for i in ids
    ]  # fmt: skip
    edges = {}
    for _ in some(rng.choice([0.5, 1.5, 3])):
        a, b = sorted(pair())
        ended = rng.choices([None, at(), at(180), LONG_AGO], [9, 1, 1, 1])[0]
        edges[a, b] = {"user_a_id": a, "user_b_id": b, "created_at": rng.choices([LONG_AGO, at()], [9, 1])[0],
                       "ended_at": ended}  # fmt: skip
    requests = []
    for n in some(0.7):
        a, b = pair()
        status = rng.choice(["pending", "accepted", "declined", "cancelled"])
        answered = None if status == "pending" else rng.choice([at(), AS_OF - timedelta(days=5)])
        requests.append({"id": n, "requester_id": a, "addressee_id": b, "status": status, "created_at": at(),
                         "responded_at": answered})  # fmt: skip
    blocks = {(a, b): {"blocker_id": a, "blocked_id": b, "created_at": at()} for a, b in (pair() for _ in some(0.5))}
    mutes = {}
    for _ in some(0.5):
        key3 = *pair(), rng.choice(["all", "all", "reshares"])
        until = rng.choice([None, at()])
        mutes[key3] = dict(zip(("muter_id", "muted_id", "scope"), key3, strict=True), created_at=at(), expires_at=until)
    dismissals = {}
    for a, b in (pair() for _ in some(0.7)):
        count = rng.randint(1, 4)
        dismissals[a, b] = {"user_id": a, "candidate_id": b, "dismissed_at": at(90 * count), "dismissal_count": count}
    impressions = []
    for a, b in (pair() for _ in some(1)):
        for _ in range(rng.choice([1, 2, 9, 10, 11])):
            shown_at = rng.choices([AS_OF - timedelta(days=3), at(), at(60)], [20, 1, 1])[0]
            impressions.append({"id": len(impressions), "user_id": a, "candidate_id": b, "shown_at": shown_at})
    groups = [
        {
            "id": g, "kind": rng.choice(["group", "interest", "school", "employer", "place"]),
            "is_private": rng.random() < 0.4, "created_at": rng.choices([LONG_AGO, at()], [9, 1])[0],
        }
        for g in some(0.6)
    ]  # fmt: skip
    memberships = {}
    for _ in some(2):
        key = rng.randint(0, max(len(groups), 1)), rng.choice(anyone)
        memberships[key] = {
            "group_id": key[0], "user_id": key[1], "joined_at": rng.choices([LONG_AGO, at()], [9, 1])[0],
            "left_at": rng.choices([None, at()], [4, 1])[0],
        }  # fmt: skip
    activities = []
    for n in range(100, 100 + len(some(2))):
        verb = rng.choice(["post", "comment", "reaction", "reshare", "friend_add"])
        kind = "post" if verb == "post" else rng.choice(["post", "comment", "user", "group"])
        target = {"post": n if verb == "post" else rng.randint(100, n), "comment": rng.randint(100, n),
                  "user": rng.choice(anyone), "group": rng.randint(0, 5)}[kind]  # fmt: skip
        activities.append({
            "id": n, "actor_id": rng.choice(anyone), "verb": verb, "object_type": kind, "object_id": target,
            "object_owner_id": rng.choice([None, *anyone]), "reply_to_user_id": rng.choice([None, None, *anyone]),
            "mentioned_user_ids": rng.sample(anyone, rng.choice([0, 0, 1, 2])),
            "group_id": rng.choice([None, None, None, 0, 1]),
            "audience": rng.choices(["public", "friends", "only_me"], [4, 1, 1])[0],
            "object_audience": rng.choices(["public", "friends", "only_me"], [4, 1, 1])[0],
            "created_at": rng.choice([at(), at(90), AS_OF - timedelta(days=9)]),
            "deleted_at": rng.choices([None, at()], [9, 1])[0],
        })  # fmt: skip
    return {
        "staged_users": people, "staged_friendships": list(edges.values()), "staged_friend_requests": requests,
        "staged_blocks": list(blocks.values()), "staged_mutes": list(mutes.values()),
        "staged_recommendation_dismissals": list(dismissals.values()),
        "staged_recommendation_impressions": impressions, "staged_groups": groups,
        "staged_memberships": list(memberships.values()), "staged_activities": activities,
    }  # fmt: skip
