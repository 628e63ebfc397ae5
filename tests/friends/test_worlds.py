"""On public graphs mutual counts and Adamic-Adar order equal a brute-force oracle; the weights are exact."""

from __future__ import annotations

import math
from collections import defaultdict
from decimal import Decimal, localcontext

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.friends.engine import Engine
from assets.friends.graph import log_weights
from quality.contract import judge
from quality.registry import REGISTRY
from store.settings import FriendsSettings
from tests.support.friends import run, world


@pytest.mark.parametrize(
    ("name", "ranker"),
    [("ldbc_sf0003", "fixed_weights"), ("ldbc_sf0003", "learned"), ("foursquare_nyc", "fixed_weights")],
)
def test_friends_of_friends_on_a_public_graph_equal_brute_force(name: str, ranker: str) -> None:
    found = world(name)
    if found is None:
        pytest.skip("the public worlds are not beside the project")
    frames, as_of = found
    config = FriendsSettings(ranker=ranker)  # type: ignore[arg-type]
    result = run(frames, config, as_of=as_of, engine=Engine(threads=2, buckets=3))
    for table, made in result.tables.items():
        assert judge(REGISTRY[table], made) == []

    friends: dict[int, set[int]] = {i: set() for i in frames["staged_users"].collect()["id"]}
    for a, b in frames["staged_friendships"].select("user_a_id", "user_b_id").collect().iter_rows():
        friends[a].add(b)
        friends[b].add(a)
    rows = defaultdict(list)
    for row in result.tables["friend_recommendations"].iter_rows(named=True):
        rows[row["viewer_id"]].append(row)
    held: dict[int, dict[int, int]] = defaultdict(dict)
    candidates = result.tables["friend_candidates"].select("viewer_id", "candidate_id", "adamic_adar_micro")
    for viewer, candidate, weight in candidates.iter_rows():
        held[viewer][candidate] = weight
    assert set(rows) == set(friends)
    for v, mine in friends.items():
        best = defaultdict(lambda: [0, 0])
        for x in mine:
            for c in friends[x] - mine - {v}:
                best[c][0] += math.floor(10**6 / math.log(len(friends[x])))
                best[c][1] += 1
        order = sorted(best, key=lambda c: (-best[c][0], -best[c][1], c))
        shown = [r["candidate_id"] for r in rows[v]]
        assert len(shown) == 50
        assert not set(shown) & (mine | {v})
        assert held[v] == {c: best[c][0] if c in best else 0 for c in held[v]}
        assert [r["mutual_count"] for r in rows[v]] == [best[c][1] if c in best else 0 for c in shown]
        if ranker == "fixed_weights":
            assert shown[: min(50, len(order))] == order[:50]
            assert all(r["score"] == best[r["candidate_id"]][0] for r in rows[v] if r["candidate_id"] in best)
        assert set(sorted(best, key=lambda c: (-best[c][0], c))[:100]) <= held[v].keys()
        for r in rows[v]:
            names = sorted(mine & friends[r["candidate_id"]], key=lambda x: (len(friends[x]), x))
            assert r["mutual_sample_ids"] == names[:3]


def test_a_public_graph_gives_the_same_tables_from_shuffled_rows_on_any_engine() -> None:
    found = world("ldbc_sf0003")
    if found is None:
        pytest.skip("the public worlds are not beside the project")
    frames, as_of = found
    first = run(frames, as_of=as_of, engine=Engine(threads=1))
    shuffled = {key: f.collect().sample(fraction=1, shuffle=True, seed=3).lazy() for key, f in frames.items()}
    for engine in (Engine(threads=2), Engine(threads=2, buckets=7)):
        other = run(shuffled, as_of=as_of, engine=engine)
        for table, made in first.tables.items():
            assert_frame_equal(made, other.tables[table])


def test_the_float_weight_is_the_exact_one_for_every_degree_up_to_60_000() -> None:
    degrees = np.arange(2, 60_001, dtype=np.int64)
    weights = log_weights(degrees)
    value = 10**6 / np.log(degrees)
    near_a_whole = np.abs(value - np.round(value)) < 1e-6
    assert (weights == np.floor(value))[~near_a_whole].all()
    with localcontext() as context:
        context.prec = 40
        for d, weight in zip(degrees[near_a_whole].tolist(), weights[near_a_whole].tolist(), strict=True):
            assert weight == int(Decimal(10**6) / Decimal(d).ln())
    assert log_weights(np.asarray([0, 1], dtype=np.int64)).tolist() == [0, 0]


def test_a_world_without_friendships_fills_every_list() -> None:
    frame = pl.DataFrame({"n": range(120)})
    people = [{"id": n} for n in frame["n"]]
    result = run({"staged_users": people})
    assert result.tables["friend_recommendations"].group_by("viewer_id").len()["len"].unique().to_list() == [50]
