"""Every filter of 2.3: what it removes, in which direction, up to which instant, and how it is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.friends import AS_OF, TICK, counts, friendships, run, shown, users

DAY = timedelta(days=1)
THREE = users(1, 2, 3)


def removed(table: str, *rows: dict[str, Any], people: list[dict[str, Any]] = THREE) -> set[tuple[int, int]]:
    """The (viewer, candidate) pairs that the rows remove, of a world without friendships."""
    result = run({"staged_users": people, table: list(rows)})
    viewers = [u["id"] for u in people]
    return {(v, c) for v in viewers for c in viewers if v != c and c not in shown(result, v)}


def test_everyone_is_shown_where_nothing_forbids_it() -> None:
    assert removed("staged_blocks") == set()


def test_a_blocked_user_is_not_recommended_in_either_direction_whatever_the_time() -> None:
    block = {"blocker_id": 1, "blocked_id": 2, "created_at": AS_OF + 30 * DAY}
    assert removed("staged_blocks", block) == {(1, 2), (2, 1)}


@pytest.mark.parametrize(
    ("request_", "is_pending"),
    [
        ({"created_at": AS_OF - TICK}, True),
        ({"created_at": AS_OF}, False),
        ({"status": "accepted", "responded_at": AS_OF}, False),
        ({"status": "accepted", "responded_at": AS_OF + TICK}, True),
        ({"status": "declined", "responded_at": AS_OF - DAY}, False),
        ({"status": "cancelled", "responded_at": None}, False),
    ],
)
def test_a_pending_request_removes_both_directions(request_: dict[str, Any], is_pending: bool) -> None:
    expected = {(1, 2), (2, 1)} if is_pending else set()
    assert removed("staged_friend_requests", {"id": 1, "requester_id": 1, "addressee_id": 2, **request_}) == expected


@pytest.mark.parametrize(
    ("mute", "is_muted"),
    [
        ({"created_at": AS_OF + DAY}, True),
        ({"scope": "reshares"}, False),
        ({"expires_at": AS_OF}, False),
        ({"expires_at": AS_OF + TICK}, True),
    ],
)
def test_a_muted_user_is_not_recommended_to_the_muter(mute: dict[str, Any], is_muted: bool) -> None:
    assert removed("staged_mutes", {"muter_id": 1, "muted_id": 2, **mute}) == ({(1, 2)} if is_muted else set())


@pytest.mark.parametrize(
    ("count", "dismissed_at", "holds"),
    [
        (1, AS_OF - 90 * DAY, False),
        (1, AS_OF - 90 * DAY + TICK, True),
        (2, AS_OF - 180 * DAY + TICK, True),
        (2, AS_OF - 180 * DAY, False),
        (3, AS_OF - 5000 * DAY, True),
        (1, AS_OF + DAY, True),
    ],
)
def test_a_dismissal_holds_longer_each_time_and_the_third_for_ever(count: int, dismissed_at: Any, holds: bool) -> None:
    row = {"user_id": 1, "candidate_id": 2, "dismissed_at": dismissed_at, "dismissal_count": count}
    assert removed("staged_recommendation_dismissals", row) == ({(1, 2)} if holds else set())


@pytest.mark.parametrize(
    ("ended_at", "holds"), [(AS_OF - 180 * DAY, False), (AS_OF - 180 * DAY + TICK, True), (AS_OF, True)]
)
def test_a_former_friend_stays_away_for_180_days(ended_at: Any, holds: bool) -> None:
    expected = {(1, 2), (2, 1)} if holds else set()
    assert removed("staged_friendships", *friendships((1, 2), ended_at=ended_at)) == expected


def test_a_friendship_that_ends_later_is_still_one_and_one_that_begins_later_is_not_yet() -> None:
    assert removed("staged_friendships", *friendships((1, 2), ended_at=AS_OF + TICK)) == {(1, 2), (2, 1)}
    assert removed("staged_friendships", *friendships((1, 2), created_at=AS_OF)) == set()
    assert removed("staged_friendships", *friendships((1, 2), created_at=AS_OF - TICK)) == {(1, 2), (2, 1)}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"profile_visibility": "private"}, "candidate_private"),
        ({"is_discoverable": False}, "candidate_not_discoverable"),
    ],
)
def test_a_candidate_who_hides_is_shown_to_nobody_and_still_sees_others(columns: dict[str, Any], reason: str) -> None:
    result = run({"staged_users": [*users(1, 3), *users(2, **columns)]})
    assert (shown(result, 1), shown(result, 2)) == ([3], [1, 3])
    assert counts(result)[reason] == 2


def test_who_wants_no_recommendations_neither_sees_nor_is_shown() -> None:
    result = run({"staged_users": [*users(1, 3), *users(2, wants_recommendations=False)]})
    assert (shown(result, 1), shown(result, 2), shown(result, 3)) == ([3], [], [1])
    assert counts(result)["opted_out"] == 2


@pytest.mark.parametrize("columns", [{"status": "deactivated"}, {"status": "suspended"}, {"created_at": AS_OF}])
def test_who_is_not_active_at_as_of_is_no_candidate_and_carries_no_path(columns: dict[str, Any]) -> None:
    people = [*users(1, 3), *users(2, **columns)]
    result = run({"staged_users": people, "staged_friendships": friendships((1, 2), (2, 3))})
    assert (shown(result, 1), shown(result, 2)) == ([3], [])
    assert sum(counts(result).values()) == 0
    assert result.tables["friend_recommendations"]["reason_code"].to_list() == ["suggested", "suggested"]


@pytest.mark.parametrize(
    ("times", "is_exhausted"),
    [
        ([AS_OF - TICK] * 10, True),
        ([AS_OF - TICK] * 9, False),
        ([AS_OF] + [AS_OF - TICK] * 9, False),
        ([AS_OF - 60 * DAY] * 10, True),
        ([AS_OF - 60 * DAY - TICK] * 10, False),
    ],
)
def test_ten_impressions_in_sixty_days_exhaust_a_pair(times: list[Any], is_exhausted: bool) -> None:
    rows = [{"id": n, "user_id": 1, "candidate_id": 2, "shown_at": at} for n, at in enumerate(times)]
    assert removed("staged_recommendation_impressions", *rows) == ({(1, 2)} if is_exhausted else set())


def test_a_pair_counts_once_under_the_first_filter_that_holds() -> None:
    people = [*users(1), *users(2, profile_visibility="private", is_discoverable=False, wants_recommendations=False)]
    rows = {
        "staged_users": people,
        "staged_friend_requests": [{"id": 1, "requester_id": 2, "addressee_id": 1}],
        "staged_blocks": [{"blocker_id": 2, "blocked_id": 1}],
        "staged_mutes": [{"muter_id": 1, "muted_id": 2}],
        "staged_recommendation_dismissals": [{"user_id": 1, "candidate_id": 2}],
        "staged_friendships": friendships((1, 2), ended_at=AS_OF - DAY),
        "staged_recommendation_impressions": [{"id": n, "user_id": 1, "candidate_id": 2} for n in range(10)],
    }
    order = {
        "staged_friend_requests": "request_pending",
        "staged_blocks": "blocked",
        "staged_mutes": "muted",
        "staged_recommendation_dismissals": "dismissed",
        "staged_friendships": "unfriended",
    }
    for table, reason in order.items():
        assert {r: n for r, n in counts(run(rows)).items() if n} == {reason: 1}
        del rows[table]
    for column, value, reason in (
        ("profile_visibility", "public", "candidate_private"),
        ("is_discoverable", True, "candidate_not_discoverable"),
    ):
        assert {r: n for r, n in counts(run(rows)).items() if n} == {reason: 1}
        people[1][column] = value
    assert {r: n for r, n in counts(run(rows)).items() if n} == {"opted_out": 1}
    people[1]["wants_recommendations"] = True
    assert {r: n for r, n in counts(run(rows)).items() if n} == {"impressions_exhausted": 1}
