"""Behaviour cases A17-A28 in our words; A20 and A24 are of delivery and stand with it."""

from __future__ import annotations

from datetime import time, timedelta

from tests.support.digests import Runs, World, at, item_ids, one, reader, statuses

AS_OF = at("2026-05-10T09:10")
YESTERDAY = at("2026-05-09T20:00")
DAY = timedelta(days=1)


def _world(**schedule: int) -> World:
    world = World()
    reader(world, local_time=time(9), **schedule)
    for person in range(2, 20):
        world.user(person)
    return world


def test_a17_a_second_run_within_the_guard_selects_nobody() -> None:
    world, runs = _world(), Runs()
    world.notification(1, YESTERDAY, actor_id=2)
    assert statuses(runs.run(world, AS_OF)) == ["built"]
    assert runs.run(world, AS_OF + timedelta(hours=1)).tables["digests"].is_empty()


def test_a18_five_messages_by_five_people_are_one_group() -> None:
    world = _world()
    for actor in range(2, 7):
        world.notification(1, YESTERDAY, actor_id=actor)
    group = one(Runs().run(world, AS_OF).tables["digest_groups"])
    assert (group["item_count"], group["actor_count"], len(group["sample_actor_ids"])) == (5, 5, 3)


def test_a19_an_event_at_window_start_is_in_and_at_window_end_out() -> None:
    world, runs = _world(), Runs()
    first = world.notification(1, at("2026-05-09T09:00"), actor_id=2)
    last = world.notification(1, at("2026-05-10T09:00"), actor_id=2)
    result = runs.run(world, AS_OF)
    assert item_ids(result) == [first["id"]]
    assert result.tables["digest_items"]["is_late"].to_list() == [False]
    assert item_ids(runs.run(world, AS_OF + DAY)) == [last["id"]]


def test_a20_a_run_with_one_of_two_readers_settled_adds_only_the_other() -> None:
    world, runs = _world(), Runs()
    runs.run(world, AS_OF)
    reader(world, 30, local_time=time(9, 30))
    assert one(runs.run(world, AS_OF + DAY / 24).tables["digests"])["user_id"] == 30
    assert runs.run(world, AS_OF + DAY / 12).tables["digests"].is_empty()


def test_a21_no_items_no_message_but_the_reader_is_settled() -> None:
    world, runs = _world(), Runs()
    result = runs.run(world, AS_OF)
    assert statuses(result) == ["skipped_empty"]
    assert result.tables["digest_bodies"].is_empty()
    assert one(result.tables["digest_streams"])["last_closed_end"] == at("2026-05-10T09:00")


def test_a22_a_reader_matched_twice_gets_one_digest() -> None:
    world = _world()
    world.notification(1, YESTERDAY, actor_id=2, category="reaction")
    world.notification(1, YESTERDAY, actor_id=2, category="comment", verb="comment")
    assert statuses(Runs().run(world, AS_OF)) == ["built"]


def test_a23_deleted_posts_and_posts_of_deleted_authors_leave_no_mail() -> None:
    world = _world()
    world.tables["staged_users"][2]["status"] = "deleted"
    for author, deleted_at in ((2, AS_OF), (3, None)):
        post = world.activity(author, deleted_at=deleted_at)
        world.notification(1, YESTERDAY, actor_id=4, object_type="post", object_id=post["id"])
    assert statuses(Runs().run(world, AS_OF)) == ["skipped_empty"]


def test_a24_a_digest_has_a_text_and_an_html_part() -> None:
    world = _world()
    world.notification(1, YESTERDAY, actor_id=2)
    body = one(Runs().run(world, AS_OF).tables["digest_bodies"])
    assert body["text"].strip()
    assert body["html"].startswith("<!DOCTYPE html>")


def test_a25_two_group_keys_are_one_digest_with_two_groups() -> None:
    world = _world()
    for verb in ("k1", "k1", "k2"):
        world.notification(1, YESTERDAY, actor_id=2, verb=verb)
    result = Runs().run(world, AS_OF)
    assert statuses(result) == ["built"]
    assert sorted(result.tables["digest_groups"]["item_count"].to_list()) == [1, 2]


def test_a26_ten_events_at_one_instant_are_one_digest_with_all_ten() -> None:
    world = _world()
    notes = [world.notification(1, YESTERDAY, actor_id=2 + n) for n in range(10)]
    assert item_ids(Runs().run(world, AS_OF)) == [note["id"] for note in notes]


def test_a27_an_item_read_before_the_hour_is_dropped_and_nothing_is_sent() -> None:
    world = _world()
    world.notification(1, YESTERDAY, actor_id=2, read_at=at("2026-05-10T08:00"))
    assert statuses(Runs().run(world, AS_OF)) == ["skipped_empty"]


def test_a28_seventeen_queued_five_shown_twelve_more() -> None:
    world = _world(max_groups=5)
    for n in range(17):
        world.notification(1, YESTERDAY, actor_id=2, verb=f"v{n:02}")
    row = one(Runs().run(world, AS_OF).tables["digests"])
    assert (row["eligible_count"], row["more_count"]) == (17, 12)
