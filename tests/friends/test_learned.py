"""The learned ranker: trained where there is enough to learn from; the same for any order, threads, buckets."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import random
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.frame import Result
from assets.friends import boosting, signals, training
from assets.friends.config import HASH_HOLD_OUTS, HASH_PARTS, LEAST_POSITIVES
from assets.friends.engine import Engine
from quality.contract import judge
from quality.registry import REGISTRY
from store.settings import FriendsSettings
from tests.support.friends import AS_OF, counts, frames, friendships, run, users
from tests.support.friends_oracle import Oracle

CONFIG = FriendsSettings(k=10, ranker="learned")


def circles(*, is_timed: bool = False, seed: int = 5) -> dict[str, list[dict[str, Any]]]:
    """240 people in 24 schools of ten; friends are mostly schoolmates, and some of anywhere."""
    rng = random.Random(seed)
    people = range(1, 241)
    pairs = {(a, b) for a in people for b in people if a < b and a % 24 == b % 24 and rng.random() < 0.6}
    pairs |= {tuple(sorted(rng.sample(people, 2))) for _ in range(240)}  # type: ignore[misc]
    edges = friendships(*sorted(pairs))
    if is_timed:
        for edge in edges:
            edge["created_at"] = AS_OF - timedelta(days=rng.randint(1, 300), seconds=rng.randint(0, 9999))
    return {
        "staged_users": users(*people),
        "staged_activities": [
            {"id": n, "actor_id": n, "verb": "post", "object_type": "post", "object_id": n,
             "created_at": AS_OF - timedelta(days=2)}
            for n in people
        ],
        "staged_friendships": edges,
        "staged_groups": [{"id": g, "kind": "school"} for g in range(24)],
        "staged_memberships": [{"group_id": n % 24, "user_id": n, "weight": n % 3} for n in people],
        "staged_blocks": [{"blocker_id": n, "blocked_id": n + 24} for n in range(1, 30)],
        "staged_recommendation_impressions": [
            {"id": 24 * n + i, "user_id": n, "candidate_id": n + 24 * (1 + i % 3)}
            for n in range(1, 24)
            for i in range(9)
        ],
    }  # fmt: skip


def test_a_friendship_counts_once_among_those_to_learn_from_though_either_side_is_a_row() -> None:
    world = circles()
    world["staged_friendships"] = world["staged_friendships"][: (LEAST_POSITIVES - 10) * HASH_PARTS // HASH_HOLD_OUTS]
    model = run(world, CONFIG).tables["friend_model"]
    assert not model["is_learned"].any()
    assert "too few friendships to learn from" in model["evaluation"][0]


@pytest.mark.parametrize("is_timed", [False, True], ids=["hash hold-outs", "hold-out by time"])
def test_the_ranker_is_learned_where_there_is_enough_to_learn_from_and_keeps_every_filter(is_timed: bool) -> None:
    rows = circles(is_timed=is_timed)
    result, oracle = run(rows, CONFIG), Oracle(rows, CONFIG)
    model = result.tables["friend_model"]
    assert model["is_learned"].all() and set(model["ranker"]) == {"gradient_boosting"}
    figures = json.loads(model["evaluation"][0])
    for name in ("recall_at_20", "map_at_20"):
        assert figures["learned"][name] > figures["adamic_adar"][name]
    for name, made in result.tables.items():
        assert judge(REGISTRY[name], made) == []
    assert {r: n for r, n in counts(result).items() if n} == oracle.filter_counts()
    table = result.tables["friend_recommendations"]
    assert table.group_by("viewer_id").len()["len"].unique().to_list() == [10]
    for row in table.iter_rows(named=True):
        v, c = row["viewer_id"], row["candidate_id"]
        assert c in oracle.eligible[v]
        assert row["mutual_count"] == oracle.mutual_count(v, c)
        assert row["mutual_sample_ids"] == oracle.nameable(v, c)[:3]
        assert row["reason_code"] == oracle.reason(v, c)
        assert row["shared_group_ids"] == oracle.shared(v, c)[:3]
    for row in result.tables["friend_candidates"].iter_rows(named=True):
        assert row["adamic_adar_micro"] == oracle.adamic_adar(row["viewer_id"], row["candidate_id"])


@pytest.mark.parametrize("is_timed", [False, True])
def test_row_order_threads_and_buckets_do_not_change_what_is_learned(is_timed: bool) -> None:
    rows = circles(is_timed=is_timed)
    plain = run(rows, CONFIG, engine=Engine(1, 1))
    shuffled = {name: f.collect().sample(fraction=1, shuffle=True, seed=5).lazy() for name, f in frames(rows).items()}
    for engine in (Engine(1, 2), Engine(2, 7)):
        other = run(shuffled, CONFIG, engine=engine)
        for name, table in plain.tables.items():
            assert_frame_equal(table, other.tables[name])


def sha256(result: Result) -> dict[str, str]:
    """Of every table, as it would be stored."""
    found = {}
    for name, table in result.tables.items():
        written = io.BytesIO()
        table.write_parquet(written, compression="zstd")
        found[name] = hashlib.sha256(written.getvalue()).hexdigest()
    return found


def test_buckets_threads_and_shuffled_rows_give_the_same_sha256() -> None:
    given = frames(circles(is_timed=True))
    shuffled = {name: f.collect().sample(fraction=1, shuffle=True, seed=8).lazy() for name, f in given.items()}
    plain = run(given, CONFIG, engine=Engine(1, 1))
    assert plain.notes["ranker"] == "gradient_boosting"
    for threads, buckets in itertools.product((1, 2), (1, 2, 7)):
        assert sha256(run(shuffled, CONFIG, engine=Engine(threads, buckets))) == sha256(plain)


def test_the_exposure_cap_holds_for_learned_scores() -> None:
    rows = circles()
    oracle, table = (
        Oracle(rows, CONFIG),
        run(rows, CONFIG.model_copy(update={"exposure_cap": 2})).tables["friend_recommendations"],
    )
    used: dict[int, int] = {}
    for v, c in table.select("viewer_id", "candidate_id").iter_rows():
        used[c] = used.get(c, 0) + (not oracle.mutuals(v, c))
    assert max(used.values()) == 2


def test_with_few_friendships_the_fixed_weights_stand_and_the_run_says_so() -> None:
    result = run({"staged_users": users(1, 2, 3), "staged_friendships": friendships((1, 2), (2, 3))}, CONFIG)
    assert not result.tables["friend_model"]["is_learned"].any()
    assert "are needed" in result.notes["ranker_reason"]


def test_a_graph_with_more_two_paths_than_the_limit_is_left_to_the_fixed_weights_and_the_run_says_so() -> None:
    rows = circles()
    size: dict[int, int] = {}
    for edge in rows["staged_friendships"]:
        for end in (edge["user_a_id"], edge["user_b_id"]):
            size[end] = size.get(end, 0) + 1
    wedges = sum(degree**2 for degree in size.values())
    at_the_limit, beyond = (
        run(rows, CONFIG.model_copy(update={"learned_max_wedges": limit})) for limit in (wedges, wedges - 1)
    )
    assert at_the_limit.tables["friend_model"]["is_learned"].all()
    assert not beyond.tables["friend_model"]["is_learned"].any()
    assert f"{wedges} two-paths" in beyond.notes["ranker_reason"]


def held_out(rows: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> list[training.HoldOut]:
    """The hold-outs of a run over ``rows``."""
    seen: list[training.HoldOut] = []
    real = training.hold_outs

    def spy(*given: Any) -> list[training.HoldOut]:
        seen.extend(real(*given))
        return seen

    monkeypatch.setattr(training, "hold_outs", spy)
    run(rows, CONFIG)
    return seen


def test_every_window_of_time_is_learned_from_its_own_past_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = circles(is_timed=True)
    seen = held_out(rows, monkeypatch)
    microsecond = timedelta(microseconds=1)
    epoch = AS_OF - timedelta(seconds=AS_OF.timestamp())
    begun = sorted((f["created_at"] - epoch) // microsecond for f in rows["staged_friendships"])
    born = {frozenset((f["user_a_id"], f["user_b_id"])): (f["created_at"] - epoch) // microsecond
            for f in rows["staged_friendships"]}  # fmt: skip
    assert len(seen) == 3
    for one, (first, last) in zip(seen, ((80, 100), (60, 80), (40, 60)), strict=True):
        ids, size = one.scene.world.who.ids, len(begun)
        held, known = (
            {frozenset((int(ids[a]), int(ids[b]))) for a, b in pairs.select("viewer", "candidate").iter_rows()}
            for pairs in (one.held, one.scene.world.friends.pairs())
        )
        assert one.scene.at == begun[size * first // 100]
        assert {born[pair] for pair in known} == set(begun[: size * first // 100])
        assert {born[pair] for pair in held} == set(begun[size * first // 100 : size * last // 100])
        assert one.scene.since.max() < one.scene.at and one.scene.since.size == 2 * len(known)


def test_viewers_who_found_nobody_are_learned_from_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    one = held_out(circles(is_timed=True), monkeypatch)[-1]
    degrees, finds = one.scene.world.friends.sizes, set(one.held["viewer"].to_list())
    may = {v for v in one.scene.world.who.viewers.tolist() if degrees[v] > 0}
    monkeypatch.setattr(training, "TRAINING_VIEWERS", 30)
    monkeypatch.setattr(training, "OTHER_VIEWERS", 4)
    chosen = training._viewers(one, 0).tolist()
    assert chosen == sorted(set(chosen)) and set(chosen) <= may
    assert (len(set(chosen) & finds), len(set(chosen) - finds)) == (30, min(4, len(may - finds)))
    assert may - finds


@pytest.mark.parametrize("is_timed", [False, True], ids=["hash hold-outs", "hold-outs by time"])
def test_what_is_learned_is_each_pairs_share_of_what_its_viewer_found(
    is_timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = held_out(circles(is_timed=is_timed), monkeypatch)
    learned = set()
    for number, one in enumerate(seen):
        found: dict[int, set[int]] = {}
        for v, c in one.held.select("viewer", "candidate").iter_rows():
            found.setdefault(v, set()).add(c)
        _, share, *_, pairs, _ = training._examples(one, number, CONFIG.sources, Engine())
        expected = [
            1 / len(found[v]) if c in found.get(v, ()) else 0.0
            for v, c in pairs.select("viewer", "candidate").iter_rows()
        ]
        assert share.tolist() == expected
        learned |= set(expected)
    assert {0.0, 0.5, 1.0} <= learned


def test_a_forest_learns_shares_and_not_only_yes_or_no_whatever_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(6)
    a, noise = rng.integers(0, 100, 4000), rng.integers(0, 100, 4000)
    target = np.where(a > 60, 0.7, 1 / 7)
    row_hash = rng.integers(0, 2**63, 4000, dtype=np.uint64)
    order = rng.permutation(4000)
    forest = boosting.fit([a, noise], target, row_hash)
    other = boosting.fit([a[order], noise[order]], target[order], row_hash[order])
    assert np.array_equal(forest.score([a, noise]), other.score([a, noise]))
    assert np.abs(forest.score([a, noise]) / 10**6 - target).max() < 0.02


def test_trees_learn_what_no_single_border_tells_and_score_in_whole_numbers() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 100, 4000), rng.integers(0, 100, 4000)
    target = (a > 50) != (b > 30)
    forest = boosting.fit([a, b], target, rng.integers(0, 2**63, 4000, dtype=np.uint64))
    score = forest.score([a, b])
    assert ((score > 500_000) == target).mean() > 0.97
    assert score.dtype == np.int64 and 0 <= score.min() <= score.max() <= 10**6


def test_a_forest_scores_like_plain_python() -> None:
    rng = np.random.default_rng(4)
    columns = [rng.integers(0, 50, 500) for _ in range(3)]
    forest = boosting.fit(columns, columns[0] + columns[1] > 60, rng.integers(0, 2**63, 500, dtype=np.uint64))
    for i in range(0, 500, 17):
        logit = forest.base
        bins = [
            sum(int(border) < int(c[i]) for border in cuts) for c, cuts in zip(columns, forest.borders, strict=True)
        ]
        for t in range(boosting.TREES):
            asked = zip(forest.feature[t], forest.border[t], strict=True)
            leaf = sum(1 << level for level, (f, border) in enumerate(asked) if bins[f] > border)
            logit += int(forest.value[t, leaf])
        assert forest.score([c[i : i + 1] for c in columns])[0] == int(10**6 / (1 + np.exp(-logit / 10**6)))


def test_the_signals_of_a_pair_equal_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = circles(is_timed=True)
    oracle, seen = Oracle(rows, CONFIG), []
    real = signals.columns

    def spy(scene: Any, pairs: pl.DataFrame, engine: Engine, asked: Any = signals.SIGNALS) -> Any:
        seen.append((scene, pairs, real(scene, pairs, engine)))
        return real(scene, pairs, engine, asked)

    monkeypatch.setattr(signals, "columns", spy)
    run(rows, CONFIG)
    scene, pairs, found = seen[-1]
    ids = scene.world.who.ids
    told = dict(zip(signals.SIGNALS, found, strict=True))
    born = {(f["user_a_id"], f["user_b_id"]): f["created_at"] for f in rows["staged_friendships"]}
    born |= {(b, a): at for (a, b), at in born.items()}

    def liveliness(p: int, days: int) -> int:
        return sum(int(1000 * 2 ** -((AS_OF - born[x, p]) / timedelta(days=days))) for x in oracle.friends[p])

    for i in range(0, pairs.height, 97):
        v, c = int(ids[pairs["viewer"][i]]), int(ids[pairs["candidate"][i]])
        mutuals, degrees = oracle.mutuals(v, c), {x: len(oracle.friends[x]) for x in oracle.people}
        fresh = 0
        for x in mutuals:
            both = [int(1000 * 2 ** -((AS_OF - born[x, y]) / timedelta(days=20))) for y in (v, c)]
            fresh += int(10**6 / np.log(degrees[x])) * sum(both) // 1000
        hours = {p: (AS_OF - at) // timedelta(hours=1) for p, at in born.items()}
        youngest = min((max(hours[x, v], hours[x, c]) for x in mutuals), default=10**6)
        size = {g: len(m) for g, m in oracle.members.items()}
        mine, theirs = ([g for g in size if p in oracle.members[g]] for p in (v, c))
        heard = sum(10**6 // size[g] * len(oracle.friends[v] & oracle.members[g]) for g in theirs)
        near = sum(10**6 // size[g] for x in oracle.friends[c] - {v} for g in mine if x in oracle.members[g])
        expected = {
            "common_neighbours": len(mutuals), "adamic_adar_micro": oracle.adamic_adar(v, c),
            "resource_allocation_micro": sum(10**10 // degrees[x] for x in mutuals) // 10**4,
            "fresh_adamic_adar": fresh,
            "viewer_degree": degrees[v], "candidate_degree": degrees[c], "shared_school": oracle.context(v, c),
            "shared_rarity": sum(10**6 // size[g] for g in mine if g in theirs),
            "friends_in_groups": heard // max(degrees[v], 1), "groups_of_friends": near // max(degrees[c], 1),
            "candidate_groups": len(theirs), "candidate_idle_days": 2, "viewer_age_days": 1000,
            "youngest_path_hours": youngest, "candidate_friend_hours": min(hours[x, c] for x in oracle.friends[c]),
            **{f"{side}_days_{days}": liveliness(p, days) for side, p in (("viewer", v), ("candidate", c))
               for days in (1, 3, 8)},
        }  # fmt: skip
        assert {name: int(told[name][i]) for name in expected} == expected
