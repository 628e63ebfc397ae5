"""Every item's JSON, sort key and guards against the models and scalar rules, one row at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.published.digests import detail_rows, digest_keys, digest_list
from assets.published.encoding import UnwritableInstant, json_texts
from assets.published.feed import feed_list
from assets.published.friends import recommendation_list
from assets.published.guards import ReplyRule
from assets.published.premium import entitlement_list, usage_list
from assets.published.rows import GUARDS
from store import payloads
from store.payloads import instant_text
from tests.support.serving import (
    AS_OF,
    built_digest,
    entitlement,
    feed_item,
    recommendation,
    sample_frames,
    table,
    used,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_ACTIVITIES = table("staged_activities")
ids = st.integers(0, 2**63 - 1)
instants = st.integers(0, 2**52).map(lambda micros: EPOCH + timedelta(microseconds=micros))
scores = st.integers(-(2**40), 2**60)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
verbs = st.sampled_from(["post", "reshare", "comment", "reaction", "friend_add", "group_join"])
kinds = st.sampled_from(["post", "comment", "user", "group"])
reasons = st.sampled_from(["own", "friend", "suggested"])

feed_rows = st.lists(
    st.fixed_dictionaries(
        {
            "item_id": st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}"),
            "verb": verbs,
            "object_type": kinds,
            "object_id": ids,
            "object_owner_id": st.none() | ids,
            "lead_activity_id": ids,
            "lead_actor_id": ids,
            "actor_count": st.integers(1, 99),
            "sample_actor_ids": st.lists(ids, min_size=1, max_size=3),
            "first_activity_at": instants,
            "last_activity_at": instants,
            "score": scores,
            "reason": reasons,
            "is_unseen": st.booleans(),
        }
    ),
    max_size=6,
)
quick = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def feed_model(row: dict[str, Any], mode: str) -> payloads.FeedItem:
    at = row["last_activity_at"]
    if mode == "ranked":
        is_suggested = row["reason"] == "suggested"
        key = payloads.ranked_sort_key(
            is_suggested=is_suggested, score=row["score"], last_activity_at=at, item_id=row["item_id"]
        )
    else:
        key = payloads.chronological_sort_key(last_activity_at=at, lead_activity_id=row["lead_activity_id"])
    owner = row["object_owner_id"]
    return payloads.FeedItem(
        item_id=row["item_id"],
        sort_key=key,
        verb=row["verb"],
        object_type=row["object_type"],
        object_id=str(row["object_id"]),
        object_owner_id=None if owner is None else str(owner),
        lead_activity_id=str(row["lead_activity_id"]),
        lead_actor_id=str(row["lead_actor_id"]),
        actor_count=row["actor_count"],
        sample_actor_ids=[str(i) for i in row["sample_actor_ids"]],
        other_count=row["other_count"],
        first_activity_at=instant_text(row["first_activity_at"]),
        last_activity_at=instant_text(at),
        reason=row["reason"],
        is_unseen=row["is_unseen"],
    )


@given(rows=feed_rows, mode=st.sampled_from(["ranked", "chronological"]))
@quick
def test_a_feed_fragment_is_the_model_of_its_row(rows: list[dict[str, Any]], mode: Any) -> None:
    full = [feed_item(1, mode, position, **row) for position, row in enumerate(rows, start=1)]
    items = feed_list(table("feed_items", full), table("staged_activities"), mode)
    expected = [feed_model(row, mode) for row in full]
    assert json_texts(items["fragment"].struct.unnest()).to_list() == [model.model_dump_json() for model in expected]
    assert items["fragment_key"].to_list() == [model.sort_key for model in expected]
    assert items["is_cold"].to_list() == [row["reason"] == "suggested" for row in rows]


@given(rows=feed_rows)
@quick
def test_sort_keys_order_items_as_the_feed_does(rows: list[dict[str, Any]]) -> None:
    full = [feed_item(1, "ranked", position, **row) for position, row in enumerate(rows, start=1)]
    items = feed_list(table("feed_items", full), table("staged_activities"), "ranked")
    by_rule = sorted(
        full, key=lambda r: (r["reason"] == "suggested", -r["score"], EPOCH - r["last_activity_at"], r["item_id"])
    )
    by_key = [full[i] for i in items["fragment_key"].arg_sort().to_list()]
    assert [r["item_id"] for r in by_key] == [r["item_id"] for r in by_rule]


activity_rows = st.lists(
    st.fixed_dictionaries(
        {
            "actor_id": ids,
            "reply_to_user_id": st.none() | ids,
            "mentioned_user_ids": st.lists(ids, max_size=3),
            "group_id": st.none() | ids,
            "audience": st.sampled_from(["public", "friends", "only_me"]),
            "object_audience": st.sampled_from(["public", "friends"]),
        }
    ),
    min_size=2,
    max_size=2,
)


@given(rows=feed_rows, activities=activity_rows)
@quick
def test_the_guards_of_a_feed_item_are_its_principals_its_groups_and_its_activities(
    rows: list[dict[str, Any]], activities: list[dict[str, Any]]
) -> None:
    acts = {n: {"id": n, **row} for n, row in zip((5, 6), activities, strict=True)}
    full = [feed_item(1, "ranked", p, **{**row, "lead_activity_id": 5, "object_id": 6 if p % 2 else row["object_id"]})
            for p, row in enumerate(rows, start=1)]  # fmt: skip
    items = feed_list(table("feed_items", full), table("staged_activities", list(acts.values())), "ranked")
    for row, users, groups, objects, circle in zip(full, *items.select(GUARDS), strict=True):
        is_body = row["object_type"] in ("post", "comment")
        stands_on = [5, *([row["object_id"]] if is_body else [])]
        people = {row["lead_actor_id"], row["object_owner_id"], *row["sample_actor_ids"]}
        people |= {row["object_id"]} if row["object_type"] == "user" else set()
        places = {row["object_id"]} if row["object_type"] == "group" else set()
        for activity in (acts[n] for n in stands_on if n in acts):
            people |= {activity["actor_id"], activity["reply_to_user_id"], *activity["mentioned_user_ids"]}
            places |= {activity["group_id"]}
        assert set(users.drop_nulls()) == people - {None}
        assert set(groups.drop_nulls()) == places - {None}
        assert set(objects.drop_nulls()) == set(stands_on)
        lead, own = acts[5], acts.get(row["object_id"]) if is_body else None
        inner = {row["lead_actor_id"]} if lead["audience"] != "public" else set()
        if lead["object_audience"] != "public" or (is_body and (own is None or own["audience"] != "public")):
            inner |= {row["object_owner_id"]}
        if 1 not in (row["lead_actor_id"], lead["reply_to_user_id"]):
            inner |= {lead["reply_to_user_id"]}
        assert set(circle.drop_nulls()) == inner - {None}


def test_a_card_of_several_is_guarded_by_what_each_sampled_actor_did() -> None:
    at = AS_OF - timedelta(hours=1)
    common = {"object_type": "post", "object_id": 9, "group_id": None, "created_at": at, "object_audience": "public"}

    def act(id_: int, actor: int, verb: str, **more: Any) -> dict[str, Any]:
        return {"id": id_, "actor_id": actor, "verb": verb, "mentioned_user_ids": [], "audience": "public", **common,
                **more}  # fmt: skip

    acts = [
        act(9, 50, "post"),
        act(21, 2, "comment"),
        act(22, 3, "comment", mentioned_user_ids=[60], reply_to_user_id=61, group_id=7, audience="friends"),
        act(23, 3, "comment", created_at=at - timedelta(days=1)),
        act(24, 4, "comment", mentioned_user_ids=[66]),
        act(25, 3, "reaction", mentioned_user_ids=[67]),
    ]
    row = feed_item(1, "ranked", 1, verb="comment", object_id=9, object_owner_id=50, lead_activity_id=21,
                    lead_actor_id=2, actor_count=3, sample_actor_ids=[2, 3], other_count=1,
                    first_activity_at=at, last_activity_at=at)  # fmt: skip
    rules: tuple[ReplyRule, ...] = ("friends", "all")
    for rule in rules:
        found = feed_list(table("feed_items", [row]), table("staged_activities", acts), "ranked", rule).row(
            0, named=True
        )
        named = [{each for each in found[column] if each is not None} for column in GUARDS]
        assert named == [{2, 3, 50, 60, 61}, {7}, {9, 21, 22}, {3, 61} if rule == "friends" else {3}]


@given(candidates=st.lists(ids, max_size=5, unique=True), mutuals=st.lists(ids, max_size=3), variant=texts)
@quick
def test_a_recommendation_is_the_model_of_its_row(candidates: list[int], mutuals: list[int], variant: str) -> None:
    rows = [recommendation(1, rank, candidate, mutual_sample_ids=mutuals, variant=variant, shared_group_ids=[7, 8],
                           shared_group_count=2) for rank, candidate in enumerate(candidates, start=1)]  # fmt: skip
    items = recommendation_list(table("friend_recommendations", rows[::-1]))
    expected = [
        payloads.FriendRecommendation(
            rank=row["rank"],
            candidate_id=str(row["candidate_id"]),
            reason_code=row["reason_code"],
            mutual_count=1,
            mutual_sample_ids=[str(i) for i in mutuals],
            shared_group_count=2,
            shared_group_ids=["7", "8"],
            variant=variant,
        )
        for row in rows
    ]
    assert items["fragment"].to_list() == [model.model_dump_json() for model in expected]
    assert items["fragment_key"].to_list() == [str(candidate) for candidate in candidates]
    assert [set(guards) for guards in items["guard_users"]] == [{candidate, *mutuals} for candidate in candidates]


def digest_model(row: dict[str, Any]) -> payloads.Digest:
    instants_of = ("window_start", "window_end", "due_at", "deliver_after")
    plain = {name: row[name] for name in payloads.Digest.model_fields if name not in instants_of}
    return payloads.Digest(**plain, **{name: instant_text(row[name]) for name in instants_of})


numbers_of_days = st.sets(st.integers(1, 60), max_size=4)


@given(subject=texts, text=texts.filter(bool), object_id=st.none() | ids, numbers=numbers_of_days)
@quick
def test_digests_are_the_models_of_their_rows_newest_first(
    subject: str, text: str, object_id: int | None, numbers: set[int]
) -> None:
    rows = [built_digest(n, subject=subject) for n in sorted(numbers)]
    for row in rows:
        row["groups"][0].update(text=text, object_id=object_id, object_type=None if object_id is None else "post")
    history = table("digest_history", rows[::-1]).collect()
    items = digest_list(history, NO_ACTIVITIES)
    assert items["fragment"].to_list() == [digest_model(row).model_dump_json() for row in rows]
    assert items["fragment_key"].to_list() == [f"{instant_text(r['due_at'])}|{r['digest_id']}" for r in rows]
    details = detail_rows(history, NO_ACTIVITIES)
    for row, body in zip(rows, details["body"].to_pylist(), strict=True):
        group = row["groups"][0]
        expected = payloads.DigestGroup(
            **{name: group[name] for name in ("rank", "group_key", "category", "verb", "object_type", "actor_count",
                                              "item_count", "text")},
            object_id=None if object_id is None else str(object_id),
            sample_actor_ids=[str(i) for i in group["sample_actor_ids"]],
            notification_ids=[str(i) for i in group["notification_ids"]],
            last_activity_at=instant_text(group["last_activity_at"]),
        )  # fmt: skip
        digest, groups = digest_model(row).model_dump_json(), expected.model_dump_json()
        assert body.decode() == f'{{"digest":{digest},"groups":[{groups}]}}'
    assert details["key"].to_pylist() == sorted(digest_keys(history["digest_id"]).to_list())
    assert set(details["owner"].to_pylist()) <= {1}


def test_a_digest_is_guarded_by_the_owner_and_the_group_of_what_is_not_public() -> None:
    history = table("digest_history", [built_digest(1)]).collect()
    for audience, circle in (("friends", {2}), ("public", set())):
        acts = [{"id": 5001, "actor_id": 2, "group_id": 8, "audience": audience}]
        found = digest_list(history, table("staged_activities", acts)).row(0, named=True)
        assert [{each for each in found[name] if each is not None} for name in GUARDS] == [
            {2, 3, 6}, {8}, {5001}, circle
        ]  # fmt: skip


def test_a_digest_without_groups_has_a_detail_without_groups() -> None:
    details = detail_rows(table("digest_history", [built_digest(1, groups=[])]).collect(), NO_ACTIVITIES)
    assert details["body"].to_pylist()[0].endswith(b'"groups":[]}')


def test_plan_code_and_unit_are_joined_into_entitlements() -> None:
    frames = sample_frames()
    rows = [
        entitlement(1, "export", kind="boolean", meter_key=None, limit_value=None, used=None, granted=None,
                    balance=None, overage=None, resets_at=None),
        entitlement(1, "posts"),
    ]  # fmt: skip
    items = entitlement_list(table("entitlements", rows[::-1]), frames["staged_plans"], frames["staged_meters"])
    first, second = (payloads.Entitlement.model_validate_json(text) for text in items["fragment"])
    assert (first.kind, first.plan_code, first.unit, first.used, first.resets_at) == (
        "boolean",
        "basic",
        None,
        None,
        None,
    )
    assert (second.plan_code, second.unit, second.limit, second.used) == ("basic", "event", 500, 120)
    assert items["fragment_key"].to_list() == ["export", "posts"]
    assert items["fragment"].to_list() == [first.model_dump_json(), second.model_dump_json()]


def test_usage_covers_the_days_the_api_serves_by_day_and_meter() -> None:
    rows = [
        used(1, AS_OF.date() - timedelta(days=n), n, meter_key=key) for n in range(120) for key in ("zeta", "posts")
    ]
    items = usage_list(table("usage_daily", rows), sample_frames()["staged_meters"], AS_OF)
    assert items["fragment_key"].to_list() == sorted(items["fragment_key"])
    days = {key.split("|")[0] for key in items["fragment_key"]}
    assert {str(AS_OF.date() - timedelta(days=n)) for n in range(91)} <= days
    last = payloads.UsageDay.model_validate_json(items["fragment"][-2])
    assert (last.meter_key, last.date, last.value, last.unit) == ("posts", str(AS_OF.date()), 0, "event")


def test_no_rows_give_no_items() -> None:
    frames = sample_frames()
    assert feed_list(table("feed_items"), frames["staged_activities"], "ranked").is_empty()
    assert recommendation_list(table("friend_recommendations")).is_empty()
    history = table("digest_history").collect()
    assert digest_list(history, NO_ACTIVITIES).is_empty()
    assert detail_rows(history, NO_ACTIVITIES).num_rows == 0
    assert entitlement_list(table("entitlements"), frames["staged_plans"], frames["staged_meters"]).is_empty()
    assert isinstance(digest_list(history, NO_ACTIVITIES).schema["guard_users"], pl.List)


written_instants = st.datetimes()


@given(instants=st.lists(st.none() | written_instants, min_size=1, max_size=6))
@quick
def test_every_instant_of_the_years_1_to_9999_is_written_as_python_writes_it(instants: list[datetime | None]) -> None:
    frame = pl.DataFrame({"at": instants}, schema={"at": pl.Datetime("us")}).with_columns(
        pl.col("at").dt.replace_time_zone("UTC")
    )
    said = [json.loads(text)["at"] for text in json_texts(frame)]
    assert said == [None if at is None else at.isoformat(timespec="microseconds") + "Z" for at in instants]


YEAR_0, YEAR_10000 = -62_167_219_200_000_000, 253_402_300_800_000_000


@given(good=st.integers(YEAR_0, YEAR_10000 - 1), before=st.integers(0, 3))
@quick
def test_an_instant_whose_year_has_not_four_digits_is_refused_by_column_and_row(good: int, before: int) -> None:
    for bad in (YEAR_0 - 1, YEAR_10000, -(2**62), 2**62):
        frame = pl.DataFrame({"n": range(before + 1), "seen_at": [*[good] * before, bad]}).with_columns(
            pl.col("seen_at").cast(pl.Datetime("us", "UTC"))
        )
        with pytest.raises(UnwritableInstant, match=f"seen_at of row {before} is {bad} µs .* years 0 to 9999"):
            json_texts(frame)
        assert len(json_texts(frame.head(before))) == before


def test_the_first_and_the_last_instant_of_four_digits_are_written() -> None:
    frame = pl.DataFrame({"at": [YEAR_0, YEAR_10000 - 1]}).cast(pl.Datetime("us", "UTC"))
    assert json_texts(frame).to_list() == [
        '{"at":"0000-01-01T00:00:00.000000Z"}', '{"at":"9999-12-31T23:59:59.999999Z"}'
    ]  # fmt: skip
