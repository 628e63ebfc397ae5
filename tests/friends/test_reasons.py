"""Reasons and privacy (2.4): every reason is true, none reveals what it must not."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.support.friends import AS_OF, counts, friendships, row, run, users

VIA_TWO = friendships((1, 2), (2, 3))


def pair(people: list[dict[str, Any]], **tables: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of viewer 1 and candidate 3."""
    return row(run({"staged_users": people, **tables}), 1, 3)


def test_mutual_friends_are_counted_and_at_most_three_named_the_rarest_first() -> None:
    edges = friendships(*[(1, m) for m in range(10, 15)], *[(3, m) for m in range(10, 15)], (10, 90), (11, 91))
    found = pair(users(1, 3, *range(10, 15), 90, 91), staged_friendships=edges)
    assert (found["reason_code"], found["mutual_count"]) == ("mutual_friends", 5)
    assert found["mutual_sample_ids"] == [12, 13, 14]


@pytest.mark.parametrize("private", [2, 3])
def test_a_single_mutual_friend_that_may_not_be_named_is_not_betrayed(private: int) -> None:
    people = [*users(*{1, 2, 3} - {private}), *users(private, friend_list_visibility="private")]
    found = pair(people, staged_friendships=VIA_TWO)
    assert (found["mutual_count"], found["mutual_sample_ids"]) == (0, [])
    assert found["reason_code"] == "popular_in_country"
    assert found["sources"] == ["friends_of_friends"]


def test_the_viewers_own_private_friend_list_hides_nothing_from_the_viewer() -> None:
    people = [*users(2, 3), *users(1, friend_list_visibility="private")]
    assert pair(people, staged_friendships=VIA_TWO)["mutual_sample_ids"] == [2]


@pytest.mark.parametrize("block", [(2, 1), (1, 2), (2, 3), (3, 2)])
def test_a_mutual_friend_with_a_block_on_either_side_is_not_named(block: tuple[int, int]) -> None:
    blocks = [{"blocker_id": block[0], "blocked_id": block[1]}]
    found = pair(users(1, 2, 3), staged_friendships=VIA_TWO, staged_blocks=blocks)
    assert (found["mutual_count"], found["reason_code"]) == (0, "popular_in_country")


def test_two_mutual_friends_that_may_not_be_named_are_counted_but_not_named() -> None:
    people = [*users(1, 3), *users(2, 4, friend_list_visibility="private")]
    found = pair(people, staged_friendships=friendships((1, 2), (2, 3), (1, 4), (3, 4)))
    assert (found["mutual_count"], found["mutual_sample_ids"]) == (2, [])
    assert found["reason_code"] == "mutual_friends"


def test_extended_network_is_said_of_a_hidden_pair_only_for_a_path_around_the_hidden_friend() -> None:
    people = [*users(1, 3, 5, 6), *users(2, friend_list_visibility="private")]
    around = friendships((1, 2), (2, 3), (1, 5), (5, 6), (3, 6))
    through = friendships((1, 2), (2, 3), (1, 5), (2, 5), (2, 6), (3, 6))
    assert pair(people, staged_friendships=around)["reason_code"] == "extended_network"
    assert pair(people, staged_friendships=through)["reason_code"] == "popular_in_country"


@pytest.mark.parametrize(("length", "reason"), [(3, "extended_network"), (4, "extended_network"), (5, "suggested")])
def test_extended_network_is_a_path_of_at_most_four_edges(length: int, reason: str) -> None:
    chain = [1, *range(10, 9 + length), 3]
    edges = friendships(*pairwise(chain))
    assert pair(users(*chain, country=None), staged_friendships=edges)["reason_code"] == reason


def members(*groups: int) -> list[dict[str, Any]]:
    return [{"group_id": g, "user_id": u} for g in groups for u in (1, 3)]


def test_the_strongest_kind_of_shared_group_is_the_reason_and_three_are_named() -> None:
    kinds = ["interest", "group", "employer", "school"]
    groups = [{"id": i, "kind": kind} for i, kind in enumerate(kinds)]
    for strongest in range(1, 5):
        expected = ["shared_interest", "shared_group", "shared_employer", "shared_school"][strongest - 1]
        found = pair(users(1, 3), staged_groups=groups, staged_memberships=members(*range(strongest)))
        assert (found["reason_code"], found["shared_group_count"]) == (expected, strongest)
        assert found["shared_group_ids"] == list(range(min(strongest, 3)))


def test_a_shared_place_is_neither_a_reason_nor_named_nor_counted() -> None:
    found = pair(users(1, 3, country=None), staged_groups=[{"id": 1, "kind": "place"}], staged_memberships=members(1))
    assert (found["reason_code"], found["shared_group_count"], found["shared_group_ids"]) == ("suggested", 0, [])
    assert found["sources"] == ["co_membership"]


@pytest.mark.parametrize("column", [{"left_at": AS_OF}, {"joined_at": AS_OF}])
def test_a_membership_that_is_not_in_force_shares_nothing(column: dict[str, Any]) -> None:
    rows = [{**m, **column} for m in members(1)]
    found = pair(users(1, 3), staged_groups=[{"id": 1}], staged_memberships=rows)
    assert (found["reason_code"], found["sources"]) == ("suggested", ["popular"])


MENTION = {"id": 9, "verb": "post", "object_type": "post", "object_id": 9}


@pytest.mark.parametrize(
    ("activity", "reason"),
    [
        ({"actor_id": 1, "mentioned_user_ids": [3], "audience": "only_me"}, "interaction"),
        ({"actor_id": 3, "mentioned_user_ids": [1]}, "interaction"),
        ({"actor_id": 3, "mentioned_user_ids": [1], "audience": "friends"}, "suggested"),
        ({"actor_id": 3, "reply_to_user_id": 1, "object_audience": "friends"}, "suggested"),
        ({"actor_id": 3, "mentioned_user_ids": [1], "group_id": 5}, "suggested"),
        ({"actor_id": 3, "mentioned_user_ids": [1, 4]}, "suggested"),
        ({"actor_id": 3, "mentioned_user_ids": [1], "created_at": AS_OF - timedelta(days=91)}, "suggested"),
        ({"actor_id": 3, "mentioned_user_ids": [1], "created_at": AS_OF - timedelta(days=90)}, "interaction"),
        ({"actor_id": 3, "mentioned_user_ids": [1], "created_at": AS_OF}, "suggested"),
        ({"actor_id": 3, "mentioned_user_ids": [1], "deleted_at": AS_OF + timedelta(days=9)}, "suggested"),
    ],
)
def test_an_interaction_reason_uses_only_what_the_viewer_made_or_may_read(
    activity: dict[str, Any], reason: str
) -> None:
    found = pair(
        users(1, 3, 4, country=None),
        staged_activities=[{**MENTION, **activity}],
        staged_groups=[{"id": 5, "is_private": True}],
        staged_blocks=[{"blocker_id": 4, "blocked_id": 1}],
    )
    assert found["reason_code"] == reason


def test_a_comment_on_the_others_post_counts_for_both_and_is_gone_with_the_post() -> None:
    post = {"id": 7, "actor_id": 3, "verb": "post", "object_type": "post", "object_id": 7}
    comment = {"id": 8, "actor_id": 1, "verb": "comment", "object_type": "post", "object_id": 7}
    people = users(1, 3, country=None)
    result = run({"staged_users": people, "staged_activities": [post, comment]})
    assert row(result, 1, 3)["reason_code"] == row(result, 3, 1)["reason_code"] == "interaction"
    post["deleted_at"] = AS_OF
    assert pair(people, staged_activities=[post, comment])["reason_code"] == "suggested"


def test_popular_in_country_needs_the_same_known_country_and_a_friend() -> None:
    assert pair(users(1, 3, 4), staged_friendships=friendships((3, 4)))["reason_code"] == "popular_in_country"
    assert pair(users(1, 3, 4))["reason_code"] == "suggested"
    nowhere = users(1, 3, 4, country=None)
    assert pair(nowhere, staged_friendships=friendships((3, 4)))["reason_code"] == "suggested"


def test_who_blocked_everyone_is_shown_nobody_and_to_nobody() -> None:
    blocks = [{"blocker_id": 1, "blocked_id": other} for other in (2, 3, 4)]
    result = run({"staged_users": users(1, 2, 3, 4), "staged_blocks": blocks})
    assert 1 not in result.tables["friend_recommendations"].select("viewer_id", "candidate_id").unpivot()["value"]
    assert counts(result)["blocked"] == 6
