"""Laws of the feed against the slow oracle, on fuzzed tiny worlds (spec 03.6)."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.feed import product
from quality.contract import judge
from quality.feed import FEED
from store.settings import FeedSettings
from tests.support.feed import AS_OF, World, examples, frame_of, run
from tests.support.feed_oracle import Oracle
from tests.support.feed_worlds import fuzzed_world, later_world

FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 10**9)
configs = st.builds(
    FeedSettings,
    window_days=st.sampled_from([14, 2, 36500]),
    max_ranked=st.sampled_from([200, 12, 5, 1]),
    max_chronological=st.sampled_from([100, 3]),
    max_per_actor=st.sampled_from([20, 1, 2, 3]),
    reply_rule=st.sampled_from(["friends", "all"]),
    half_life_hours=st.sampled_from([24, 1, 7]),
)


@settings(FUZZ, max_examples=examples(40, 500))
@given(seed=seeds, config=configs)
def test_both_modes_equal_the_oracle(seed: int, config: FeedSettings) -> None:
    world = fuzzed_world(seed)
    expected = frame_of("feed_items", Oracle(world, config).feed_items())
    assert run(world, config).tables["feed_items"].rows() == expected.rows()


@settings(FUZZ, max_examples=examples(10, 100))
@given(seed=seeds, config=configs)
def test_the_next_generation_and_its_tombstones_equal_the_oracle(seed: int, config: FeedSettings) -> None:
    first = run(fuzzed_world(seed), config)
    second_world = later_world(seed, days=1)
    second = run(second_world, config, first)
    third_world = later_world(seed, days=13)
    third = run(third_world, config, second)
    told: list[dict[str, object]] = []
    for world, before, after in ((second_world, first, second), (third_world, second, third)):
        oracle = Oracle(world, config)
        told = oracle.feed_tombstones(before.tables["feed_items"].to_dicts(), told)
        assert after.tables["feed_items"].rows() == frame_of("feed_items", oracle.feed_items()).rows()
        assert after.tables["feed_tombstones"].rows() == frame_of("feed_tombstones", told).rows()


@settings(FUZZ, max_examples=examples(6, 60))
@given(seed=seeds, config=configs, order=st.integers(0, 100))
def test_the_order_of_input_rows_does_not_matter(seed: int, config: FeedSettings, order: int) -> None:
    before = run(fuzzed_world(seed), config)
    straight = run(later_world(seed, days=1), config, before)
    shuffled = run(later_world(seed, days=1), config, before, shuffle=order)
    for name, table in straight.tables.items():
        assert table.equals(shuffled.tables[name])
    assert straight.counts == shuffled.counts


@pytest.mark.parametrize("seed", range(5))
def test_the_size_of_buckets_does_not_matter(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(fuzzed_world(seed))
    monkeypatch.setattr(product, "PAIRS_AT_ONCE", 7)
    parts = run(fuzzed_world(seed))
    assert whole.tables["feed_items"].equals(parts.tables["feed_items"])
    assert whole.counts == parts.counts


@settings(FUZZ, max_examples=examples(6, 60))
@given(seed=seeds, config=configs)
def test_the_trim_before_the_join_changes_nothing(seed: int, config: FeedSettings) -> None:
    world = fuzzed_world(seed)
    config = config.model_copy(update={"max_per_actor": 1 + seed % 3})
    trimmed = run(world, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(product.trim, "needed", lambda deck, *_: deck.card >= 0)
        untrimmed = run(world, config)
    assert trimmed.tables["feed_items"].equals(untrimmed.tables["feed_items"])


@settings(FUZZ, max_examples=examples(6, 60))
@given(seed=seeds, config=configs)
def test_adding_a_block_never_adds_an_item_of_the_blocked(seed: int, config: FeedSettings) -> None:
    world = fuzzed_world(seed)
    ids = [user["id"] for user in world.table("users")]
    blocker, blocked = random.Random(seed).sample(ids, 2)
    before = _of(run(world, config).tables["feed_items"], blocker, blocked)
    world.block(blocker, blocked)
    after = _of(run(world, config).tables["feed_items"], blocker, blocked)
    assert after <= before
    assert not after


def _of(items: pl.DataFrame, viewer: int, person: int) -> set[str]:
    theirs = items.filter(
        (pl.col("viewer_id") == viewer)
        & ((pl.col("lead_actor_id") == person) | (pl.col("object_owner_id") == person)
           | pl.col("sample_actor_ids").list.contains(person))
    )  # fmt: skip
    return set(theirs["item_id"])


@settings(FUZZ, max_examples=examples(6, 60))
@given(seed=seeds, config=configs)
def test_what_is_published_keeps_its_contract_and_parts_sum_to_the_score(seed: int, config: FeedSettings) -> None:
    before = run(fuzzed_world(seed), config)
    result = run(later_world(seed, days=1), config, before)
    for contract in FEED:
        table = result.tables[contract.name]
        assert judge(contract, table) == []
        assert table.equals(table.sort(contract.key))
    items = result.tables["feed_items"]
    parts = items.select(pl.sum_horizontal("k_verb", "k_time", "k_engagement", "k_affinity", "k_diversity"))
    assert parts.to_series().to_list() == items["score"].to_list()


@settings(FUZZ, max_examples=examples(6, 60))
@given(seed=seeds)
def test_the_order_does_not_change_within_a_month_unless_data_change(seed: int) -> None:
    world = fuzzed_world(seed)
    world.rows["activities"] = [a for a in world.table("activities") if a["created_at"] < AS_OF]
    config = FeedSettings(window_days=36500)
    first = run(world, config).tables["feed_items"].filter(pl.col("mode") == "ranked")
    world.as_of = AS_OF.replace(day=28)
    for table, column in (("friendships", "ended_at"), ("memberships", "left_at"), ("mutes", "expires_at")):
        for row in world.table(table):
            if row[column] is not None and row[column] > AS_OF:
                row[column] = None
    for user in world.table("users"):
        if user["last_seen_at"] is not None:
            user["last_seen_at"] = world.as_of
    world.rows["friendships"] = [f for f in world.table("friendships") if f["created_at"] < AS_OF]
    world.rows["users"] = [u for u in world.table("users") if u["created_at"] < AS_OF]
    second = run(world, config).tables["feed_items"].filter(pl.col("mode") == "ranked")
    for viewer in first["viewer_id"].unique():
        old, new = (table.filter(pl.col("viewer_id") == viewer)["item_id"].to_list() for table in (first, second))
        assert old == new


def test_an_empty_source_gives_empty_tables() -> None:
    result = run(World())
    assert {name: table.height for name, table in result.tables.items()} == {"feed_items": 0, "feed_tombstones": 0}
