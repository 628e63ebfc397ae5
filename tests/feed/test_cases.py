"""Behaviour cases A1 … A16 as far as the product decides them.

Paging and states are the API's: A11, A12, A13, A14 and A16 are in ``tests/api/test_pages.py``.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from store.settings import FeedSettings
from tests.support.feed import AS_OF, World, items, run, shown

VIEWER, FRIEND, OTHER, TARGET = 1, 2, 3, 4


@pytest.fixture
def world() -> World:
    """The viewer is a friend of FRIEND and OTHER; FRIEND and OTHER know TARGET."""
    world = World()
    world.user(*range(1, 30))
    for a, b in ((VIEWER, FRIEND), (VIEWER, OTHER), (FRIEND, TARGET), (OTHER, TARGET)):
        world.friends(a, b)
    return world


@pytest.mark.parametrize("block", [(VIEWER, FRIEND), (FRIEND, VIEWER)])
@pytest.mark.parametrize("mode", ["ranked", "chronological"])
def test_a1_an_author_blocked_in_either_direction_is_absent(world: World, block: tuple[int, int], mode: str) -> None:
    world.activity(1, FRIEND, "post")
    assert shown(run(world), VIEWER, mode) == [1]
    world.block(*block)
    assert shown(run(world), VIEWER, mode) == []


@pytest.mark.parametrize("mode", ["ranked", "chronological"])
def test_a2_a_friends_reshare_of_a_muted_person_is_absent(world: World, mode: str) -> None:
    world.activity(1, TARGET, "post")
    world.activity(2, FRIEND, "reshare", on=1)
    assert 2 in shown(run(world), VIEWER, mode)
    world.mute(VIEWER, TARGET)
    assert shown(run(world), VIEWER, mode) == []


@pytest.mark.parametrize(("replied_to", "is_shown"), [(TARGET, False), (OTHER, True), (VIEWER, True), (FRIEND, True)])
def test_a3_a_friends_reply_is_shown_when_it_is_to_a_friend_the_viewer_or_self(
    world: World, replied_to: int, is_shown: bool
) -> None:
    world.activity(1, replied_to, "post", at=AS_OF - timedelta(days=20))
    world.activity(2, FRIEND, "comment", on=1)
    assert shown(run(world), VIEWER) == [2] * is_shown
    assert shown(run(world), VIEWER, "ranked") == [2] * is_shown


@pytest.mark.parametrize("mode", ["ranked", "chronological"])
def test_a4_a_full_feed_and_one_newer_item_drops_the_oldest(world: World, mode: str) -> None:
    config = FeedSettings(max_ranked=3, max_chronological=3)
    for id_, actor in ((1, FRIEND), (2, OTHER), (3, VIEWER)):
        world.activity(id_, actor, "post")
    assert shown(run(world, config), VIEWER, mode) == [3, 2, 1]
    world.user(30)
    world.friends(VIEWER, 30)
    world.activity(4, 30, "post")
    assert shown(run(world, config), VIEWER, mode) == [4, 3, 2]


def test_a5_a_reshare_of_a_post_in_the_feed_is_still_one_card(world: World) -> None:
    world.activity(1, FRIEND, "post")
    before = items(run(world), VIEWER)
    world.activity(2, OTHER, "reshare", on=1)
    after = items(run(world), VIEWER)
    assert [row["item_id"] for row in after] == [row["item_id"] for row in before]
    assert after[0]["actor_count"] == 2


def test_a6_deleted_reshares_leave_one_card_led_by_the_last_and_then_none(world: World) -> None:
    world.user(30)
    world.friends(VIEWER, 30)
    world.activity(1, 29, "post")
    for id_, actor in ((2, 30), (3, FRIEND), (4, OTHER)):
        world.activity(id_, actor, "reshare", on=1)
    world.delete(2)
    world.delete(3)
    (card,) = items(run(world), VIEWER)
    assert (card["lead_activity_id"], card["actor_count"]) == (4, 1)
    world.delete(4)
    assert items(run(world), VIEWER) == []


@pytest.mark.parametrize("mode", ["ranked", "chronological"])
def test_a7_blocking_someone_clears_all_that_names_them_and_keeps_the_order(world: World, mode: str) -> None:
    world.activity(50, TARGET, "post", at=AS_OF - timedelta(days=20))
    world.activity(51, 29, "post", at=AS_OF - timedelta(days=20), mentioned_user_ids=[TARGET])
    world.activity(1, FRIEND, "post")
    world.activity(2, OTHER, "post", mentioned_user_ids=[TARGET])
    world.activity(3, FRIEND, "reshare", on=51)
    world.activity(4, OTHER, "reshare", on=50)
    world.activity(5, OTHER, "post")
    before = shown(run(world), VIEWER, mode)
    assert sorted(before) == [1, 2, 3, 4, 5]
    world.block(VIEWER, TARGET)
    assert shown(run(world), VIEWER, mode) == [id_ for id_ in before if id_ in (1, 5)]


def test_a8_ten_reactions_and_five_comments_on_one_object_are_two_groups(world: World) -> None:
    for person in range(4, 15):
        world.friends(VIEWER, person)
    world.activity(1, VIEWER, "post", at=AS_OF - timedelta(days=20))
    for id_, actor in enumerate(range(4, 14), start=10):
        world.activity(id_, actor, "reaction", on=1)
    for id_, actor in enumerate(range(4, 9), start=30):
        world.activity(id_, actor, "comment", on=1)
    assert {(row["verb"], row["actor_count"]) for row in items(run(world), VIEWER)} == {
        ("reaction", 10),
        ("comment", 5),
    }


def test_a9_a_group_shrinks_and_goes_and_leaves_nothing_unseen(world: World) -> None:
    world.activity(1, VIEWER, "post", at=AS_OF - timedelta(days=20))
    world.activity(2, FRIEND, "reaction", on=1)
    world.activity(3, OTHER, "reaction", on=1)
    first = run(world)
    assert [row["actor_count"] for row in items(first, VIEWER)] == [2]
    world.delete(3)
    assert [row["actor_count"] for row in items(run(world), VIEWER)] == [1]
    world.delete(2)
    last = run(world, previous=first)
    assert items(last, VIEWER) == []
    assert sum(row["is_unseen"] for row in items(last, VIEWER)) == 0


def test_a10_the_same_reaction_twice_counts_once(world: World) -> None:
    world.activity(1, FRIEND, "post", at=AS_OF - timedelta(days=20))
    world.activity(2, OTHER, "reaction", on=1)
    once = items(run(world), VIEWER)
    world.activity(3, OTHER, "reaction", on=1)
    twice = items(run(world), VIEWER)
    assert [row["actor_count"] for row in twice] == [1]
    assert twice[0]["k_engagement"] == once[0]["k_engagement"]


@pytest.mark.parametrize("mode", ["ranked", "chronological"])
def test_a13_the_first_of_one_is_the_first_of_ten(world: World, mode: str) -> None:
    for id_ in range(1, 15):
        world.activity(id_, FRIEND if id_ % 3 else OTHER, "post")
    one, ten = (run(world, FeedSettings(max_ranked=n, max_chronological=n)) for n in (1, 10))
    assert shown(one, VIEWER, mode) == shown(ten, VIEWER, mode)[:1]
    assert len(shown(ten, VIEWER, mode)) == 10


@pytest.mark.parametrize("mode", ["ranked", "chronological"])
def test_a15_what_was_taken_down_makes_room_for_the_next(world: World, mode: str) -> None:
    config = FeedSettings(max_ranked=2, max_chronological=2)
    for id_, actor in ((1, FRIEND), (2, OTHER), (3, FRIEND), (4, OTHER)):
        world.activity(id_, actor, "post")
    assert shown(run(world, config), VIEWER, mode) == [4, 3]
    world.delete(4)
    world.delete(3)
    assert shown(run(world, config), VIEWER, mode) == [2, 1]


def test_a16_a_viewer_who_was_long_away_is_not_in_the_generation(world: World) -> None:
    world.activity(1, FRIEND, "post")
    world.rows["users"][0]["last_seen_at"] = AS_OF - timedelta(days=40)
    result = run(world)
    assert items(result, VIEWER) == []
    assert items(result, TARGET) != []


def test_every_case_of_the_feed_has_a_test_that_names_it() -> None:
    pages = Path(__file__).parents[1] / "api" / "test_pages.py"
    named = re.findall(r"^def test_a(\d+)_", Path(__file__).read_text() + pages.read_text(), re.MULTILINE)
    assert {int(number) for number in named} == set(range(1, 17))
