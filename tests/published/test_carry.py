"""Carried recommendations and past digests against a plain reading of the rules they are filtered by again."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.digests.allowed import judged
from assets.published import carry
from assets.published.carry import still_allowed, still_recommendable
from assets.published.people import known_users
from store.settings import FriendsSettings
from tests.support.serving import AS_OF, built_digest, recommendation, sample_frames, table, user

DAY = timedelta(days=1)


def refiltered(**changes: Any) -> list[tuple[int, int, list[int]]]:
    """(rank, candidate, samples) left of viewer 1's candidates 3, 4, 5 (mutual: 2)."""
    frames = {**sample_frames(), **{name: table(name, rows) for name, rows in changes.items()}}
    rows = [recommendation(1, rank, candidate) for rank, candidate in enumerate((3, 4, 5), start=1)]
    left = still_recommendable(table("friend_recommendations", rows), frames, AS_OF, FriendsSettings()).collect()
    assert left.columns == list(rows[0])
    return list(left.select("rank", "candidate_id", "mutual_sample_ids").iter_rows())


def users(**changes: Any) -> list[dict[str, Any]]:
    """Users 1 … 5, user 4 changed."""
    return [user(n, **(changes if n == 4 else {})) for n in range(1, 6)]


def block(a: int, b: int) -> dict[str, Any]:
    return {"blocker_id": a, "blocked_id": b, "created_at": AS_OF - DAY}


GONE: dict[str, dict[str, list[dict[str, Any]]]] = {
    "erased": {"staged_users": [row for row in users() if row["id"] != 4]},
    "deactivated": {"staged_users": users(status="deactivated")},
    "private": {"staged_users": users(profile_visibility="private")},
    "not discoverable": {"staged_users": users(is_discoverable=False)},
    "opted out": {"staged_users": users(wants_recommendations=False)},
    "a friend now": {"staged_friendships": [{"user_a_id": 1, "user_b_id": 4, "created_at": AS_OF - DAY}]},
    "a former friend": {"staged_friendships": [
        {"user_a_id": 1, "user_b_id": 4, "created_at": AS_OF - 9 * DAY, "ended_at": AS_OF - DAY}]},
    "blocked": {"staged_blocks": [block(1, 4)]},
    "blocking": {"staged_blocks": [block(4, 1)]},
    "muted": {"staged_mutes": [{"muter_id": 1, "muted_id": 4, "scope": "all", "created_at": AS_OF - DAY}]},
    "dismissed": {"staged_recommendation_dismissals": [
        {"user_id": 1, "candidate_id": 4, "dismissed_at": AS_OF - DAY, "dismissal_count": 1}]},
    "requested": {"staged_friend_requests": [
        {"id": 1, "requester_id": 4, "addressee_id": 1, "status": "pending", "created_at": AS_OF - DAY}]},
}  # fmt: skip


@pytest.mark.parametrize("why", GONE)
def test_a_carried_candidate_is_dropped_and_ranks_are_dense_again(why: str) -> None:
    assert refiltered(**GONE[why]) == [(1, 3, [2]), (2, 5, [2])]


def test_nothing_changed_keeps_every_row() -> None:
    assert refiltered() == [(1, 3, [2]), (2, 4, [2]), (3, 5, [2])]


def test_impressions_since_then_do_not_drop_a_carried_candidate() -> None:
    shown = [{"id": n, "user_id": 1, "candidate_id": 4, "shown_at": AS_OF - DAY} for n in range(20)]
    assert len(refiltered(staged_recommendation_impressions=shown)) == 3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"staged_users": [user(n) for n in (1, 3, 4, 5)]}, [[], [], []]),
        ({"staged_users": [user(n, friend_list_visibility="private" if n == 2 else "public") for n in range(1, 6)]},
         [[], [], []]),
        ({"staged_blocks": [block(2, 1)]}, [[], [], []]),
        ({"staged_blocks": [block(4, 2)]}, [[2], [], [2]]),
        ({"staged_users": users(friend_list_visibility="private")}, [[2], [], [2]]),
    ],
)  # fmt: skip
def test_a_mutual_friend_who_may_no_longer_be_named_is_not_named(
    changes: dict[str, Any], named: list[list[int]]
) -> None:
    assert [samples for _, _, samples in refiltered(**changes)] == named


@pytest.mark.parametrize(
    "changes",
    [
        {"staged_users": users(friend_list_visibility="private")},
        {"staged_blocks": [block(4, 2)]},
    ],
)
def test_a_single_mutual_friend_who_may_no_longer_be_named_is_not_counted_and_is_no_reason(
    changes: dict[str, list[dict[str, Any]]],
) -> None:
    frames = {**sample_frames(), **{name: table(name, rows) for name, rows in changes.items()}}
    rows = [recommendation(1, 1, 4), recommendation(1, 2, 5), recommendation(1, 3, 3, mutual_count=2)]
    left = still_recommendable(table("friend_recommendations", rows), frames, AS_OF, FriendsSettings()).collect()
    told = left.sort("rank").select("candidate_id", "reason_code", "mutual_count", "mutual_sample_ids")
    assert list(told.iter_rows()) == [
        (4, "suggested", 0, []), (5, "mutual_friends", 1, [2]), (3, "mutual_friends", 2, [2])]  # fmt: skip


def test_equal_scores_are_ordered_by_the_mutual_friends_that_are_still_told() -> None:
    rows = [recommendation(1, 1, 4, score=9), recommendation(1, 2, 5, score=9)]
    frames = {**sample_frames(), "staged_blocks": table("staged_blocks", [block(4, 2)])}
    left = still_recommendable(table("friend_recommendations", rows), frames, AS_OF, FriendsSettings()).collect()
    assert list(left.select("rank", "candidate_id", "mutual_count").iter_rows()) == [(1, 5, 1), (2, 4, 0)]


people = st.integers(1, 6)
pairs = st.sets(st.tuples(people, people).filter(lambda p: p[0] != p[1]), max_size=6)
Pairs = set[tuple[int, int]]


@given(recommended=pairs, friends=pairs, blocks=pairs, mutes=pairs, gone=st.sets(people, max_size=2))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_filtered_pair_survives_and_no_other_is_lost(
    recommended: Pairs, friends: Pairs, blocks: Pairs, mutes: Pairs, gone: set[int]
) -> None:
    edges = {(min(pair), max(pair)) for pair in friends}
    frames = sample_frames()
    frames["staged_users"] = table("staged_users", [user(n) for n in range(1, 7) if n not in gone])
    frames["staged_friendships"] = table("staged_friendships", [
        {"user_a_id": a, "user_b_id": b, "created_at": AS_OF - DAY} for a, b in sorted(edges)])  # fmt: skip
    frames["staged_blocks"] = table("staged_blocks", [block(a, b) for a, b in sorted(blocks)])
    frames["staged_mutes"] = table("staged_mutes", [
        {"muter_id": a, "muted_id": b, "scope": "all", "created_at": AS_OF} for a, b in sorted(mutes)])  # fmt: skip
    per_viewer: dict[int, list[int]] = {}
    for viewer, candidate in sorted(recommended):
        per_viewer.setdefault(viewer, []).append(candidate)
    rows = [
        recommendation(v, rank, c, mutual_sample_ids=[]) for v, cs in per_viewer.items() for rank, c in enumerate(cs, 1)
    ]
    left = still_recommendable(table("friend_recommendations", rows), frames, AS_OF, FriendsSettings()).collect()

    def kept(v: int, c: int) -> bool:
        are_friends, is_blocked = (min(v, c), max(v, c)) in edges, bool({(v, c), (c, v)} & blocks)
        return not ({v, c} & gone or are_friends or is_blocked or (v, c) in mutes)

    expected = [
        (viewer, rank, candidate)
        for viewer, candidates in sorted(per_viewer.items())
        for rank, candidate in enumerate([c for c in candidates if kept(viewer, c)], start=1)
    ]
    assert list(left.sort("viewer_id", "rank").select("viewer_id", "rank", "candidate_id").iter_rows()) == expected


def own_post(**changes: Any) -> dict[str, Any]:
    """Post 5001 of user 1, whom the digest of :func:`still_shown` tells what 2, 3 and 6 made of it."""
    return {"id": 5001, "actor_id": 1, "verb": "post", "object_type": "post", "object_id": 5001, "object_owner_id": 1,
            "audience": "public", "object_audience": "public", "created_at": AS_OF - 9 * DAY,
            "mentioned_user_ids": [], **changes}  # fmt: skip


def still_shown(groups: list[dict[str, Any]] | None = None, **changes: Any) -> bool:
    """Whether user 1 still sees a digest of three days ago, after ``changes``."""
    frames = {**sample_frames(), **{name: table(name, rows) for name, rows in changes.items()}}
    frames.setdefault("staged_activities", table("staged_activities", [own_post()]))
    digest = built_digest(3)
    digest["groups"][0] |= {"object_id": 5001}
    history = table("digest_history", [digest if groups is None else digest | {"groups": groups}])
    known = known_users(frames["staged_users"].collect(), AS_OF)
    left = still_allowed(history.collect(), frames, known, AS_OF)
    assert left.columns == history.collect_schema().names()
    return left.height == 1


def all_but(*missing: int, **changes: Any) -> list[dict[str, Any]]:
    return [user(n, **(changes if n == 2 else {})) for n in range(1, 7) if n not in missing]


def member(left: Any = None) -> dict[str, Any]:
    return {"group_id": 8, "user_id": 1, "role": "member", "joined_at": AS_OF - 9 * DAY, "left_at": left}


def group(*, is_private: bool) -> dict[str, Any]:
    return {"id": 8, "name": "g", "kind": "group", "is_private": is_private, "created_at": AS_OF - 90 * DAY}


def friendship(ended: Any = None) -> dict[str, Any]:
    return {"user_a_id": 1, "user_b_id": 2, "created_at": AS_OF - 90 * DAY, "ended_at": ended}


def mute(scope: str = "all", **changes: Any) -> dict[str, Any]:
    return {"muter_id": 1, "muted_id": 2, "scope": scope, "created_at": AS_OF - 5 * DAY, **changes}


LEFT = [member(AS_OF - DAY)]
OF_TWO = own_post(actor_id=2, object_owner_id=2, audience="friends")
IN_GROUP = own_post(group_id=8)
CHANGES: dict[str, tuple[bool, dict[str, list[dict[str, Any]]]]] = {
    "nothing changed": (True, {}),
    "somebody it names was erased": (False, {"staged_users": all_but(3)}),
    "somebody it names was suspended": (False, {"staged_users": all_but(status="suspended")}),
    "somebody behind it, not named, was erased": (False, {"staged_users": all_but(6)}),
    "its reader blocked one": (False, {"staged_blocks": [block(1, 2)]}),
    "one blocked its reader": (False, {"staged_blocks": [block(3, 1)]}),
    "others blocked each other": (True, {"staged_blocks": [block(3, 2)]}),
    "its reader muted one": (False, {"staged_mutes": [mute()]}),
    "a mute that is over": (True, {"staged_mutes": [mute(expires_at=AS_OF)]}),
    "reshares muted": (True, {"staged_mutes": [mute("reshares")]}),
    "the post was deleted": (False, {"staged_activities": [own_post(deleted_at=AS_OF - DAY)]}),
    "the post is gone": (False, {"staged_activities": []}),
    "the post is for friends": (True, {"staged_activities": [OF_TWO], "staged_friendships": [friendship()]}),
    "the friendship ended": (False, {"staged_activities": [OF_TWO], "staged_friendships": [friendship(AS_OF - DAY)]}),
    "the post is its author's alone now": (False, {
        "staged_activities": [OF_TWO | {"audience": "only_me"}], "staged_friendships": [friendship()]}),
    "a private group": (True, {"staged_activities": [IN_GROUP], "staged_groups": [group(is_private=True)],
                               "staged_memberships": [member()]}),
    "a private group that its reader left": (False, {
        "staged_activities": [IN_GROUP], "staged_groups": [group(is_private=True)], "staged_memberships": LEFT}),
    "an open group that its reader left": (True, {
        "staged_activities": [IN_GROUP], "staged_groups": [group(is_private=False)], "staged_memberships": LEFT}),
}  # fmt: skip


@pytest.mark.parametrize("why", CHANGES)
def test_a_past_digest_is_shown_while_everything_in_it_may_be(why: str) -> None:
    expected, changes = CHANGES[why]
    assert still_shown(**changes) is expected


def test_a_digest_without_groups_and_one_of_nobodys_doing_stay() -> None:
    billing = built_digest(3)["groups"][0] | {
        "object_type": None, "object_id": None, "sample_actor_ids": [], "principal_ids": []}  # fmt: skip
    assert still_shown(groups=[])
    assert still_shown(groups=[billing])


@pytest.mark.parametrize(("left", "is_private", "shown"), [
    ([member(AS_OF - DAY)], True, False), ([member()], True, True), ([], True, True),
    ([member(AS_OF - DAY)], False, True),
    ([member(AS_OF - 2 * DAY), member() | {"joined_at": AS_OF - DAY}], True, True),
])  # fmt: skip
def test_who_left_a_private_group_is_told_of_it_no_more(left: Any, is_private: bool, shown: bool) -> None:
    invited = built_digest(3)["groups"][0] | {"object_type": "group", "object_id": 8}
    changes = {"staged_groups": [group(is_private=is_private)], "staged_memberships": left}
    assert still_shown(groups=[invited], **changes) is shown


def test_a_line_about_somebody_who_is_forgotten_stays() -> None:
    forgotten = built_digest(3)["groups"][0] | {
        "object_type": "user", "object_id": None, "principal_ids": [2], "sample_actor_ids": [2]}  # fmt: skip
    assert still_shown(groups=[forgotten])


def test_one_group_that_may_not_be_told_takes_its_digest_away_and_no_other() -> None:
    frames = sample_frames()
    frames["staged_blocks"] = table("staged_blocks", [block(1, 2)])
    others = [built_digest(n) for n in (1, 2)]
    others[0]["groups"][0] |= {"principal_ids": [3], "sample_actor_ids": [3]}
    known = known_users(frames["staged_users"].collect(), AS_OF)
    left = still_allowed(table("digest_history", others).collect(), frames, known, AS_OF)
    assert left["digest_id"].to_list() == [others[0]["digest_id"]]


def some_line(chance: Random) -> dict[str, Any]:
    kinds = ["post"] * 4 + ["comment"] * 4 + ["user", "group", "story", None]
    named = [[chance.randint(1, 7)] if chance.random() < 0.3 else [] for _ in range(2)]
    return built_digest(1)["groups"][0] | {
        "object_type": chance.choice(kinds),
        "object_id": chance.choice([*range(1, 13), None]),
        "principal_ids": named[0],
        "sample_actor_ids": named[1],
    }


def some_world(chance: Random) -> dict[str, pl.LazyFrame]:
    """Seven people, twelve activities, three groups, and whatever may have changed since a digest was built."""

    def some_pairs(least: int, most: int) -> list[tuple[int, int]]:
        return [tuple(chance.sample(range(1, 8), 2)) for _ in range(chance.randint(least, most))]  # type: ignore[misc]

    audiences, ends = ["public", "public", "public", "friends", "only_me"], [None, AS_OF - DAY, AS_OF + DAY]
    rows = {
        "staged_users": [user(n) for n in range(1, 8) if chance.random() < 0.9],
        "staged_activities": [
            {
                "id": n,
                "mentioned_user_ids": [],
                "verb": chance.choice(["post", "comment"]),
                "actor_id": chance.randint(1, 7),
                "object_type": chance.choice(["post", "comment", "user"]),
                "object_id": chance.randint(1, 12),
                "object_owner_id": chance.choice([None, *range(1, 8)]),
                "group_id": chance.choice([None, None, 1, 2, 3]),
                "audience": chance.choice(audiences),
                "object_audience": chance.choice(audiences),
                "deleted_at": chance.choice([None] * 5 + [AS_OF - DAY]),
                "created_at": chance.choice([AS_OF - 9 * DAY] * 5 + [AS_OF]),
            }
            for n in range(1, 13)
        ],
        "staged_blocks": [block(*pair) for pair in some_pairs(0, 3)],
        "staged_mutes": [
            mute(chance.choice(["all", "reshares"]), muter_id=a, muted_id=b, expires_at=chance.choice(ends))
            for a, b in some_pairs(0, 3)
        ],
        "staged_friendships": [
            friendship(chance.choice(ends)) | {"user_a_id": a, "user_b_id": b}
            for a, b in {tuple(sorted(pair)) for pair in some_pairs(3, 12)}
        ],
        "staged_groups": [group(is_private=chance.random() < 0.6) | {"id": n} for n in (1, 2)],
        "staged_memberships": [
            member(chance.choice(ends)) | {"group_id": g, "user_id": u}
            for g in (1, 2, 3)
            for u in range(1, 8)
            if chance.random() < 0.6
        ],
    }
    return sample_frames() | {name: table(name, each) for name, each in rows.items()}


@pytest.mark.parametrize("seed", range(12))
def test_past_digests_are_judged_as_if_every_line_were_told_anew(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of the slices, a digest stays exactly when `judged` refuses none of its lines."""
    chance = Random(seed)
    frames = some_world(chance)
    lines = [[some_line(chance) for _ in range(chance.choice([0, 1, 1, 1, 2]))] for _ in range(150)]
    digests = [built_digest(n, chance.randint(1, 7), groups=groups) for n, groups in enumerate(lines, 1)]
    history, known = table("digest_history", digests).collect(), known_users(frames["staged_users"].collect(), AS_OF)
    monkeypatch.setattr(carry, "LINES_AT_ONCE", chance.randint(1, 60))
    left, refused = still_allowed(history, frames, known, AS_OF), refused_digests(history, frames, known)
    assert left["digest_id"].to_list() == [each for each in history["digest_id"] if each not in refused]
    assert 0 < left.height < history.height


def refused_digests(history: pl.DataFrame, frames: dict[str, pl.LazyFrame], known: pl.DataFrame) -> set[str]:
    """Digests with a line that `judged` refuses for anyone it names, or that tells of a private group once left."""
    asked, refused = [], set()
    memberships = frames["staged_memberships"].collect().rows(named=True)
    private_ids = set(frames["staged_groups"].filter("is_private").collect()["id"])
    for digest in history.iter_rows(named=True):
        me = digest["user_id"]
        for told in digest["groups"]:
            is_there = told["object_id"] is not None
            for who in {*told["principal_ids"], *told["sample_actor_ids"]} or {None}:
                kind = told["object_type"] if is_there else None
                asked.append((digest["digest_id"], me, None, who, kind, told["object_id"]))
            mine = [m["left_at"] for m in memberships if (m["group_id"], m["user_id"]) == (told["object_id"], me)]
            has_left = any(end is not None and end <= AS_OF for end in mine)
            is_in = any(end is None or end > AS_OF for end in mine)
            if told["object_type"] == "group" and told["object_id"] in private_ids and has_left and not is_in:
                refused.add(digest["digest_id"])
    schema = {"digest_id": pl.String, "user_id": pl.Int64, "verb": pl.String, "actor_id": pl.Int64,
              "object_type": pl.String, "object_id": pl.Int64}  # fmt: skip
    told_of = pl.DataFrame(asked, schema=schema, orient="row").with_row_index("notification_id")
    verdicts = judged(told_of.lazy(), known.lazy(), frames, AS_OF).drop_nulls("refusal").collect()
    return refused | set(told_of.filter(pl.col("notification_id").is_in(verdicts["notification_id"]))["digest_id"])
