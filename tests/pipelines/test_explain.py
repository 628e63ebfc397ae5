"""What ``flowforge explain`` finds out equals the products and the slow oracles, person by person."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from assets.digests.due import due_table
from assets.feed.product import feed
from assets.frame import Inputs, StageCount
from assets.friends.config import FILTERS
from assets.friends.scoring import after_impressions
from pipelines.explain import digests, entitlements, friends
from pipelines.explain import feed as feeds
from store.payloads.words import REMOVED, STAGES
from store.settings import FeedSettings, FriendsSettings
from tests.support import friends as friend_worlds
from tests.support import premium as premium_worlds
from tests.support.digest_worlds import Story
from tests.support.digests import Runs
from tests.support.feed import World, frame_of, run
from tests.support.feed_oracle import Oracle
from tests.support.feed_worlds import fuzzed_world
from tests.support.friends_fuzzed import fuzzed
from tests.support.friends_oracle import Oracle as FriendsOracle

QUIET = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 10**9)


def feed_inputs(world: World, config: FeedSettings) -> Inputs[FeedSettings]:
    nothing = {name: frame_of(name, []).lazy() for name in feed.tables}
    return Inputs(world.frames(), nothing, None, config, world.as_of)


def by_name(counts: tuple[StageCount, ...]) -> dict[str, StageCount]:
    return {count.stage: count for count in counts}


@QUIET
@given(seed=seeds, cap=st.sampled_from([20, 2, 1]), longest=st.sampled_from([200, 4]))
def test_a_feed_is_explained_as_it_was_computed_and_nothing_is_lost_on_the_way(seed: int, cap: int, longest: int):
    world, config = fuzzed_world(seed), FeedSettings(max_per_actor=cap, max_ranked=longest)
    oracle, stored = Oracle(world, config), run(world, config).tables["feed_items"]
    for viewer in oracle.viewers[:4]:
        told = feeds.found(feed_inputs(world, config), viewer)
        assert_frame_equal(told.items, stored.filter(pl.col("viewer_id") == viewer))
        counts = by_name(told.counts)
        circle = {viewer, *oracle.friends[viewer]}
        assert counts["circle"].rows_in == sum(a["actor_id"] in circle for a in world.table("activities"))
        assert counts["circle"].rows_out == sum(a["actor_id"] in circle for a in oracle.in_window())
        assert counts["shareable"].rows_in == counts["circle"].rows_out
        assert counts["eligible"].rows_in == counts["shareable"].rows_out
        assert counts["eligible"].rows_out == sum(oracle.eligible(a, viewer) for a in oracle.in_window())
        for mode in ("ranked", "chronological"):
            cards, items = counts[f"{mode}_cards"], counts[f"{mode}_items"]
            assert cards.rows_in == counts["eligible"].rows_out
            assert items.rows_in == cards.rows_out
        real = told.items.filter((pl.col("mode") == "ranked") & (pl.col("reason") != "suggested"))
        assert counts["ranked_items"].rows_out == real.height
        for (stage, reason), cards_ in told.examples.items():
            assert min(feeds.EXAMPLES, counts[stage].filtered.get(reason, 0)) == len(cards_), (stage, reason)


@QUIET
@given(rng=st.randoms(use_true_random=False), size=st.integers(2, 14), k=st.sampled_from([2, 50]),
       cap=st.sampled_from([None, 1]))  # fmt: skip
def test_recommendations_are_explained_by_the_oracles_filters_and_by_scores_that_add_up(
    rng: random.Random, size: int, k: int, cap: int | None
):
    rows, config = fuzzed(rng, size), FriendsSettings(k=k, exposure_cap=cap)
    oracle, stored = FriendsOracle(rows, config), friend_worlds.run(rows, config).tables["friend_recommendations"]
    inputs = Inputs(friend_worlds.frames(rows), {}, None, config, friend_worlds.AS_OF)
    for viewer in sorted(oracle.viewers)[:5]:
        mine = stored.filter(pl.col("viewer_id") == viewer)
        told = friends.found(inputs, viewer, mine, is_learned=False)
        counts = by_name(told.counts)
        reasons = Counter(filter(None, (oracle.first_reason(viewer, c) for c in oracle._possible(viewer))))
        assert {r: n for r, n in counts["filters"].filtered.items() if n} == reasons
        assert {r: len(told.examples[r]) for r in FILTERS if told.examples[r]} == reasons
        for reason in FILTERS:
            assert all(oracle.first_reason(viewer, c) == reason for c in told.examples[reason])
        assert counts["sources"].rows_in == counts["filters"].rows_out == len(oracle.eligible[viewer])
        assert counts["selection"].rows_in == counts["sources"].rows_out
        assert counts["selection"].rows_out == mine.height == told.rows.height
        made = after_impressions(*(told.rows[c].to_numpy() for c in ("base_score", "impression_count")))
        assert np.array_equal(made, told.rows["score"].to_numpy())


def test_somebody_whom_a_product_does_not_know_has_no_rows_and_no_stages():
    rows = {"staged_users": friend_worlds.users(1, 2)}
    stored = friend_worlds.run(rows).tables["friend_recommendations"].filter(pl.col("viewer_id") == 3)
    inputs = Inputs(friend_worlds.frames(rows), {}, None, FriendsSettings(), friend_worlds.AS_OF)
    told = friends.found(inputs, 3, stored, is_learned=False)
    assert (told.rows.height, told.counts, told.examples) == (0, (), {})


@QUIET
@given(seed=seeds)
def test_digests_of_one_person_are_settled_as_among_all(seed: int):
    story, runs = Story(seed), Runs()
    for _ in range(3):
        as_of = story.step()
        inputs = runs.inputs(story.world, as_of)
        everybody = runs.run(story.world, as_of).tables
        for person in story.people:
            alone = digests.compute(digests.of_one(inputs, person)).tables
            for name in ("digests", "digest_streams", "digest_history"):
                assert_frame_equal(alone[name], everybody[name].filter(pl.col("user_id") == person))


@QUIET
@given(seed=seeds)
def test_the_next_due_is_the_one_that_a_later_run_settles(seed: int):
    story, runs = Story(seed), Runs()
    as_of = story.step()
    inputs, result = runs.inputs(story.world, as_of), runs.run(story.world, as_of)
    for row in digests.standing(inputs, result).iter_rows(named=True):
        due = digests.next_due(row, as_of)
        if due is None:
            continue
        later = due + timedelta(minutes=inputs.config.settle_minutes)
        after = max(as_of, row["enabled_at"], row["paused_until"] or as_of)
        table = due_table(pl.DataFrame([{**row, "after": after}]), later)
        assert table.filter(pl.col("date_exists"))["due"].min() == due


def test_usage_events_of_one_person_are_counted_as_among_all():
    at, event = premium_worlds.at, premium_worlds.event
    now, meter = at("2026-03-01"), premium_worlds.meter
    world = {
        "users": [premium_worlds.user(1), premium_worlds.user(2)],
        "meters": [meter("calls", "count"), meter("disk", "sum")],
        "usage_events": [
            event("a", at("2026-02-01")),
            event("a", at("2026-02-01"), ingested_at=at("2026-02-02")),
            event("b", at("2026-02-01"), user_id=2),
            event("b", at("2026-02-01"), ingested_at=at("2026-02-03")),
            event("c", at("2026-02-05"), meter_key="disk"),
            event("d", at("2026-02-05"), meter_key="nothing"),
            event("e", at("2026-03-02")),
        ],
    }
    of_one = {person: entitlements.intake_of(premium_worlds.inputs(world, now), person) for person in (1, 2)}
    removed = {reason: n for reason, n in of_one[1].filtered.items() if n}
    assert removed == {
        "duplicate": 1, "conflict": 1, "missing_value": 1, "unknown_meter": 1, "not_ingested_yet": 1,
    }  # fmt: skip
    assert (of_one[1].rows_out, of_one[2].rows_out, of_one[2].rows_in) == (1, 1, 1)


def test_every_reason_and_stage_has_words():
    assert not [reason for reason, words in REMOVED.items() if not words]
    assert set(FILTERS) <= set(REMOVED)
    assert {"eligible", "circle", "shareable", "filters", "occurrences"} <= set(STAGES)
