"""One call makes a world: the parts in their order, each from its own substream of the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from store.generator.activities import make_activities, write_activities
from store.generator.catalog import write_catalog
from store.generator.clock import DEFAULT_AS_OF, to_us
from store.generator.engagement import make_threads
from store.generator.friendships import make_friendships, write_friendships
from store.generator.groups import make_groups, write_groups
from store.generator.notifications import write_notifications
from store.generator.people import make_people, write_people
from store.generator.posts import make_posts, make_tastes
from store.generator.preferences import make_preferences, write_preferences
from store.generator.relations import (
    pending_requests,
    write_blocks_and_mutes,
    write_feed_marks,
    write_recommendation_history,
    write_requests,
)  # fmt: skip
from store.generator.subscriptions import make_subscriptions, write_grants, write_subscriptions
from store.generator.tables import WorldWriter
from store.generator.texts import book
from store.generator.usage import write_usage

MAX_USERS = 20_000_000


@dataclass(frozen=True)
class GeneratedWorld:
    """What was made."""

    directory: Path
    name: str
    as_of: datetime
    seed: int
    rows: dict[str, int]
    """Rows by table."""


def generate_world(
    directory: Path,
    *,
    users: int,
    seed: int = 7,
    as_of: datetime | None = None,
    replace: bool = False,
    progress: Callable[[str], None] | None = None,
) -> GeneratedWorld:
    """Make a world of ``users`` people in ``directory`` (spec 01.2): same arguments, same bytes.

    ``as_of`` is when the world is looked at (aware; default ``DEFAULT_AS_OF``, never the clock).
    ``progress`` is told the name of each part as it begins. Raises ``ValueError`` on impossible
    arguments and ``FileExistsError`` when the folder is not empty (``replace``: unless a world).
    """
    at = as_of or DEFAULT_AS_OF
    if not 1 <= users <= MAX_USERS:
        raise ValueError(f"users must be 1 … {MAX_USERS}, not {users}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    if at.tzinfo is None:
        raise ValueError("as_of must have a time zone")
    tell = progress or (lambda _: None)
    name = f"seeded-{users}-{seed}"
    with WorldWriter(directory, replace=replace) as world:
        _fill(world, users, seed, to_us(at), tell)
        world.finish(name=name, as_of=at, source=f"flowforge source generate --users {users} --seed {seed}")
    return GeneratedWorld(directory, name, at, seed, world.rows)


def _fill(world: WorldWriter, users: int, seed: int, as_of: int, tell: Callable[[str], None]) -> None:
    tell("people")
    people = make_people(seed, users, as_of)
    write_people(world, seed, people)
    tastes = make_tastes(seed, people)
    tell("groups")
    groups = make_groups(seed, people, book().topics, tastes.favourites)
    write_groups(world, seed, groups)
    tell("friendships")
    friends = make_friendships(seed, people, groups)
    write_friendships(world, friends)
    requests = pending_requests(seed, people, friends)
    write_requests(world, requests)
    write_blocks_and_mutes(world, seed, people, friends)
    write_recommendation_history(world, seed, people, friends)
    tell("activities")
    posts = make_posts(seed, people, groups, tastes)
    activities = make_activities(
        seed, people, friends, groups, make_threads(seed, people, friends, groups, posts, tastes)
    )
    del posts
    write_activities(world, seed, people, activities)
    write_feed_marks(world, seed, people, friends, activities)
    tell("subscriptions")
    write_catalog(world, as_of)
    subscriptions = make_subscriptions(seed, people)
    write_subscriptions(world, subscriptions)
    write_grants(world, seed, people)
    tell("notifications")
    preferences = make_preferences(seed, people)
    write_preferences(world, seed, people, preferences)
    write_notifications(world, seed, people, groups, activities, requests, subscriptions, preferences)
    del activities, groups, friends
    tell("usage")
    write_usage(world, seed, people, subscriptions)
