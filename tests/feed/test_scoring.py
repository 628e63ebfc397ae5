"""The five parts of the score, caps and the fill (spec 03.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assets.feed.log2 import micro_bits
from store.settings import FeedSettings
from tests.support.feed import AS_OF, MICROSECOND, World, items, micros, run, shown


@pytest.fixture
def world() -> World:
    """Viewer 1 with friends 2 and 3; 4 is at distance two, 5 at distance three."""
    world = World()
    world.user(1, 2, 3, 4, 5)
    for a, b in ((1, 2), (1, 3), (2, 3), (2, 4), (4, 5)):
        world.friends(a, b)
    return world


@pytest.mark.parametrize(
    ("verb", "points"),
    [("reshare", 1_500_000), ("comment", 1_000_000), ("reaction", 0)],
)
def test_verbs_have_their_points(world: World, verb: str, points: int) -> None:
    world.activity(1, 3, "post", at=AS_OF - timedelta(days=20))
    world.mute(1, 99)
    world.friends(2, 1, until=AS_OF)
    world.rows["friendships"].pop()
    world.activity(2, 3, "comment", on=1, at=AS_OF - timedelta(days=19))
    world.activity(3, 2, verb, on=2)
    (card,) = items(run(world), 1)[:1]
    assert (card["verb"], card["k_verb"]) == (verb, points)


def test_time_is_micros_over_the_half_life_in_seconds(world: World) -> None:
    world.activity(1, 2, "post")
    for hours in (24, 1):
        (card,) = items(run(world, FeedSettings(half_life_hours=hours)), 1)
        assert card["k_time"] == micros(card["last_activity_at"]) // (hours * 3600)


def test_engagement_counts_distinct_active_actors_per_verb_whoever_looks(world: World) -> None:
    world.user(6, status="suspended")
    world.activity(1, 2, "post")
    id_ = 1
    for actor, verb, times in (
        (2, "reaction", 2),
        (3, "reaction", 1),
        (5, "comment", 3),
        (5, "reshare", 1),
        (6, "reaction", 1),
    ):
        for _ in range(times):
            id_ += 1
            world.activity(id_, actor, verb, on=1)
    world.activity(30, 4, "reaction", on=1, deleted_at=AS_OF)
    world.activity(31, 4, "reaction", on=1, at=AS_OF)
    card = next(row for row in items(run(world), 1) if row["verb"] == "post")
    assert card["k_engagement"] == micro_bits(2 + 2 * 1 + 3 * 1) == 3_000_000


def test_affinity_counts_activities_both_ways_once_each_and_is_capped(world: World) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC) - timedelta(days=90)
    old = FeedSettings()
    world.activity(1, 2, "post", at=AS_OF - timedelta(days=300))
    world.activity(2, 1, "post", at=AS_OF - timedelta(days=300))
    world.activity(3, 2, "post")
    assert items(run(world, old), 1)[0]["k_affinity"] == 0
    world.activity(4, 1, "reaction", on=1, at=start)
    world.activity(5, 1, "reaction", on=1, at=start - MICROSECOND)
    world.activity(6, 2, "comment", on=2, at=start + timedelta(days=1), mentioned_user_ids=[1, 1])
    world.activity(7, 2, "reshare", on=2, at=start + timedelta(days=1))
    world.activity(8, 2, "reshare", on=1, at=start + timedelta(days=1), mentioned_user_ids=[1])
    assert items(run(world, old), 1)[0]["k_affinity"] == micro_bits(3)
    for id_ in range(100, 120):
        world.activity(id_, 1, "reaction", on=1, at=start + timedelta(days=2))
    assert items(run(world, old), 1)[0]["k_affinity"] == micro_bits(15) == 4_000_000


def test_own_affinity_is_zero(world: World) -> None:
    world.activity(1, 1, "post")
    world.activity(2, 1, "comment", on=1, mentioned_user_ids=[1])
    assert {row["k_affinity"] for row in items(run(world), 1)} == {0}


def test_diversity_ranks_an_actors_items_by_time_and_cuts_at_the_cap(world: World) -> None:
    for id_ in range(1, 31):
        world.activity(id_, 2, "post")
    for mode in ("ranked", "chronological"):
        assert [row["lead_activity_id"] for row in items(run(world), 1, mode)] == list(range(30, 10, -1))
    assert [row["k_diversity"] for row in items(run(world), 1)][:4] == [0, -678072, -1192646, -1540569]


def test_a_short_feed_is_filled_to_ten_with_public_posts_at_distance_two(world: World) -> None:
    world.activity(1, 2, "post")
    for id_ in range(2, 20):
        world.activity(id_, 4, "post")
    world.activity(20, 4, "post", audience="friends")
    world.activity(21, 4, "post", object_audience="friends")
    world.activity(22, 4, "comment", on=20)
    world.activity(23, 5, "post")
    feed = items(run(world), 1)
    assert [row["reason"] for row in feed] == ["friend"] + ["suggested"] * 9
    assert [row["position"] for row in feed] == list(range(1, 11))
    assert [row["lead_activity_id"] for row in feed[1:]] == list(range(19, 10, -1))
    assert [row["k_diversity"] for row in feed[1:3]] == [0, -678072]
    assert shown(run(world), 1) == [1]


@pytest.mark.parametrize("visibility", ["friends", "private"])
def test_only_public_profiles_are_suggested(world: World, visibility: str) -> None:
    world.activity(1, 4, "post")
    world.rows["users"][3]["profile_visibility"] = visibility
    assert items(run(world), 1) == []


def test_suggestions_keep_every_other_rule(world: World) -> None:
    world.activity(1, 4, "post", mentioned_user_ids=[5])
    assert shown(run(world), 1, "ranked") == [1]
    world.block(5, 1)
    assert shown(run(world), 1, "ranked") == []


def test_a_feed_of_ten_is_not_filled_and_a_small_cap_stands(world: World) -> None:
    for id_ in range(1, 11):
        world.activity(id_, 2, "post")
    world.activity(11, 4, "post")
    assert {row["reason"] for row in items(run(world), 1)} == {"friend"}
    assert len(items(run(world, FeedSettings(max_ranked=3)), 1)) == 3
    few = items(run(world, FeedSettings(max_per_actor=2, max_ranked=3)), 1)
    assert [row["reason"] for row in few] == ["friend", "friend", "suggested"]
