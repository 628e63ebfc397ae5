"""Items that are gone, and why (spec 03.4)."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from assets.feed.people import People
from assets.frame import Result
from store.settings import FeedSettings
from tests.support.feed import AS_OF, World, items, run


@pytest.fixture
def world() -> World:
    world = World()
    world.user(1, 2, 3)
    world.friends(1, 2)
    world.friends(1, 3)
    world.activity(1, 2, "post")
    world.activity(2, 3, "post")
    return world


def _told(result: Result, mode: str = "ranked") -> dict[str, str]:
    rows = result.tables["feed_tombstones"].to_dicts()
    return {row["item_id"]: row["reason"] for row in rows if row["viewer_id"] == 1 and row["mode"] == mode}


def _item(result: Result, id_: int, mode: str = "ranked") -> str:
    return next(row["item_id"] for row in items(result, 1, mode) if row["lead_activity_id"] == id_)


@pytest.mark.parametrize("mode", ["ranked", "chronological"])
@pytest.mark.parametrize("how", ["deleted", "blocked", "blocked_by", "unfriended", "muted", "hidden"])
def test_whatever_rule_removed_it_the_tombstone_says_removed(world: World, how: str, mode: str) -> None:
    first = run(world)
    if how == "deleted":
        world.delete(1)
    elif how == "unfriended":
        world.rows["friendships"][0]["ended_at"] = AS_OF
    elif how == "muted":
        world.mute(1, 2)
    elif how == "hidden":
        world.hide(1, "post", 1)
    else:
        world.block(*((1, 2) if how == "blocked" else (2, 1)))
    world.as_of = AS_OF + timedelta(hours=1)
    assert _told(run(world, previous=first), mode) == {_item(first, 1, mode): "removed"}


def test_an_item_that_leaves_the_window_has_aged_out(world: World) -> None:
    first = run(world)
    world.as_of = AS_OF + timedelta(days=14) - timedelta(hours=98)
    assert _told(run(world, previous=first)) == {_item(first, 1): "aged_out"}


def test_an_old_item_whose_post_was_deleted_is_removed_not_aged_out(world: World) -> None:
    first = run(world)
    world.as_of = AS_OF + timedelta(days=14) - timedelta(hours=98)
    world.delete(1)
    assert _told(run(world, previous=first)) == {_item(first, 1): "removed"}


def test_an_item_that_lost_its_place_is_displaced(world: World) -> None:
    config = FeedSettings(max_ranked=2, max_chronological=2)
    first = run(world, config)
    world.activity(3, 1, "post")
    second = run(world, config, first)
    assert _told(second) == {_item(first, 1): "displaced"}
    assert _told(second, "chronological") == {_item(first, 1, "chronological"): "displaced"}


def test_a_tombstone_stays_until_the_item_is_back(world: World) -> None:
    first = run(world)
    world.mute(1, 2)
    second = run(world, previous=first)
    world.as_of = AS_OF + timedelta(hours=1)
    third = run(world, previous=second)
    assert third.tables["feed_tombstones"].equals(second.tables["feed_tombstones"])
    world.rows["mutes"].clear()
    assert _told(run(world, previous=third)) == {}


def test_a_tombstone_is_dropped_after_30_days(world: World) -> None:
    first = run(world)
    world.delete(1)
    second = run(world, previous=first)
    world.as_of = AS_OF + timedelta(days=30)
    assert _item(first, 1) not in _told(run(world, previous=second))


def test_only_viewers_with_a_feed_have_tombstones(world: World) -> None:
    first = run(world)
    world.delete(1)
    second = run(world, previous=first)
    assert _told(second) != {}
    world.rows["users"][0]["last_seen_at"] = AS_OF - timedelta(days=31)
    assert _told(run(world, previous=first)) == {}
    assert _told(run(world, previous=second)) == {}


def test_a_suggestion_that_friends_crowd_out_is_displaced(world: World) -> None:
    world.user(9)
    world.friends(2, 9)
    world.activity(5, 9, "post")
    first = run(world)
    for id_ in range(10, 20):
        world.activity(id_, 3, "post")
    assert _told(run(world, previous=first)) == {_item(first, 5): "displaced"}
    world.rows["users"][-1]["profile_visibility"] = "private"
    assert _told(run(world, previous=first)) == {_item(first, 5): "removed"}


@pytest.mark.parametrize("scale", [1, 10**6])
def test_who_is_nobody_has_no_number(scale: int) -> None:
    ids = pl.Series([2 * scale, 5 * scale, 6 * scale])
    asked = pl.Series("asked", [5 * scale, None, 1, 7 * scale, 4 * scale, 2 * scale, -3])
    assert People(ids).number(asked).to_list() == [1, None, None, None, None, 0, None]
