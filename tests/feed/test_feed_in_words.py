"""A computed feed, as the demo tells it: who did what, when, and why it is here."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest

from store.payloads.feed_words import Teller, span
from tests.support.feed import AS_OF, World, run

NAMES = {1: "Ann", 2: "Bob", 3: "Cleo", 4: "Dan", 5: "Eve", 6: "Finn", 20: "Tess"}


@pytest.fixture
def world() -> World:
    """Ann (1) with friends 2 … 6; Tess (20) is a friend of Bob's."""
    world = World()
    world.user(*NAMES)
    for friend in range(2, 7):
        world.friends(1, friend)
    world.friends(2, 20)
    return world


def told(world: World, viewer: int = 1, mode: str = "ranked") -> list[tuple[str, str]]:
    """(line, why) of every item."""
    items = run(world).tables["feed_items"].filter((pl.col("viewer_id") == viewer) & (pl.col("mode") == mode))
    activities = {row["id"]: row for row in world.table("activities")}
    teller = Teller(viewer, world.as_of, NAMES, {5: "Chess"}, activities)
    return [(teller.line(row), teller.why(row)) for row in items.iter_rows(named=True)]


def says(text: str) -> dict[str, str]:
    return {"body": json.dumps({"text": text})}


def test_a_friends_post_says_who_when_and_why(world: World) -> None:
    world.activity(10, 2, "post", ago=3, **says("Hello"))
    assert told(world) == [("Bob posted “Hello”  (3 h ago)", "Bob is your friend")]
    assert told(world, mode="chronological") == told(world)


def test_a_stranger_is_suggested_with_the_reason(world: World) -> None:
    world.activity(10, 20, "post", ago=72, **says("Hello"))
    assert told(world) == [
        ("Tess posted “Hello”  (3 days ago)", "suggested: Tess is a friend of your friends, and this is public")
    ]


def test_shares_of_a_post_name_its_author_once(world: World) -> None:
    world.activity(10, 2, "post", ago=9, **says("Hello"))
    world.activity(11, 3, "reshare", on=10, ago=8)
    world.activity(12, 4, "reshare", on=10, ago=7)
    ((line, why),) = told(world)
    assert line == "Bob posted “Hello”, shared by Dan and Cleo  (7 h ago)"
    assert why.startswith("Dan, the latest, is your friend · 6 points of response")


def test_words_of_a_shared_card_are_the_latest_speakers(world: World) -> None:
    world.activity(10, 20, "post", ago=9, **says("Hello"))
    for id_, actor in ((11, 2), (12, 3), (13, 1)):
        world.activity(id_, actor, "comment", on=10, ago=20 - id_, **says(f"Word {id_}"))
        world.rows["activities"][-1]["reply_to_user_id"] = None
    lines = [line for line, _ in told(world)]
    assert "You, Cleo and Bob commented on Tess's post, you last: “Word 13”  (7 h ago)" in lines


def test_nobody_is_told_of_themself_in_the_third_person(world: World) -> None:
    world.activity(10, 1, "post", ago=30, **says("Mine"))
    world.activity(11, 1, "reaction", on=10, ago=20)
    world.activity(12, 2, "reaction", on=10, ago=19)
    world.activity(13, 2, "post", ago=10, **says("Bob's"))
    world.activity(14, 2, "comment", on=13, ago=9, **says("Me again"))
    world.activity(15, 1, "comment", on=10, ago=8, **says("And me"))
    lines = [line for line, _ in told(world)]
    assert "You and Bob reacted to your post “Mine”  (19 h ago)" in lines
    assert "Bob commented on their own post: “Me again”  (9 h ago)" in lines
    assert "You commented on your own post: “And me”  (8 h ago)" in lines
    assert not [line for line in lines if "Ann" in line]


def test_more_than_three_people_are_counted_in_good_grammar(world: World) -> None:
    world.activity(10, 20, "post", ago=50, **says("Hello"))
    for id_, actor in ((11, 2), (12, 3), (13, 4), (14, 5)):
        world.activity(id_, actor, "reaction", on=10, ago=30 - id_)
    lines = [line for line, _ in told(world)]
    assert "Eve, Dan, Cleo and 1 other reacted to Tess's post “Hello”  (16 h ago)" in lines
    world.activity(15, 6, "reaction", on=10, ago=15)
    assert "Finn, Eve, Dan and 2 others reacted to Tess's post “Hello”  (15 h ago)" in [line for line, _ in told(world)]


def test_a_days_new_friends_and_groups_name_the_newest_and_tell_of_more(world: World) -> None:
    world.group(5)
    noon = AS_OF - timedelta(days=2)
    user = {"object_type": "user", "object_owner_id": None}
    world.activity(10, 2, "friend_add", object_id=20, at=noon, **user)
    world.activity(11, 2, "friend_add", object_id=1, at=noon + timedelta(hours=1), **user)
    world.activity(12, 3, "group_join", object_type="group", object_id=5, object_owner_id=None, at=noon)
    lines = [line for line, _ in told(world)]
    assert "Bob became friends with you, after somebody else that day  (47 h ago)" in lines
    assert "Cleo joined Chess  (2 days ago)" in lines


def test_why_reads_the_parts_of_the_score_back(world: World) -> None:
    world.activity(10, 2, "post", ago=9, **says("Older"))
    world.activity(11, 2, "post", ago=5, **says("Newer"))
    world.activity(12, 1, "reaction", on=10, ago=3)
    world.activity(13, 1, "reaction", on=11, ago=2)
    whys = dict(told(world))
    assert whys["Bob posted “Newer”  (5 h ago)"] == ("Bob is your friend · in touch twice lately · 1 point of response")
    assert whys["Bob posted “Older”  (9 h ago)"].endswith("held back by newer things of Bob")


def test_what_has_no_words_is_not_quoted(world: World) -> None:
    world.activity(10, 2, "post", ago=3)
    world.activity(11, 3, "reaction", on=10, ago=2)
    lines = [line for line, _ in told(world)]
    assert set(lines) == {"Bob posted something without words  (3 h ago)", "Cleo reacted to Bob's post  (2 h ago)"}


@pytest.mark.parametrize(("seconds", "told"), [
    (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (172_799, "47 h"), (172_800, "2 days"),
    (14_431_723, "167 days"),
])  # fmt: skip
def test_a_length_of_time_is_told_in_one_unit(seconds: float, told: str) -> None:
    assert span(seconds) == told
