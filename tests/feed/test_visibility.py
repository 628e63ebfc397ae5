"""Who may see what (spec 03.1): one sentence per rule."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.settings import FeedSettings
from tests.support.feed import AS_OF, MICROSECOND, World, run, shown

VIEWER, FRIEND, OTHER, STRANGER = 1, 2, 3, 4


@pytest.fixture
def world() -> World:
    """The viewer is a friend of FRIEND and OTHER, who are friends; nobody knows STRANGER."""
    world = World()
    world.user(VIEWER, FRIEND, OTHER, STRANGER)
    world.friends(VIEWER, FRIEND)
    world.friends(VIEWER, OTHER)
    world.friends(FRIEND, OTHER)
    return world


def test_friends_and_own_activities_are_shown_and_a_strangers_are_not(world: World) -> None:
    for id_, actor in ((1, STRANGER), (2, FRIEND), (3, VIEWER)):
        world.activity(id_, actor, "post")
    assert shown(run(world), VIEWER) == [3, 2]


@pytest.mark.parametrize(
    ("since", "until", "is_shown"),
    [
        (AS_OF - MICROSECOND, None, True),
        (AS_OF, None, False),
        (None, AS_OF, False),
        (None, AS_OF + MICROSECOND, True),
    ],
)
def test_friendships_count_as_of_as_of(since: object, until: object, is_shown: bool) -> None:
    world = World()
    world.user(VIEWER, FRIEND)
    world.friends(VIEWER, FRIEND, since=since, until=until)  # type: ignore[arg-type]
    world.activity(1, FRIEND, "post")
    assert shown(run(world), VIEWER) == [1] * is_shown


@pytest.mark.parametrize("status", ["deactivated", "suspended", "deleted"])
def test_actor_owner_and_viewer_are_active(world: World, status: str) -> None:
    world.user(9, status=status)
    world.friends(FRIEND, 9)
    world.friends(VIEWER, 9)
    world.activity(1, 9, "post")
    world.activity(2, FRIEND, "reshare", on=1)
    world.activity(3, FRIEND, "post")
    result = run(world)
    assert shown(result, VIEWER) == [3]
    assert shown(result, 9) == []


def test_a_deleted_activity_or_object_is_not_shown(world: World) -> None:
    world.activity(1, FRIEND, "post")
    world.activity(2, OTHER, "comment", on=1)
    world.activity(3, OTHER, "comment", on=2)
    world.delete(1)
    assert shown(run(world), VIEWER) == [3]


def test_nothing_on_an_unknown_object_is_shown(world: World) -> None:
    world.activity(1, FRIEND, "comment", object_type="post", object_id=50, object_owner_id=FRIEND)
    world.activity(60, FRIEND, "comment", on=1)
    world.activity(2, FRIEND, "reaction", object_type="post", object_id=60, object_owner_id=FRIEND)
    assert shown(run(world), VIEWER) == [60]
    assert shown(run(world), VIEWER, "ranked") == [60]


@pytest.mark.parametrize("verb", ["reshare", "reaction", "comment"])
def test_a_friends_only_post_does_not_leak_through_a_mutual_friend(world: World, verb: str) -> None:
    world.friends(FRIEND, STRANGER)
    world.activity(1, STRANGER, "post", audience="friends", object_audience="friends")
    world.activity(2, FRIEND, verb, on=1)
    world.activity(3, FRIEND, verb, on=1, object_audience="public")
    config = FeedSettings(reply_rule="all")
    assert shown(run(world, config), VIEWER, "ranked") == []


def test_only_me_is_for_the_owner_alone(world: World) -> None:
    world.activity(1, FRIEND, "post", audience="only_me", object_audience="only_me")
    result = run(world)
    assert shown(result, VIEWER) == []
    assert shown(result, FRIEND) == [1]


def test_an_unknown_owner_admits_nobody_unless_public(world: World) -> None:
    world.group(7)
    base = {"object_type": "group", "object_id": 7, "object_owner_id": None}
    world.activity(1, FRIEND, "group_join", object_audience="friends", **base)
    assert shown(run(world), VIEWER, "ranked") == []
    world.activity(2, FRIEND, "group_join", object_audience="public", **base)
    assert shown(run(world), VIEWER, "ranked") == [2]


def test_a_friend_add_is_shown_when_the_two_have_parted(world: World) -> None:
    world.rows["friendships"][2]["ended_at"] = AS_OF - timedelta(days=1)
    world.activity(1, FRIEND, "friend_add", object_type="user", object_id=OTHER, object_owner_id=OTHER)
    assert shown(run(world), VIEWER, "ranked") == [1]


@pytest.mark.parametrize("direction", [(VIEWER, STRANGER), (STRANGER, VIEWER)])
@pytest.mark.parametrize("role", ["owner", "mentioned", "mentioned_in_object", "replied_to", "replied_to_in_object"])
def test_no_principal_of_the_activity_or_its_object_meets_a_block(
    world: World, direction: tuple[int, int], role: str
) -> None:
    author = STRANGER if role == "owner" else OTHER
    mentions = {"mentioned_user_ids": [STRANGER]}
    world.activity(1, author, "post", **(mentions if role == "mentioned_in_object" else {}))
    world.activity(2, STRANGER if role == "replied_to_in_object" else OTHER, "post")
    world.activity(3, OTHER, "comment", on=2)
    on = 3 if role == "replied_to_in_object" else 1
    more = mentions if role == "mentioned" else {}
    world.activity(4, FRIEND, "reshare", on=on, **more, reply_to_user_id=STRANGER if role == "replied_to" else None)
    config = FeedSettings(reply_rule="all")
    assert 4 in shown(run(world, config), VIEWER)
    world.block(*direction)
    assert 4 not in shown(run(world, config), VIEWER)


@pytest.mark.parametrize(("expires_at", "is_shown"), [(None, False), (AS_OF + MICROSECOND, False), (AS_OF, True)])
def test_an_unexpired_mute_hides_actor_and_owner(world: World, expires_at: object, is_shown: bool) -> None:
    world.activity(1, FRIEND, "post")
    world.activity(2, OTHER, "reshare", on=1)
    world.mute(VIEWER, FRIEND, "all", expires_at)  # type: ignore[arg-type]
    assert shown(run(world), VIEWER) == [2, 1] * is_shown


def test_a_mute_of_reshares_hides_only_their_reshares(world: World) -> None:
    world.activity(1, FRIEND, "post")
    world.activity(2, FRIEND, "reshare", on=1)
    world.activity(3, OTHER, "reshare", on=1)
    world.mute(VIEWER, FRIEND, "reshares")
    assert shown(run(world), VIEWER) == [3, 1]


def test_the_reply_rule_all_shows_every_friends_reply(world: World) -> None:
    world.activity(1, STRANGER, "post")
    world.activity(2, FRIEND, "comment", on=1)
    assert shown(run(world), VIEWER) == []
    assert shown(run(world, FeedSettings(reply_rule="all")), VIEWER) == [2]


def test_the_viewers_own_reply_to_a_stranger_is_shown(world: World) -> None:
    world.activity(1, STRANGER, "post")
    world.activity(2, VIEWER, "comment", on=1)
    assert shown(run(world), VIEWER) == [2]


@pytest.mark.parametrize(("until", "is_shown"), [(None, True), (AS_OF, False), (AS_OF + MICROSECOND, True)])
def test_private_groups_are_for_members_only(world: World, until: object, is_shown: bool) -> None:
    world.group(7, is_private=True)
    world.member(7, VIEWER, until)  # type: ignore[arg-type]
    world.activity(1, FRIEND, "post", group_id=7)
    world.activity(2, OTHER, "reshare", on=1)
    world.activity(3, FRIEND, "group_join", object_type="group", object_id=7, object_owner_id=None)
    result = run(world)
    assert shown(result, VIEWER) == [2, 1] * is_shown
    assert (3 in shown(result, VIEWER, "ranked")) is is_shown


def test_what_is_on_a_hidden_object_is_not_shown(world: World) -> None:
    world.activity(1, FRIEND, "post")
    world.activity(2, OTHER, "comment", on=1)
    world.activity(3, OTHER, "comment", on=2)
    world.hide(VIEWER, "post", 1)
    assert shown(run(world), VIEWER) == [3]


def test_a_hide_of_a_comment_hides_that_comments_own_activity_too(world: World) -> None:
    world.activity(1, FRIEND, "post")
    world.activity(2, OTHER, "comment", on=1)
    world.activity(3, FRIEND, "comment", on=2)
    world.hide(VIEWER, "comment", 2)
    assert shown(run(world), VIEWER) == [1]
    assert 2 in shown(run(world), FRIEND)


@pytest.mark.parametrize(
    ("at", "is_shown"),
    [
        (AS_OF, False),
        (AS_OF - MICROSECOND, True),
        (AS_OF - timedelta(days=14), True),
        (AS_OF - timedelta(days=14) - MICROSECOND, False),
    ],
)
def test_the_window_is_half_open(world: World, at: object, is_shown: bool) -> None:
    world.activity(1, FRIEND, "post", at=at)
    assert shown(run(world), VIEWER) == [1] * is_shown


@pytest.mark.parametrize(
    ("last_seen_at", "has_feed"),
    [(None, True), (AS_OF - timedelta(days=30), True), (AS_OF - timedelta(days=30) - MICROSECOND, False)],
)
def test_viewers_not_seen_for_30_days_have_no_feed(world: World, last_seen_at: object, has_feed: bool) -> None:
    world.user(9, last_seen_at=last_seen_at)
    world.activity(1, 9, "post")
    result = run(world)
    assert bool(shown(result, 9)) is has_feed
    assert dict(result.counts[0].filtered)["dormant"] == (not has_feed)


def test_counts_say_what_each_rule_removed(world: World) -> None:
    world.activity(1, FRIEND, "post")
    world.mute(VIEWER, FRIEND)
    world.activity(2, STRANGER, "post")
    world.activity(3, FRIEND, "comment", on=2)
    world.delete(3)
    counts = {count.stage: count for count in run(world).counts}
    assert counts["shareable"].filtered["deleted"] == 1
    assert counts["eligible"].filtered["mute"] == 1
    assert counts["eligible"].rows_in == 4
    assert counts["eligible"].rows_out == 3
