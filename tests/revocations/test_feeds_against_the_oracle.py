"""What is left of a feed after revocations, against the slow oracle of 03.1 on the changed world."""

from __future__ import annotations

import copy
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.withholding import Withholding
from assets.published.feed import feed_list
from assets.published.rows import list_rows
from store.datasets import write_dataset
from store.revocations import Kind, Revocations
from store.serving import Dataset, DatasetInfo
from store.settings import FeedSettings
from store.tailer import Remembered
from tests.support.feed import World, examples, run
from tests.support.feed_oracle import Oracle
from tests.support.feed_worlds import fuzzed_world
from tests.support.revocations import revoke_something, write_revocations

MODES = {"feed": "ranked", "feed_chronological": "chronological"}
CARDS = ("post", "reshare", "comment", "reaction")


class Generation:
    """What ``Withholding`` asks of a generation."""

    def __init__(self, as_of):
        self.id, self.as_of = "g", as_of


def datasets_of(world: World, config: FeedSettings, folder: Path):
    """The feed datasets of a world as files, with the rows they were made of."""
    items, frames = run(world, config).tables["feed_items"], world.frames()
    viewers = items["viewer_id"].unique().sort()
    for name, mode in MODES.items():
        made = feed_list(items.lazy(), frames["staged_activities"], mode, config.reply_rule)
        write_dataset(folder / name, name, list_rows(made, viewers, envelope=None))
        info = DatasetInfo(name, "s", world.as_of, False, viewers.len(), 0, "", name)
        rows = items.filter(items["mode"] == mode).sort("viewer_id", "position").to_dicts()
        yield Dataset(info, folder / name), rows


def members(oracle: Oracle, item) -> list:
    """What the card's sampled actors did to its object, and the lead."""
    found = [oracle.activities[item["lead_activity_id"]]]
    if item["mode"] == "ranked" and item["verb"] in CARDS and item["actor_count"] > 1:
        verbs = {item["verb"], "reshare"} if item["verb"] == "post" else {item["verb"]}
        found += [
            a for a in oracle.activities.values()
            if a["verb"] in verbs and (a["object_type"], a["object_id"]) == (item["object_type"], item["object_id"])
            and a["actor_id"] in item["sample_actor_ids"]
            and item["first_activity_at"] <= a["created_at"] <= item["last_activity_at"]
        ]  # fmt: skip
    return found


def is_eligible(oracle: Oracle, activity, item) -> bool:
    viewer = item["viewer_id"]
    if item["reason"] == "suggested":
        return oracle.keeps_rules(activity, viewer)
    return oracle.eligible(activity, viewer)


def is_doubtful(narrowed: set[int], before: Oracle, item) -> bool:
    """An object narrowed to friends, whose owner's friendship with the viewer nothing in the item tells."""
    own = before.own(before.activities[item["lead_activity_id"]])
    touched = [a["id"] for a in members(before, item)] + ([] if own is None else [own["id"]])
    return bool(narrowed.intersection(touched))


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=examples(20, 1500))
@given(
    seed=st.integers(0, 10**9),
    many=st.integers(0, 12),
    config=st.builds(
        FeedSettings, reply_rule=st.sampled_from(["friends", "all"]), max_ranked=st.sampled_from([200, 7])
    ),
)
@example(seed=2316, many=2, config=FeedSettings())  # a deleted reshare that only its author ever saw
@example(
    seed=32686765, many=3, config=FeedSettings()
)  # an author who reshared their own post, and whose reshares are muted
def test_an_item_is_withheld_exactly_when_it_may_not_be_shown_any_more(seed, many, config):
    before, rng = fuzzed_world(seed), random.Random(seed)
    after = copy.deepcopy(before)
    facts = [fact for _ in range(many) if (fact := revoke_something(after, rng)) is not None]
    narrowed = {fact.subject for fact in facts if fact.kind == Kind.NARROWED}
    gone = {fact.subject for fact in facts if fact.kind in (Kind.GONE, Kind.ERASED)}
    remembered = Remembered(overlap=10**12)
    for fact in facts:
        remembered.learn(fact, fact.changed_at)
    then, now = Oracle(before, config), Oracle(after, config)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_revocations(home, remembered.entries())
        revocations = Revocations(home, "required", 10**9)
        revocations.refresh()
        withholding, generation = Withholding(revocations), Generation(before.as_of)
        for dataset, rows in datasets_of(before, config, home):
            for item in rows:
                viewer = item["viewer_id"]
                assert withholding.is_gone(generation, viewer) == (viewer in gone)
                row = dataset.find(viewer)
                mine = [other["item_id"] for other in rows if other["viewer_id"] == viewer]
                is_shown = mine.index(item["item_id"]) not in withholding.of(generation, dataset, row).places
                if viewer in gone:
                    continue
                lead, *others = members(then, item)
                may_show = is_eligible(now, now.activities[lead["id"]], item)
                lost = [a for a in others if is_eligible(then, a, item)
                        and not is_eligible(now, now.activities[a["id"]], item)]  # fmt: skip
                is_doubted = is_doubtful(narrowed, then, item)
                if is_shown:
                    assert may_show, (facts, item)
                    kept = [now.activities[a["id"]] for a in others]
                    acting = {a["actor_id"] for a in kept if is_eligible(now, a, item)}
                    assert acting >= {a["actor_id"] for a in others if is_eligible(then, a, item)}, (facts, item)
                else:
                    is_explained = lost or is_doubted or _has_muted_or_left_actor(now, item)
                    unseen = [now.activities[a["id"]] for a in others if not is_eligible(then, a, item)]
                    assert not may_show or is_explained or _is_touched(then, now, unseen, viewer), (facts, item)


def _is_touched(then: Oracle, now: Oracle, activities: list, viewer: int) -> bool:
    """A fact about what a sampled actor did to the object where this viewer never saw it: guards are the card's."""
    return any(
        a["deleted_at"] is not None
        or (viewer, "comment", a["id"]) in now.hides
        or ((viewer, a["group_id"]) in then.members and (viewer, a["group_id"]) not in now.members)
        or any(
            frozenset((viewer, person)) in now.blocks
            for person in (a["actor_id"], a["reply_to_user_id"], *a["mentioned_user_ids"])
        )
        for a in activities
    )


def _has_muted_or_left_actor(now: Oracle, item) -> bool:
    """A sampled actor who may not be shown to the viewer at all takes the card along, whatever they did."""
    viewer = item["viewer_id"]
    return any(
        (viewer, actor, scope) in now.mutes or frozenset((viewer, actor)) in now.blocks or actor not in now.active
        or (actor != viewer and actor not in now.friends[viewer])
        for actor in item["sample_actor_ids"] for scope in ("all", "reshares")
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_without_revocations_nothing_is_withheld(seed, tmp_path):
    world = fuzzed_world(seed)
    write_revocations(tmp_path)
    revocations = Revocations(tmp_path, "required", 10**9)
    revocations.refresh()
    withholding, generation = Withholding(revocations), Generation(world.as_of)
    for dataset, _ in datasets_of(world, FeedSettings(), tmp_path):
        assert not any(withholding.of(generation, dataset, row).places for row in range(dataset.rows))
