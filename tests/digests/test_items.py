"""4.3: which notifications stand in a digest, how they are folded, ordered and counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta
from typing import Any

import pytest

from assets.digests.items import crossing_id
from tests.support.digests import LONG_AGO, Runs, World, at, item_ids, one, reader, statuses

H = timedelta(hours=1)
AS_OF = at("2026-05-10T09:10")
YESTERDAY = at("2026-05-09T20:00")


def _world(**schedule: Any) -> World:
    world = World()
    reader(world, local_time=time(9), **schedule)
    for person in (2, 3, 4, 5, 6):
        world.user(person)
    return world


def _is_in(world: World, **note: Any) -> bool:
    """Whether one notification of yesterday evening stands in today's digest."""
    row = world.notification(1, **({"created_at": YESTERDAY, "actor_id": 2} | note))
    return row["id"] in item_ids(Runs().run(world, AS_OF))


def test_a_plain_unread_notification_is_in() -> None:
    assert _is_in(_world())


@pytest.mark.parametrize(
    ("created", "expected"),
    [("2026-05-09T09:00", True), ("2026-05-10T09:00", False), ("2026-05-07T09:00", True), ("2026-05-07T08:59", False)],
)
def test_the_window_is_half_open_and_late_reaches_48_hours_before_it(created: str, expected: bool) -> None:
    assert _is_in(_world(), created_at=at(created)) is expected


def test_a_late_item_is_marked_and_counted() -> None:
    world = _world()
    world.notification(1, at("2026-05-09T08:59"), actor_id=2)
    world.notification(1, at("2026-05-09T09:00"), actor_id=2)
    result = Runs().run(world, AS_OF)
    assert result.tables["digest_items"].sort("notification_id")["is_late"].to_list() == [True, False]
    assert one(result.tables["digests"])["late_count"] == 1


def test_nothing_from_before_the_schedule_was_enabled() -> None:
    world = _world(enabled_at=at("2026-05-09T12:00"))
    assert not _is_in(world, created_at=at("2026-05-09T11:59"))
    assert _is_in(world, created_at=at("2026-05-09T12:00"))


REFUSED: list[dict[str, Any]] = [
    {"read_at": AS_OF},
    {"deleted_at": AS_OF + H},
    {"sent_channels": ["push", "email"]},
    {"priority": "critical"},
    {"actor_id": 1},
    {"category": "security"},
    {"object_type": "post", "object_id": 404},
    {"object_type": "group", "object_id": 404},
    {"object_type": "user", "object_id": 404},
    {"object_type": "post", "object_id": None},
    {"actor_id": 404},
]
KEPT: list[dict[str, Any]] = [
    {"read_at": AS_OF + H},
    {"sent_channels": ["push"]},
    {"actor_id": None},
    {"object_type": "user", "object_id": 3},
    {"object_type": "user", "object_id": 1},
]


@pytest.mark.parametrize("note", REFUSED)
def test_a_notification_the_rules_refuse_is_out(note: dict[str, Any]) -> None:
    assert not _is_in(_world(), **note)


@pytest.mark.parametrize("note", KEPT)
def test_a_notification_the_rules_keep_is_in(note: dict[str, Any]) -> None:
    assert _is_in(_world(), **note)


def _on_post(author: int = 3, **values: Any) -> Callable[[World], dict[str, Any]]:
    def prepare(world: World) -> dict[str, Any]:
        return {"object_type": "post", "object_id": world.activity(author, **values)["id"]}

    return prepare


def test_the_owner_of_the_object_must_be_active() -> None:
    world = _world()
    world.tables["staged_users"][2]["status"] = "deactivated"
    assert not _is_in(world, **_on_post(3)(world))


@pytest.mark.parametrize("pair", [(1, 2), (2, 1), (1, 3), (3, 1)])
def test_a_block_either_way_with_actor_or_owner_keeps_it_out(pair: tuple[int, int]) -> None:
    world = _world()
    world.block(*pair)
    assert not _is_in(world, **_on_post(3)(world))


@pytest.mark.parametrize(
    ("muted", "scope", "expires", "verb", "expected"),
    [
        (2, "all", None, "reaction", False),
        (3, "all", None, "reaction", False),
        (2, "all", AS_OF, "reaction", True),
        (2, "all", AS_OF + H, "reaction", False),
        (2, "reshares", None, "reaction", True),
        (2, "reshares", None, "reshare", False),
        (3, "reshares", None, "reshare", True),
    ],
)
def test_a_running_mute_keeps_it_out(muted: int, scope: str, expires: Any, verb: str, expected: bool) -> None:
    world = _world()
    world.mute(1, muted, scope, expires)
    assert _is_in(world, verb=verb, **_on_post(3)(world)) is expected


def test_a_mute_by_the_other_side_plays_no_part() -> None:
    world = _world()
    world.mute(2, 1)
    assert _is_in(world)


@pytest.mark.parametrize(
    ("audience", "is_friend", "expected"),
    [("public", False, True), ("friends", False, False), ("friends", True, True), ("only_me", True, False)],
)
def test_the_audience_of_the_post_must_admit_the_reader(audience: str, is_friend: bool, expected: bool) -> None:
    world = _world()
    if is_friend:
        world.friends(1, 3)
    assert _is_in(world, **_on_post(3, audience=audience)(world)) is expected


def test_a_reader_is_admitted_to_their_own_post() -> None:
    world = _world()
    assert _is_in(world, **_on_post(1, audience="only_me", object_audience="only_me")(world))


def test_a_friendship_that_ended_admits_nobody() -> None:
    world = _world()
    world.friends(1, 3, ended_at=AS_OF - H)
    assert not _is_in(world, **_on_post(3, audience="friends")(world))


@pytest.mark.parametrize(("friend_of", "expected"), [(3, False), (4, True), (5, False)])
def test_the_parent_of_a_comment_is_judged_by_its_own_owner(friend_of: int, expected: bool) -> None:
    world = _world()
    world.friends(1, friend_of)
    parent = world.activity(4, audience="friends", object_audience="friends")
    comment = world.activity(3, "comment", object_id=parent["id"], object_owner_id=5, object_audience="friends")
    assert _is_in(world, object_type="comment", object_id=comment["id"]) is expected


@pytest.mark.parametrize(("is_private", "is_member", "expected"),
                         [(False, False, True), (True, False, False), (True, True, True)])  # fmt: skip
def test_a_post_in_a_private_group_is_for_members(is_private: bool, is_member: bool, expected: bool) -> None:
    world = _world()
    world.group(900, is_private)
    if is_member:
        world.member(900, 1)
    assert _is_in(world, **_on_post(3, group_id=900)(world)) is expected


def test_who_left_a_private_group_is_no_member() -> None:
    world = _world()
    world.group(900, is_private=True)
    world.member(900, 1, left_at=AS_OF - H)
    assert not _is_in(world, **_on_post(3, group_id=900)(world))


def test_a_group_must_exist_and_nothing_else_is_asked_of_it() -> None:
    world = _world()
    world.group(900, is_private=True)
    assert _is_in(world, verb="group_join", object_type="group", object_id=900)


def test_a_deleted_post_is_gone() -> None:
    world = _world()
    assert not _is_in(world, **_on_post(3, deleted_at=AS_OF)(world))


def test_hides_and_mentions_play_no_part() -> None:
    world = _world()
    world.block(1, 6)
    assert _is_in(world, **_on_post(3, mentioned_user_ids=[6])(world))


def test_of_one_dedupe_key_the_latest_is_in_and_an_earlier_one_never_follows() -> None:
    world, runs = _world(), Runs()
    world.notification(1, YESTERDAY, actor_id=2, dedupe_key="k")
    newest = world.notification(1, YESTERDAY + H, actor_id=2, dedupe_key="k")
    assert item_ids(runs.run(world, AS_OF)) == [newest["id"]]
    world.notification(1, YESTERDAY + H / 2, actor_id=2, dedupe_key="k")
    assert statuses(runs.run(world, AS_OF + 24 * H)) == ["skipped_empty"]
    again = world.notification(1, AS_OF + 30 * H, actor_id=2, dedupe_key="k")
    assert item_ids(runs.run(world, AS_OF + 48 * H)) == [again["id"]]


@pytest.mark.parametrize(("later_id", "expected"), [(True, True), (False, False)])
def test_of_one_dedupe_key_and_instant_only_a_higher_id_follows(later_id: bool, expected: bool) -> None:
    world, runs = _world(), Runs()
    world.notification(1, YESTERDAY, actor_id=2, dedupe_key="k", id=50)
    assert item_ids(runs.run(world, AS_OF)) == [50]
    world.notification(1, YESTERDAY, actor_id=2, dedupe_key="k", id=60 if later_id else 40)
    assert bool(item_ids(runs.run(world, AS_OF + 24 * H))) is expected


def test_a_dedupe_key_of_an_item_delivered_under_another_kind_counts() -> None:
    world, runs = _world(), Runs()
    world.notification(1, YESTERDAY + H, actor_id=2, dedupe_key="k")
    runs.run(world, AS_OF)
    world.schedule(1, "weekly", time(10), week_day=1)
    for preference in world.tables["staged_notification_preferences"]:
        preference["mode"] = "weekly"
    world.notification(1, YESTERDAY, actor_id=2, dedupe_key="k")
    fresh = world.notification(1, YESTERDAY, actor_id=2)
    assert item_ids(runs.run(world, at("2026-05-11T10:10"))) == [fresh["id"]]


def test_a_notification_is_in_one_digest_per_channel() -> None:
    world = _world()
    world.preference(1, "reaction", "daily", "push")
    note = world.notification(1, YESTERDAY, actor_id=2)
    result = Runs().run(world, AS_OF)
    assert item_ids(result) == [note["id"]] * 2
    assert sorted(result.tables["digests"]["channel"].to_list()) == ["email", "push"]


def test_two_kinds_of_one_channel_due_together_share_a_dedupe_key_in_order() -> None:
    world = World()
    world.user(1)
    world.user(2)
    for kind in ("daily", "weekdays"):
        world.schedule(1, kind)
    world.preference(1, "reaction", "daily")
    world.preference(1, "comment", "weekdays")
    daily = world.notification(1, at("2026-05-10T20:00"), actor_id=2, dedupe_key="k")
    world.notification(1, at("2026-05-10T19:00"), actor_id=2, dedupe_key="k", category="comment", verb="comment")
    result = Runs().run(world, at("2026-05-11T09:10"))
    assert item_ids(result) == [daily["id"]]
    assert statuses(result) == ["built", "skipped_empty"]


def test_a_usage_threshold_crossing_enters_as_a_billing_item_with_a_stable_negative_id() -> None:
    world, runs = _world(), Runs()
    world.crossing(1, YESTERDAY, "storage", 80)
    expected = crossing_id(1, "storage", LONG_AGO, 80)
    result = runs.run(world, AS_OF)
    assert expected < 0
    assert item_ids(result) == [expected]
    group = one(result.tables["digest_groups"])
    assert (group["category"], group["verb"], group["group_key"]) == ("billing", "limit_reached", "limit_reached||")
    assert group["text"] == "You have used 80% of your storage allowance"
    assert statuses(runs.run(world, AS_OF + 24 * H)) == ["skipped_empty"]


def test_groups_are_ordered_by_priority_then_actors_then_time_then_key() -> None:
    world = _world()
    world.notification(1, YESTERDAY, actor_id=2, verb="b")
    world.notification(1, YESTERDAY, actor_id=2, verb="a")
    world.notification(1, YESTERDAY + H, actor_id=2, verb="late")
    for actor in (2, 3):
        world.notification(1, YESTERDAY, actor_id=actor, verb="crowd")
    world.notification(1, YESTERDAY, actor_id=None, verb="urgent", priority="high")
    groups = Runs().run(world, AS_OF).tables["digest_groups"].sort("rank")
    assert groups["verb"].to_list() == ["urgent", "crowd", "late", "a", "b"]
    assert groups["rank"].to_list() == [1, 2, 3, 4, 5]
    assert groups["actor_count"].to_list() == [0, 2, 1, 1, 1]


def test_sample_actors_are_the_newest_then_the_smallest_ids() -> None:
    world = _world()
    for actor, when in ((2, YESTERDAY), (3, YESTERDAY + H), (5, YESTERDAY), (4, YESTERDAY), (2, YESTERDAY - H)):
        world.notification(1, when, actor_id=actor)
    group = one(Runs().run(world, AS_OF).tables["digest_groups"])
    assert (group["item_count"], group["actor_count"]) == (5, 4)
    assert group["sample_actor_ids"] == [3, 2, 4]
    assert (
        group["text"] == "Person 3 and 3 others: 5 updates about reactions" or "Person 3 and 3 others" in group["text"]
    )


def test_the_cut_hides_groups_and_loses_nothing() -> None:
    world = _world(max_groups=2)
    for verb, count in (("a", 3), ("b", 2), ("c", 1), ("d", 1)):
        for n in range(count):
            world.notification(1, YESTERDAY + n * H / 60, actor_id=2 + n, verb=verb)
    result = Runs().run(world, AS_OF)
    row = one(result.tables["digests"])
    assert (row["eligible_count"], row["group_count"], row["more_count"]) == (7, 4, 2)
    assert result.tables["digest_groups"]["item_count"].to_list() == [3, 2]
    assert result.tables["digest_items"].height == 7
    assert "And 2 more notifications." in one(result.tables["digest_bodies"])["text"]
