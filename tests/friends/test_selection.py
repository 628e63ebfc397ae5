"""Order, impressions, the exposure cap, variants, odd worlds."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import numpy as np
import polars as pl

from assets.friends.config import VARIANTS
from assets.friends.graph import arms, stable_hash
from store.settings import FriendsSettings
from tests.support.friends import AS_OF, counts, friendships, row, run, shown, users


def test_friends_of_friends_stand_by_adamic_adar_then_by_id() -> None:
    # 5 shares a friend of degree 2 with the viewer, 3 and 4 share one of degree 3.
    edges = friendships((1, 10), (10, 5), (1, 11), (11, 3), (11, 4))
    result = run({"staged_users": users(1, 3, 4, 5, 6, 10, 11), "staged_friendships": edges})
    assert shown(result, 1) == [5, 3, 4, 6]
    assert [row(result, 1, c)["score"] for c in (5, 3, 4)] == [1_442_695, 910_239, 910_239]


def test_each_impression_takes_a_tenth_of_the_score() -> None:
    edges = friendships((1, 10), (10, 5), (1, 11), (11, 3), (11, 4))
    seen = [{"id": n, "user_id": 1, "candidate_id": 5} for n in range(5)]
    tables = {"staged_users": users(1, 3, 4, 5, 10, 11), "staged_friendships": edges}
    result = run({**tables, "staged_recommendation_impressions": seen})
    score = 1_442_695
    for _ in seen:
        score = score * 9 // 10
    assert row(result, 1, 5)["score"] == score
    assert shown(result, 1) == [3, 4, 5]


def test_outside_friends_of_friends_a_candidate_is_shown_to_no_more_viewers_than_the_cap() -> None:
    result = run({"staged_users": users(*range(1, 31))}, FriendsSettings(k=3, exposure_cap=4))
    table = result.tables["friend_recommendations"]
    assert table.group_by("candidate_id").len()["len"].max() == 4
    assert table.height == 30 * 3


def test_whoever_loses_a_capped_candidate_is_shown_the_next_one() -> None:
    # Everyone likes 9 best (degree), only the first two viewers get it.
    people, edges = users(1, 2, 3, 4, 9, 20), friendships((9, 20))
    result = run({"staged_users": people, "staged_friendships": edges}, FriendsSettings(k=1, exposure_cap=2))
    assert [shown(result, v) for v in (1, 2, 3, 4)] == [[9], [9], [20], [20]]


def test_the_country_comes_before_popularity_elsewhere() -> None:
    people = [*users(1, 2, country="FR"), *users(3, 4, 5, country="DE")]
    result = run({"staged_users": people, "staged_friendships": friendships((3, 4), (4, 5))})
    assert shown(result, 1) == [2, 4, 3, 5]
    assert row(result, 1, 2)["reason_code"] == "suggested"


def test_a_source_that_is_switched_off_proposes_nothing() -> None:
    tables = {"staged_users": users(1, 2, 3, 4), "staged_friendships": friendships((1, 2), (2, 3))}
    only = run(tables, FriendsSettings(sources=("friends_of_friends",)))
    assert (shown(only, 1), shown(only, 4)) == ([3], [])
    without = run(tables, FriendsSettings(sources=("popular",)))
    assert shown(without, 1) == [3, 4]
    assert row(without, 1, 3)["sources"] == ["popular"]


def test_pagerank_alone_reaches_two_to_four_steps_far() -> None:
    chain = friendships(*((n, n + 1) for n in range(1, 6)))
    alone = run(
        {"staged_users": users(*range(1, 7)), "staged_friendships": chain},
        FriendsSettings(ranker="fixed_weights", sources=("pagerank",)),
    )
    assert shown(alone, 1) == [3, 4, 5]
    assert row(alone, 1, 3)["sources"] == ["pagerank"]


def test_a_variant_is_a_stable_hash_of_viewer_and_salt() -> None:
    ids = np.arange(1, 2001, dtype=np.int64)
    names = [variant.name for variant in VARIANTS]
    first, again, other = arms(ids, "a", names), arms(ids[::-1], "a", names)[::-1], arms(ids, "b", names)
    assert first == again != other
    assert all(900 < first.count(name) < 1100 for name in names)
    result = run({"staged_users": users(*range(1, 9))}, FriendsSettings(experiment_salt="a"))
    told = dict(result.tables["friend_recommendations"].select("viewer_id", "variant").iter_rows())
    assert [told[v] for v in range(1, 9)] == first[:8]


def splitmix64(x: int) -> int:
    """The published generator's step, in whole numbers."""
    mask = 2**64 - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_the_stable_hash_is_splitmix64_of_the_id_and_the_salts_digest() -> None:
    assert splitmix64(0) == 0xE220A8397B1DCDAF
    ids = [0, 1, 2**62, 999]
    seed = int.from_bytes(hashlib.sha256(b"salt").digest()[:8], "little")
    assert stable_hash(np.asarray(ids, dtype=np.int64), "salt").tolist() == [splitmix64(i ^ seed) for i in ids]


def test_a_viewer_sees_what_the_viewers_variant_computes() -> None:
    """`network` trusts a long path more than one interaction, `control` does not."""
    names = [variant.name for variant in VARIANTS]
    edges = friendships((1, 10), (10, 11), (11, 4))
    act = {"id": 9, "actor_id": 1, "verb": "post", "object_type": "post", "object_id": 9, "mentioned_user_ids": [3]}
    orders = {}
    for salt in "abcdef":
        tables = {"staged_users": users(1, 3, 4, 10, 11), "staged_friendships": edges, "staged_activities": [act]}
        orders[arms(np.asarray([1]), salt, names)[0]] = run(tables, FriendsSettings(experiment_salt=salt))
    assert {name: row(result, 1, 4)["score"] for name, result in orders.items()} == {
        name: 1000 + 9000 * signal // (signal + 10**6)
        for name, signal in (("control", 100 * 153_531), ("network", 400 * 153_531))
    }


def test_reversed_repeated_and_looped_friendships_are_one_or_none() -> None:
    edges = [*friendships((1, 2), (1, 2), (2, 3)), {"user_a_id": 3, "user_b_id": 2}, {"user_a_id": 1, "user_b_id": 1}]
    result = run({"staged_users": users(1, 2, 3), "staged_friendships": edges})
    assert row(result, 1, 3)["score"] == 1_442_695
    stage = next(s for s in result.counts if s.stage == "friendships")
    assert (stage.rows_in, stage.rows_out) == (5, 2)
    assert {r: n for r, n in stage.filtered.items() if n} == {"duplicate": 2, "self": 1}


def test_nobody_one_and_two_users_and_strangers_in_the_tables() -> None:
    assert run({}).tables["friend_recommendations"].is_empty()
    assert run({"staged_users": users(1)}).tables["friend_recommendations"].is_empty()
    tables = {
        "staged_users": users(1, 2),
        "staged_friendships": friendships((1, 77), (77, 2)),
        "staged_blocks": [{"blocker_id": 77, "blocked_id": 1}],
        "staged_memberships": [{"group_id": 1, "user_id": 1}, {"group_id": 1, "user_id": 2}],
        "staged_recommendation_impressions": [{"id": 1, "user_id": 1, "candidate_id": 77}],
    }
    result = run(tables)
    assert (shown(result, 1), shown(result, 2)) == ([2], [1])
    assert sum(counts(result).values()) == 0
    friends = run({"staged_users": users(1, 2), "staged_friendships": friendships((1, 2))})
    assert friends.tables["friend_recommendations"].is_empty()


def test_candidates_hold_a_hundred_friends_of_friends_and_every_recommended_pair() -> None:
    crowd = range(100, 400)
    tables = {"staged_users": users(1, 2, *crowd), "staged_friendships": friendships((1, 2), *[(2, c) for c in crowd])}
    result = run(tables, FriendsSettings(k=5))
    mine = result.tables["friend_candidates"].filter(pl.col("viewer_id") == 1)
    assert mine["candidate_id"].to_list() == list(range(100, 200))
    assert shown(result, 1) == [100, 101, 102, 103, 104]


def test_impressions_do_not_hide_better_friends_of_friends_beyond_the_first_hundred() -> None:
    crowd = range(100, 400)
    seen = [{"id": c, "user_id": 1, "candidate_id": c, "shown_at": AS_OF - timedelta(days=1)} for c in crowd if c < 250]
    tables = {"staged_users": users(1, 2, *crowd), "staged_friendships": friendships((1, 2), *[(2, c) for c in crowd])}
    result = run({**tables, "staged_recommendation_impressions": seen}, FriendsSettings(k=5))
    assert shown(result, 1) == [250, 251, 252, 253, 254]
