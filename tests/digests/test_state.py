"""What one run hands to the next: history, pruning, erasure; and same input, same bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from random import Random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.digests.product import CONTRACTS, digests
from quality.digests import digest_truths
from tests.support.digest_worlds import Story
from tests.support.digests import Runs, World, at, one, reader

AS_OF = at("2026-05-10T09:10")
YESTERDAY = at("2026-05-09T20:00")
DAY = timedelta(days=1)


def _world() -> World:
    world = World()
    reader(world, local_time=time(9))
    for person, name in ((2, "Baby Yang"), (3, "Tom & Jerry"), (4, "Ada")):
        world.user(person, display_name=name)
    return world


def test_the_history_serves_a_built_digest_whole() -> None:
    world, runs = _world(), Runs()
    post = world.activity(1)
    notes = [world.notification(1, YESTERDAY, actor_id=n, object_type="post", object_id=post["id"]) for n in (2, 3)]
    result = runs.run(world, AS_OF)
    row = one(result.tables["digest_history"])
    digest, body = one(result.tables["digests"]), one(result.tables["digest_bodies"])
    assert {name: row[name] for name in digest if name in row} == {k: v for k, v in digest.items() if k in row}
    assert (row["text"], row["html"]) == (body["text"], body["html"])
    group = one(pl.DataFrame(row["groups"]))
    assert group["notification_ids"] == [note["id"] for note in notes]
    assert group["principal_ids"] == [1, 2, 3]
    assert group["text"] == "Baby Yang and Tom & Jerry liked your post"


def test_the_history_keeps_stored_bytes_for_90_days() -> None:
    world, runs = _world(), Runs()
    world.notification(1, YESTERDAY, actor_id=2)
    first = one(runs.run(world, AS_OF).tables["digest_history"])
    world.tables["staged_users"][1]["display_name"] = "Renamed"
    assert one(runs.run(world, AS_OF + 89 * DAY).tables["digest_history"]) == first
    assert runs.run(world, AS_OF + 91 * DAY).tables["digest_history"].is_empty()


def test_an_erased_reader_leaves_the_state() -> None:
    world, runs = _world(), Runs()
    world.notification(1, YESTERDAY, actor_id=2)
    runs.run(world, AS_OF)
    world.erase(1)
    result = runs.run(world, AS_OF + DAY)
    assert all(result.tables[name].is_empty() for name in CONTRACTS)


def test_an_erased_actor_leaves_the_history_and_its_bodies() -> None:
    world, runs = _world(), Runs()
    post = world.activity(1)
    for actor in (3, 2, 4):
        world.notification(1, YESTERDAY, actor_id=actor, object_type="post", object_id=post["id"])
    world.notification(1, YESTERDAY, actor_id=3, verb="friend_add", object_type="user", object_id=3, category="social")
    world.notification(1, YESTERDAY, actor_id=4, verb="comment", object_type="post", object_id=post["id"])
    before = one(runs.run(world, AS_OF).tables["digest_history"])
    assert "Tom &amp; Jerry" in before["html"]
    world.erase(3)
    world.tables["staged_users"] = [row for row in world.tables["staged_users"] if row["id"] != 3]
    after = one(runs.run(world, AS_OF + DAY).tables["digest_history"])
    assert "Jerry" not in str(after)
    assert [3 in [*g["principal_ids"], *g["sample_actor_ids"], g["object_id"]] for g in after["groups"]] == [False] * 3
    assert [g["text"] for g in after["groups"]] == [
        "Baby Yang and 2 others liked your post",
        "Ada commented on your post",
        "Someone is now your friend",
    ]
    assert all(g["text"] in after["text"] for g in after["groups"])
    assert after["content_hash"] != before["content_hash"]
    assert after["subject"] == before["subject"]


def test_what_no_later_window_can_reach_is_not_carried() -> None:
    world, runs = _world(), Runs()
    world.notification(1, YESTERDAY, actor_id=2)
    assert runs.run(world, AS_OF).tables["digest_delivered"].height == 1
    assert runs.run(world, AS_OF + 18 * DAY).tables["digest_delivered"].height == 1
    result = runs.run(world, AS_OF + 40 * DAY)
    assert result.tables["digest_delivered"].is_empty()
    assert len(one(result.tables["digest_streams"])["settled_days"]) == 3, "the dates the floor of 72 h reaches"


def test_a_stream_that_pauses_to_exist_is_remembered() -> None:
    world, runs = _world(), Runs()
    runs.run(world, AS_OF)
    preferences = world.tables["staged_notification_preferences"]
    world.tables["staged_notification_preferences"] = []
    assert runs.run(world, AS_OF + DAY).tables["digests"].is_empty()
    world.tables["staged_notification_preferences"] = preferences
    rows = runs.run(world, AS_OF + 2 * DAY).tables["digests"].sort("due_at")
    assert rows["status"].to_list() == ["expired", "skipped_empty"]
    assert rows["window_start"].to_list()[1] == at("2026-05-10T09:00")


def _shuffled(runs: Runs, story: Story, seed: int) -> Runs:
    """The same inputs, every table in another row order."""
    random = Random(seed)
    for rows in (*story.world.tables.values(), story.world.crossings):
        random.shuffle(rows)
    twin = Runs(runs.config)
    twin.previous_as_of = runs.previous_as_of
    twin.state = {name: frame.sample(fraction=1, shuffle=True, seed=seed) for name, frame in runs.state.items()}
    return twin


@given(st.integers(0, 10**9))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_row_order_does_not_matter(seed: int) -> None:
    story, runs = Story(seed), Runs()
    for _ in range(4):
        runs.run(story.world, story.step())
    as_of = story.step()
    twin = _shuffled(runs, story, seed)
    found, again = runs.run(story.world, as_of), twin.run(story.world, as_of)
    for name, frame in found.tables.items():
        assert frame.equals(again.tables[name]), name
    assert found.counts == again.counts


@pytest.mark.parametrize("seed", [3, 4])
def test_a_replay_of_history_gives_the_same_rows(seed: int) -> None:
    story, steps = Story(seed), []
    for _ in range(6):
        as_of = story.step()
        steps.append((story.world.copy(), as_of))
    first, second = Runs(), Runs()
    for world, as_of in steps:
        one_run, other = first.run(world, as_of), second.run(world, as_of)
        assert all(frame.equals(other.tables[name]) for name, frame in one_run.tables.items())
        inputs = replace(first.inputs(world, as_of), previous_as_of=None)
        assert digests.compute(inputs).tables["digests"].is_empty(), "what is settled is not settled again"


def test_the_truths_between_the_tables_name_what_breaks_them() -> None:
    world = _world()
    world.notification(1, YESTERDAY, actor_id=2)
    tables = dict(Runs().run(world, AS_OF).tables)
    assert not any(digest_truths(tables).values())
    wrong = tables | {"digests": tables["digests"].with_columns(more_count=pl.lit(1, pl.Int64))}
    assert [f.rule for f in digest_truths(wrong)["digests"]] == ["eligible = rendered + more"]
    lost = tables | {"digest_items": tables["digest_items"].clear(), "digest_bodies": tables["digest_bodies"].clear()}
    assert [f.rule for f in digest_truths(lost)["digests"]] == [
        "eligible items are listed",
        "a built digest has a body",
    ]
    paused = tables | {"digests": tables["digests"].with_columns(status=pl.lit("paused"))}
    assert {name for name, found in digest_truths(paused).items() if found} == {
        "digest_groups",
        "digest_items",
        "digest_bodies",
    }
