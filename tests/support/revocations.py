"""Revocations in tests: a real file below a home, and changes of a feed world as facts of the source."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from store.files import write_bytes_atomically
from store.revocations import CURRENT, FOLDER, LEVELS, OBJECT_TYPES, Entry, Kind, columns_of, encoded, micros
from store.tailer import Fact
from tests.support.feed import World

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def entry(kind: Kind, subject: int, other: int = 0, detail: int = 0, *, at: datetime) -> Entry:
    """An entry that holds against data before ``at``."""
    return Entry(kind, subject, other, detail, micros(at))


def levels(audience: str, object_audience: str = "public") -> int:
    """The ``detail`` of a narrowed activity."""
    return len(LEVELS) * LEVELS.index(audience) + LEVELS.index(object_audience)


def write_revocations(
    home: Path, entries: Iterable[Entry] = (), *, age_seconds: float = 0, since: datetime = LONG_AGO
) -> Path:
    """The home's file of revocations, read from the source so many seconds ago."""
    read_at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    path = home / FOLDER / CURRENT
    content = encoded(columns_of(entries), read_at=read_at, source_read_at=read_at, since=since)
    write_bytes_atomically(path, content)
    return path


def revoke_something(world: World, rng: random.Random) -> Fact | None:
    """Change ``world`` as a person or the app would after its ``as_of``; the fact that the source then shows.

    None when the dice chose something that is not there.
    """
    at = micros(world.as_of + timedelta(minutes=rng.randint(1, 50)))
    people = [user["id"] for user in world.table("users")]
    one, other = rng.sample(people, 2)
    acts = world.table("activities")
    kind = rng.choice(list(Kind))
    if kind in (Kind.GONE, Kind.ERASED):
        next(user for user in world.table("users") if user["id"] == one)["status"] = "suspended"
        return Fact(kind, one, 0, 0, at)
    if kind == Kind.BLOCKED:
        world.block(one, other)
        return Fact(kind, one, other, 0, at)
    if kind in (Kind.MUTED, Kind.RESHARES_MUTED):
        world.mute(one, other, "all" if kind == Kind.MUTED else "reshares")
        return Fact(kind, one, other, 0, at)
    if kind == Kind.UNFRIENDED and world.table("friendships"):
        friendship = rng.choice(world.table("friendships"))
        friendship["ended_at"] = world.as_of
        return Fact(kind, friendship["user_a_id"], friendship["user_b_id"], 0, at)
    if kind == Kind.LEFT:
        private = {group["id"] for group in world.table("groups") if group["is_private"]}
        joined = [m for m in world.table("memberships") if m["group_id"] in private]
        if joined:
            membership = rng.choice(joined)
            membership["left_at"] = world.as_of
            return Fact(kind, membership["user_id"], membership["group_id"], 0, at)
    if kind == Kind.HIDDEN and acts:
        act = rng.choice(acts)
        is_itself = act["verb"] == "comment" and rng.random() < 0.5
        object_type, object_id = ("comment", act["id"]) if is_itself else (act["object_type"], act["object_id"])
        world.hide(one, object_type, object_id)
        return Fact(kind, one, object_id, OBJECT_TYPES.index(object_type), at)
    if kind == Kind.DELETED and acts:
        act = rng.choice(acts)
        act["deleted_at"] = world.as_of
        return Fact(kind, act["id"], 0, 0, at)
    if kind == Kind.NARROWED and acts:
        act = rng.choice(acts)
        for column in ("audience", "object_audience"):
            act[column] = rng.choice(LEVELS[: LEVELS.index(act[column]) + 1])
        return Fact(kind, act["id"], act["actor_id"], levels(act["audience"], act["object_audience"]), at)
    return None
