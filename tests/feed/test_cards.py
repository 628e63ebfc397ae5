"""Items: grouping, identity, samples (spec 03.2, 03.4)."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.feed import AS_OF, MICROSECOND, World, items, run


@pytest.fixture
def world() -> World:
    """Viewer 1 with friends 2 … 9, who do not know one another; 20 knows nobody."""
    world = World()
    world.user(*range(1, 10), 20)
    for friend in range(2, 10):
        world.friends(1, friend)
    return world


def _id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def test_item_ids_come_from_the_key(world: World) -> None:
    world.group(5)
    world.activity(1, 2, "post")
    world.activity(2, 3, "comment", on=1)
    world.activity(3, 3, "reaction", on=2)
    world.activity(4, 4, "reshare", on=2)
    world.activity(5, 4, "group_join", object_type="group", object_id=5, object_owner_id=None)
    world.activity(6, 5, "friend_add", object_type="user", object_id=20, object_owner_id=20)
    for row in world.rows["activities"]:
        row["reply_to_user_id"] = None
    keys = {
        "post|post|1", "comment|post|1", "reaction|comment|2", "reshare|comment|2",
        f"group_join|4|{AS_OF:2026-03-06}", f"friend_add|5|{AS_OF:2026-03-06}",
    }  # fmt: skip
    result = run(world)
    assert {row["item_id"] for row in items(result, 1)} == {_id(key) for key in keys}
    assert {row["item_id"] for row in items(result, 1, "chronological")} == {
        _id(f"activity|{id_}") for id_ in (1, 2, 4)
    }


def test_a_reshare_of_a_post_that_the_viewer_may_not_see_by_itself_is_its_own_card(world: World) -> None:
    world.activity(1, 20, "post")
    world.activity(2, 2, "reshare", on=1)
    (card,) = items(run(world), 1)
    assert card["item_id"] == _id("reshare|post|1")
    assert (card["verb"], card["lead_actor_id"], card["object_owner_id"]) == ("reshare", 2, 20)


def test_the_card_of_a_post_and_its_reshares_is_led_by_the_newest(world: World) -> None:
    world.activity(1, 2, "post")
    world.activity(2, 3, "reshare", on=1)
    world.activity(3, 4, "reshare", on=1)
    (card,) = items(run(world), 1)
    assert (card["verb"], card["lead_activity_id"], card["lead_actor_id"]) == ("post", 3, 4)
    assert (card["actor_count"], card["sample_actor_ids"], card["other_count"]) == (3, [4, 3, 2], 0)
    assert card["last_activity_at"] - card["first_activity_at"] == (AS_OF - AS_OF).__class__(hours=2)


def test_of_equally_new_activities_the_smallest_id_leads(world: World) -> None:
    world.activity(1, 2, "post", ago=50)
    for id_, actor in ((12, 3), (11, 4), (13, 5)):
        world.activity(id_, actor, "reaction", on=1, ago=3)
    reactions = [row for row in items(run(world), 1) if row["verb"] == "reaction"]
    assert [row["lead_activity_id"] for row in reactions] == [11]
    assert reactions[0]["sample_actor_ids"] == [3, 4, 5]


def test_sample_actors_are_the_closest_then_the_latest_then_the_smallest_id(world: World) -> None:
    world.activity(1, 2, "post", ago=90)
    world.activity(2, 1, "post", ago=89)
    for id_, actor in ((10, 9), (11, 9), (12, 8)):
        world.activity(id_, actor, "reaction", on=2, ago=80, mentioned_user_ids=[1])
    for id_, (actor, ago) in enumerate(((9, 30), (8, 31), (7, 10), (6, 10), (5, 5), (4, 40)), start=20):
        world.activity(id_, actor, "reaction", on=1, ago=ago)
    (card,) = (row for row in items(run(world), 1) if row["object_id"] == 1 and row["verb"] == "reaction")
    assert card["sample_actor_ids"] == [9, 8, 5]
    assert (card["actor_count"], card["other_count"]) == (6, 3)


def test_counts_of_actors_are_of_those_this_viewer_may_see(world: World) -> None:
    world.activity(1, 2, "post")
    for id_, actor in enumerate(range(3, 8), start=2):
        world.activity(id_, actor, "reaction", on=1)
    world.block(7, 1)
    world.mute(1, 6)
    (card,) = (row for row in items(run(world), 1) if row["verb"] == "reaction")
    assert card["actor_count"] == 3


def test_unseen_is_strictly_after_the_mark(world: World) -> None:
    at = AS_OF - MICROSECOND * 10
    world.activity(1, 2, "post", at=at)
    assert [row["is_unseen"] for row in items(run(world), 1)] == [True]
    world.read(1, at)
    assert [row["is_unseen"] for row in items(run(world), 1)] == [False]
    world.rows["feed_reads"][0]["seen_at"] = at - MICROSECOND
    assert [row["is_unseen"] for row in items(run(world), 1)] == [True]


def test_an_own_item_says_so(world: World) -> None:
    world.activity(1, 1, "post")
    world.activity(2, 2, "post")
    assert [row["reason"] for row in items(run(world), 1, "chronological")] == ["friend", "own"]
