"""Odd worlds of the learned ranker and of the fixed weights: nobody is lost, nothing falls over."""

from __future__ import annotations

import pytest

from quality.contract import judge
from quality.registry import REGISTRY
from store.settings import FriendsSettings
from tests.friends.test_learned import circles
from tests.support.friends import friendships, run, shown, users


@pytest.mark.parametrize("ranker", ["learned", "fixed_weights"])
def test_a_hub_a_hermit_an_isolated_pair_and_who_blocked_everybody_have_right_lists(ranker: str) -> None:
    rows = circles()
    hub, hermit, one, other, blocker = 1000, 1001, 1002, 1003, 1004
    crowd = range(2000, 7000)
    rows["staged_users"] += users(hub, hermit, one, other, blocker, *crowd)
    rows["staged_friendships"] += friendships(*[(hub, c) for c in crowd], (one, other), (one, other), (one, one))
    everybody = [u["id"] for u in rows["staged_users"] if u["id"] != blocker]
    rows["staged_blocks"] += [{"blocker_id": blocker, "blocked_id": i} for i in everybody]
    result = run(rows, FriendsSettings(k=10, ranker=ranker))  # type: ignore[arg-type]
    for name, made in result.tables.items():
        assert judge(REGISTRY[name], made) == []
    assert shown(result, blocker) == []
    assert [len(shown(result, v)) for v in (hub, hermit, one, 1, 2000)] == [10] * 5
    assert not set(shown(result, hub)) & {*crowd, hub}
    assert other not in shown(result, one) and one not in shown(result, one)
    assert blocker not in set(result.tables["friend_recommendations"]["candidate_id"])


@pytest.mark.parametrize("ranker", ["learned", "fixed_weights"])
def test_worlds_of_nobody_of_one_of_two_and_without_any_friendship_have_right_lists(ranker: str) -> None:
    config = FriendsSettings(ranker=ranker)  # type: ignore[arg-type]
    assert run({}, config).tables["friend_recommendations"].is_empty()
    assert shown(run({"staged_users": users(1)}, config), 1) == []
    strangers = run({"staged_users": users(1, 2)}, config)
    assert (shown(strangers, 1), shown(strangers, 2)) == ([2], [1])
    friends = run({"staged_users": users(1, 2), "staged_friendships": friendships((1, 2), (1, 2), (1, 1))}, config)
    assert (shown(friends, 1), shown(friends, 2)) == ([], [])
    alone = run({"staged_users": users(*range(300))}, config)
    assert alone.tables["friend_recommendations"].group_by("viewer_id").len()["len"].unique().to_list() == [50]
    for result in (strangers, friends, alone):
        assert not result.tables["friend_model"]["is_learned"].any()
        for name, made in result.tables.items():
            assert judge(REGISTRY[name], made) == []


def test_a_learned_score_is_never_below_what_popularity_gives() -> None:
    rows = circles()
    rows["staged_users"] += users(1000)
    table = run(rows, FriendsSettings(k=10, ranker="learned")).tables["friend_recommendations"]
    only_popular = table["sources"].list.join(",") == "popular"
    assert only_popular.any()
    assert table.filter(only_popular)["score"].max() <= 900
    assert table.filter(~only_popular)["score"].max() <= 10**6
