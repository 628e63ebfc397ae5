"""Tiny, dense fuzzed worlds in which every rule of spec 03 has something to decide."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from tests.support.feed import AS_OF, MICROSECOND, Row, World


def fuzzed_world(seed: int, *, as_of: datetime = AS_OF, crowd: int = 0, life: int = 0) -> World:
    """A tiny, dense world in which every rule has something to decide. Same seed, same world.

    ``crowd`` people with ``life`` activities, else a few.
    """
    rng = random.Random(seed)
    world = World(as_of=as_of)
    people = list(range(1, 1 + crowd if crowd else rng.randint(4, 11)))
    for id_ in people:
        world.user(
            id_,
            status=rng.choices(["active", "deactivated", "suspended"], [30, 1, 1])[0],
            profile_visibility=rng.choice(["public", "public", "friends", "private"]),
            created_at=rng.choices([AS_OF - timedelta(days=900), as_of], [30, 1])[0],
            last_seen_at=rng.choices([
                None, as_of - timedelta(hours=1), as_of - timedelta(days=30), as_of - timedelta(days=30) - MICROSECOND,
            ], [5, 5, 2, 1])[0],
        )  # fmt: skip
    density = rng.choice([0.25, 0.5, 0.8])
    for a in people:
        for b in people:
            if a < b and rng.random() < density:
                world.friends(
                    a, b, since=rng.choices([None, as_of], [12, 1])[0],
                    until=rng.choices([None, as_of, as_of + MICROSECOND, as_of - timedelta(days=3)], [12, 1, 1, 1])[0],
                )  # fmt: skip
    for group in (1, 2, 3):
        world.group(group, is_private=rng.random() < 0.5)
        for id_ in people:
            if rng.random() < 0.5:
                world.member(group, id_, until=rng.choices([None, as_of, as_of + MICROSECOND], [6, 1, 1])[0])
    _fuzz_activities(world, rng, people, life or rng.randint(5, 90))
    if rng.random() < 0.15:
        _fuzz_devotion(world, rng, people)
    _fuzz_restrictions(world, rng, people)
    return world


def _fuzz_activities(world: World, rng: random.Random, people: list[int], amount: int) -> None:
    strangers = [*people, 77]
    audiences = rng.choice([["public"], ["public"] * 4 + ["friends"], ["public", "public", "friends", "only_me"]])
    month = world.as_of.replace(day=1, hour=0)
    made: list[Row] = []
    for number in range(amount):
        id_ = 100 + number if rng.random() < 0.9 else 9000 - number
        verb = rng.choice(["post", "post", "comment", "comment", "reshare", "reaction", "friend_add", "group_join"])
        days = rng.choices([14, 1, 3, 40, 100], [4, 8, 4, 1, 1])[0]
        at = world.as_of - timedelta(hours=rng.randint(0, days * 24))
        at = rng.choices(
            [at, world.as_of, world.as_of - MICROSECOND, world.as_of - timedelta(days=14),
             world.as_of - timedelta(days=14) - MICROSECOND, month - timedelta(days=90)],
            [40, 1, 1, 1, 1, 1],
        )[0]  # fmt: skip
        more: Row = {
            "at": at,
            "audience": rng.choice(audiences),
            "object_audience": rng.choice(audiences),
            "group_id": rng.choices([None, 1, 2, 3], [8, 1, 1, 1])[0],
            "mentioned_user_ids": rng.sample(strangers, rng.choices([0, 1, 2], [6, 2, 1])[0]),
            "deleted_at": rng.choices([None, world.as_of, AS_OF - timedelta(days=2)], [30, 1, 1])[0],
        }
        if verb == "friend_add":
            more |= {"object_type": "user", "object_id": rng.choice(strangers), "object_owner_id": None}
        elif verb == "group_join":
            more |= {"object_type": "group", "object_id": rng.randint(1, 3), "object_owner_id": rng.choice([None, 1])}
        elif verb != "post":
            objects = [a for a in made if a["verb"] in ("post", "comment")]
            if not objects or rng.random() < 0.03:
                more |= {"object_type": rng.choice(["post", "comment"]), "object_id": 99_999, "object_owner_id": 1}
            else:
                favoured = objects[:3] if rng.random() < 0.6 else objects
                parent = rng.choice(favoured)
                more |= {"on": parent["id"]}
                if verb == "comment" and rng.random() < 0.3:
                    more |= {"reply_to_user_id": rng.choice([None, *strangers])}
                if rng.random() < 0.1:
                    more |= {"object_owner_id": rng.choice([None, *people])}
        world.activity(id_, rng.choice(people), verb, **more)
        made = world.rows["activities"]
    for row in world.rows["activities"]:
        if row["verb"] == "post" and rng.random() < 0.8:
            row["object_audience"] = row["audience"]


def _fuzz_devotion(world: World, rng: random.Random, people: list[int]) -> None:
    """Somebody reacts to one person's posts more often than the affinity cap counts."""
    fan, star = rng.sample(people, 2)
    for number in range(rng.randint(10, 20)):
        at = world.as_of - timedelta(days=rng.randint(1, 20), hours=number)
        post = world.activity(10_000 + 2 * number, star, "post", at=at)
        world.activity(post + 1, fan, "reaction", on=post, at=at + timedelta(minutes=1))


def _fuzz_restrictions(world: World, rng: random.Random, people: list[int]) -> None:
    amount = rng.choice([0.0, 0.02, 0.15])
    for a in people:
        for b in [*people, 77]:
            if a != b and rng.random() < amount:
                world.block(a, b)
            for scope in ("all", "reshares"):
                if a != b and rng.random() < amount:
                    expires = rng.choice([None, world.as_of, world.as_of + MICROSECOND])
                    world.mute(a, b, scope, expires)
        for row in world.table("activities"):
            if rng.random() < amount / 4:
                kind = rng.choice([row["object_type"], "comment"])
                world.hide(a, kind, rng.choice([row["object_id"], row["id"]]))
        if rng.random() < 0.6:
            times = [row["created_at"] for row in world.table("activities")]
            world.read(a, rng.choice(times))
    hides = {(h["user_id"], h["object_type"], h["object_id"]): h for h in world.table("feed_hides")}
    world.rows["feed_hides"] = list(hides.values())


def later_world(seed: int, *, days: int) -> World:
    """The fuzzed world ``days`` later: some activities deleted, some friends parted, some blocks more."""
    world = fuzzed_world(seed)
    rng = random.Random(seed + days)
    world.as_of = AS_OF + timedelta(days=days)
    for row in world.table("activities"):
        if rng.random() < 0.08:
            row["deleted_at"] = world.as_of
    for row in world.table("friendships"):
        if rng.random() < 0.15:
            row["ended_at"] = world.as_of
    ids = [user["id"] for user in world.table("users")]
    for _ in range(rng.randint(0, 2)):
        world.block(*rng.sample(ids, 2))
    newest = max((row["id"] for row in world.table("activities")), default=100)
    for number in range(rng.randint(0, 8)):
        world.activity(newest + 1 + number, rng.choice(ids), "post", at=world.as_of - timedelta(hours=1 + number))
    return world
