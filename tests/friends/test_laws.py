"""The product equals the brute-force oracle on fuzzed worlds; order, threads and buckets change nothing."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from assets.frame import Inputs
from assets.friends import features, filling, selection
from assets.friends.config import FILTERS
from assets.friends.engine import Engine
from assets.friends.graph import PAIR
from assets.friends.product import build_world
from quality.contract import judge
from quality.registry import REGISTRY
from store.settings import FriendsSettings
from tests.support.friends import AS_OF, counts, frames, run
from tests.support.friends_fuzzed import fuzzed
from tests.support.friends_oracle import Oracle

EVERY = ("friends_of_friends", "pagerank", "co_membership", "interaction", "popular")
CONFIGS = st.builds(
    FriendsSettings,
    k=st.sampled_from([1, 2, 3, 5, 50]),
    exposure_cap=st.sampled_from([None, 1, 2, 3]),
    sources=st.one_of(st.just(EVERY), st.sets(st.sampled_from(EVERY), min_size=1).map(lambda s: tuple(sorted(s)))),
    experiment_salt=st.sampled_from(["flowforge", "other"]),
)
QUIET = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(rng=st.randoms(use_true_random=False), size=st.integers(0, 14), config=CONFIGS)
def test_every_table_equals_the_oracle(rng: random.Random, size: int, config: FriendsSettings) -> None:
    rows = fuzzed(rng, size)
    oracle, result = Oracle(rows, config), run(rows, config)
    table = result.tables["friend_recommendations"]
    for name, made in result.tables.items():
        assert judge(REGISTRY[name], made) == []

    assert {r: n for r, n in counts(result).items() if n} == oracle.filter_counts()
    assert set(counts(result)) == set(FILTERS)

    variant = dict(table.select("viewer_id", "variant").iter_rows())
    expected = oracle.recommendations({v: variant.get(v, "control") for v in oracle.viewers})
    wanted = [{**r, "rank": n} for v in sorted(expected) for n, r in enumerate(expected[v], 1)]
    assert table.drop("variant").to_dicts() == [{name: r[name] for name in table.columns[:-1]} for r in wanted]

    for row in result.tables["friend_candidates"].iter_rows(named=True):
        v, c = row["viewer_id"], row["candidate_id"]
        cn, degrees = len(oracle.mutuals(v, c)), (len(oracle.friends[v]), len(oracle.friends[c]))
        assert c in oracle.eligible[v]
        assert row["common_neighbours"] == cn
        assert row["adamic_adar_micro"] == oracle.adamic_adar(v, c)
        assert row["resource_allocation_micro"] == sum(10**6 // len(oracle.friends[x]) for x in oracle.mutuals(v, c))
        assert row["jaccard_micro"] == 10**6 * cn // max(sum(degrees) - cn, 1)
        assert (row["viewer_degree"], row["candidate_degree"]) == degrees
        assert row["shared_group_count"] == len(oracle.common_groups(v, c))
        assert row["interaction_count"] == len(oracle.between(v, c))
        assert row["impression_count"] == oracle.impressions[v, c]
    held = set(result.tables["friend_candidates"].select("viewer_id", "candidate_id").iter_rows())
    assert set(table.select("viewer_id", "candidate_id").iter_rows()) <= held
    if "friends_of_friends" in config.sources:
        assert {(v, c) for v in oracle.viewers for c in oracle.eligible[v] if oracle.mutuals(v, c)} <= held


@settings(QUIET, max_examples=6)
@given(rng=st.randoms(use_true_random=False), size=st.integers(3, 14))
@pytest.mark.parametrize("engine", [Engine(1, 2), Engine(2, 1), Engine(2, 7)], ids=str)
def test_row_order_threads_and_buckets_change_nothing(rng: random.Random, size: int, engine: Engine) -> None:
    rows = fuzzed(rng, size)
    config = FriendsSettings(k=4, exposure_cap=3)
    plain = run(rows, config, engine=Engine(1, 1))
    shuffled = {name: f.collect().sample(fraction=1, shuffle=True, seed=5).lazy() for name, f in frames(rows).items()}
    other = run(shuffled, config, engine=engine)
    for name, table in plain.tables.items():
        assert_frame_equal(table, other.tables[name])
        assert_frame_equal(table, table.sort(list(REGISTRY[name].key)))
    assert plain.counts == other.counts


@QUIET
@given(rng=st.randoms(use_true_random=False), size=st.integers(2, 14), k=st.integers(1, 6))
def test_a_viewer_lacks_rows_only_where_the_rest_is_at_its_cap(rng: random.Random, size: int, k: int) -> None:
    rows, config = fuzzed(rng, size), FriendsSettings(k=k, exposure_cap=2)
    oracle, table = Oracle(rows, config), run(rows, config).tables["friend_recommendations"]
    shown = {v: set(table.filter(pl.col("viewer_id") == v)["candidate_id"]) for v in oracle.viewers}
    used = {c: sum(c in own and not oracle.mutuals(v, c) for v, own in shown.items()) for c in oracle.people}
    for v in oracle.viewers:
        for c in set(oracle.eligible[v]) - shown[v] if len(shown[v]) < k else ():
            assert not oracle.mutuals(v, c)
            assert used[c] == 2
    assert all(n <= 2 for n in used.values())


SCORES = st.sampled_from([0, 1, 5, 2047, 2048, 10**7, 10**12]) | st.integers(0, 9)
ENTRY = st.tuples(st.integers(0, 3), st.integers(0, 400), SCORES, st.integers(0, 2))
ENTRIES = st.lists(ENTRY, max_size=400, unique_by=lambda entry: entry[:2])


@settings(QUIET, max_examples=100)
@given(entries=ENTRIES, seed=st.integers(0, 9))
def test_lists_stand_in_the_one_total_order(entries: list[tuple[int, int, int, int]], seed: int) -> None:
    schema = {**PAIR, "score": pl.Int64, "mutual_count": pl.Int64}
    rows = pl.DataFrame(entries, schema=schema, orient="row").sample(fraction=1, shuffle=True, seed=seed)
    by_list = rows.sort("viewer", "score", "mutual_count", "candidate", descending=[False, True, True, False])
    expected = by_list.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("viewer"))
    assert_frame_equal(selection.ranked(rows), expected)
    grouped = selection.by_viewer(rows)
    order, _ = filling.in_lists(*selection.keys_of(grouped))
    found = grouped[filling.by_score(grouped["score"].to_numpy(), order)]
    wanted = rows.sort("score", "viewer", "mutual_count", "candidate", descending=[True, False, True, False])
    assert_frame_equal(found, wanted)


@QUIET
@given(rng=st.randoms(use_true_random=False), size=st.integers(2, 14))
def test_mutual_friends_are_published_alike_for_a_list_and_for_all_pairs(rng: random.Random, size: int) -> None:
    rows, config = fuzzed(rng, size), FriendsSettings()
    world, _ = build_world(Inputs(frames(rows), {}, None, config, AS_OF))
    oracle, ids = Oracle(rows, config), world.who.ids.tolist()
    index = [(v, c) for v in range(len(ids)) for c in range(len(ids)) if v != c]
    pairs = pl.DataFrame(index, schema=PAIR, orient="row")
    common = [len(oracle.mutuals(ids[v], ids[c])) for v, c in index]
    pairs = pairs.with_columns(pl.Series("common_neighbours", common, dtype=pl.Int64))
    nobody = pl.DataFrame(schema={**PAIR, "interaction_count": pl.Int64})
    known = features.of_pairs(pairs, world, nobody, Engine())
    assert known["common_neighbours"].to_list() == common
    assert np.array_equal(features.published(pairs, world, Engine()).to_numpy(), known["mutual_count"].to_numpy())
