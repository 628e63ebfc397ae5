"""Metrics of 2.5 equal plain Python; the rivals are the textbook's; the public graphs' known values come out."""

from __future__ import annotations

import math
import random
from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.frame import Inputs
from assets.friends import evaluation
from assets.friends.engine import Engine
from assets.friends.judging import Case, case_of, judged, rivals, truth_of
from assets.friends.product import build_world
from assets.friends.signals import Scene
from store.settings import FriendsSettings
from tests.friends.test_learned import circles
from tests.support.friends import AS_OF, WORLDS, frames, world

SCHEMA = {"viewer": pl.Int32, "candidate": pl.Int32}


@settings(max_examples=40, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_every_metric_equals_its_definition(rng: random.Random) -> None:
    people = range(60)
    lists = {v: rng.sample(people, rng.randint(0, 30)) for v in range(12)}
    truth = {v: set(rng.sample(people, rng.randint(1, 25))) for v in range(15)}
    rows = [(v, c, n) for v, own in lists.items() for n, c in enumerate(own, 1)]
    frame = pl.DataFrame(rows, schema={**SCHEMA, "rank": pl.Int64}, orient="row")
    wanted = pl.DataFrame([(v, c) for v, own in truth.items() for c in own], schema=SCHEMA, orient="row")
    found = {row["viewer"]: row for row in evaluation.by_viewer(frame, wanted).iter_rows(named=True)}
    assert set(found) == set(truth)
    for v, good in truth.items():
        hits = [c in good for c in lists.get(v, [])[:20]]
        precisions = [sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]
        gain = sum(1 / math.log2(n + 2) for n, hit in enumerate(hits) if hit)
        ideal = sum(1 / math.log2(n + 2) for n in range(min(len(good), 20)))
        assert found[v]["recall_at_20"] == pytest.approx(sum(hits) / len(good))
        assert found[v]["map_at_20"] == pytest.approx(sum(precisions) / min(len(good), 20))
        assert found[v]["ndcg_at_20"] == pytest.approx(gain / ideal)
        assert found[v]["hit_at_10"] == float(any(hits[:10]))
    times = sorted(sum(c in own[:20] for own in lists.values()) for c in people)
    told = evaluation.exposure(frame, 60)
    assert told["coverage_at_20"] == pytest.approx(sum(t > 0 for t in times) / 60, abs=1e-6)
    if sum(times):
        between = sum(abs(a - b) for a in times for b in times)
        assert told["gini"] == pytest.approx(between / (2 * 60 * sum(times)), abs=1e-6)


def test_the_interval_holds_the_mean_and_slices_part_the_viewers() -> None:
    rng = np.random.default_rng(1)
    values = pl.DataFrame(
        {"viewer": np.arange(300, dtype=np.int32), **{m: rng.random(300) for m in evaluation.METRICS}}
    )
    low, high = evaluation.interval(values, "map_at_20")
    assert low < values["map_at_20"].mean() < high < low + 0.1
    slices = evaluation.sliced(values, np.arange(300) // 10)
    assert {name: told["viewer_count"] for name, told in slices.items()} == {
        "0": 10,
        "1-4": 40,
        "5-19": 150,
        "20+": 100,
    }


def test_what_was_held_out_is_not_seen_and_every_ranker_is_judged_on_the_same_viewers() -> None:
    for is_timed in (False, True):
        given_ = frames(circles(is_timed=is_timed))
        case = case_of(given_, AS_OF)
        everything, part = given_["staged_friendships"].collect().height, 5 if is_timed else 10
        assert case.later.height == pytest.approx(everything / part, rel=0.3)
        report = judged(case, FriendsSettings(k=20, ranker="learned"), Engine(2))
        counts = {told["viewer_count"] for told in report["rankers"].values()}
        assert counts == {report["viewer_count"]} and min(counts) > 30
        assert report["rankers"]["flowforge"]["recall_at_20"] > report["rankers"]["popularity"]["recall_at_20"]


@pytest.mark.parametrize(
    ("name", "recall", "mean_precision", "viewers"),
    [("foursquare_nyc", 0.2125, 0.0927, 2375), ("lastfm", 0.2753, 0.1073, 967)],
)
def test_adamic_adar_on_a_public_graph_has_its_known_figures(
    name: str, recall: float, mean_precision: float, viewers: int
) -> None:
    found = world(name)
    if found is None:
        pytest.skip("the public worlds are not beside the project")
    given_, as_of = found
    case = Case(given_, as_of, pl.read_parquet(WORLDS / name / "truth" / "future_friendships.parquet"), "truth")
    who_world, _ = build_world(Inputs(given_, {}, None, FriendsSettings(), as_of))
    size, entries = who_world.who.size, who_world.friends.idx.size
    nobody = pl.DataFrame(schema={**SCHEMA, "interaction_count": pl.Int64})
    scene = Scene(who_world, *(np.zeros(n, np.int64) for n in (entries, size, size)), 0, nobody)
    truth = truth_of(case)
    told = evaluation.figures(
        evaluation.by_viewer(rivals(scene, who_world.who.viewers, Engine(2))["adamic_adar"], truth)
    )
    assert told["viewer_count"] == viewers
    assert told["recall_at_20"] == pytest.approx(recall, abs=1e-4)
    assert told["map_at_20"] == pytest.approx(mean_precision, abs=1e-4)


def test_popular_lists_skip_friends_and_the_viewer() -> None:
    rows = circles()
    who_world, _ = build_world(Inputs(frames(rows), {}, None, FriendsSettings(), AS_OF))
    entries, size = who_world.friends.idx.size, who_world.who.size
    nobody = pl.DataFrame(schema={**SCHEMA, "interaction_count": pl.Int64})
    scene = Scene(who_world, *(np.zeros(n, np.int64) for n in (entries, size, size)), 0, nobody)
    friends = defaultdict(set)
    for v, c in who_world.friends.pairs().iter_rows():
        friends[v].add(c)
    for v, c, rank in rivals(scene, who_world.who.viewers, Engine())["popularity"].iter_rows():
        assert c != v and c not in friends[v] and rank <= 20
