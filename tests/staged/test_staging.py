"""Staging: bad rows to rejects under their first broken rule, erasures everywhere, counts that add up (07.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.staged.product import CONTRACTS
from assets.staged.staging import BadSource, StagedTable, over_budget, stage_all
from store.settings import QualitySettings

AS_OF = datetime(2026, 6, 15, 9, 30, tzinfo=UTC)
EARLIER = AS_OF - timedelta(days=10)
LENIENT = QualitySettings(reject_rows=100)


def user(id_: int, **other: Any) -> dict[str, Any]:
    return {
        "id": id_, "handle": f"u{id_}", "display_name": f"User {id_}", "time_zone": "UTC", "locale": "en",
        "country": None, "status": "active", "profile_visibility": "public", "friend_list_visibility": "public",
        "is_discoverable": True, "wants_recommendations": True, "created_at": EARLIER, "updated_at": EARLIER,
        "last_seen_at": None, **other,
    }  # fmt: skip


def activity(id_: int, actor: int, **other: Any) -> dict[str, Any]:
    return {
        "id": id_, "actor_id": actor, "verb": "post", "object_type": "post", "object_id": id_, "object_owner_id": actor,
        "reply_to_user_id": None, "mentioned_user_ids": [], "group_id": None, "audience": "public",
        "object_audience": "public", "body": "{}", "created_at": EARLIER, "updated_at": None, "deleted_at": None,
        **other,
    }  # fmt: skip


def friendship(a: int | None, b: int, **other: Any) -> dict[str, Any]:
    return {"user_a_id": a, "user_b_id": b, "created_at": EARLIER, "ended_at": None, **other}


def price(amount: int) -> dict[str, Any]:
    return {"plan_id": 1, "currency": "EUR", "interval": "month", "valid_from": EARLIER, "amount_minor": amount,
            "valid_to": None}  # fmt: skip


PLAN = {"id": 1, "code": "pro", "version": 1, "name": "Pro", "tier_rank": 1, "is_paid": True}


def stage(budget: QualitySettings = LENIENT, **tables: list[Mapping[str, Any]]) -> dict[str, StagedTable]:
    raw = {
        name: pl.DataFrame(tables.get(name, []), schema=contract.schema, orient="row").lazy()
        for name, contract in CONTRACTS.items()
    }
    return stage_all(raw, CONTRACTS, budget, AS_OF)


def reasons(staged: StagedTable) -> list[tuple[str, str]]:
    return [(row["column"], row["rule"]) for row in staged.rejects.iter_rows(named=True)]


@pytest.mark.parametrize(
    ("row", "column", "rule"),
    [
        (friendship(None, 2), "user_a_id", "is not null"),
        (friendship(2, 2), "user_b_id", "is not the same user twice"),
        (friendship(3, 1), "user_a_id", "is ordered user_a_id < user_b_id"),
        (friendship(1, 99), "user_b_id", "refers to a row that exists in users"),
        (
            friendship(1, 3, created_at=AS_OF + timedelta(days=1, microseconds=1)),
            "created_at",
            "is not more than a day after the moment of reading",
        ),
    ],
)
def test_a_bad_friendship_is_rejected_with_its_column_and_rule(row, column, rule):
    staged = stage(users=[user(1), user(2), user(3)], friendships=[friendship(1, 2), row])["friendships"]
    assert reasons(staged) == [(column, rule)]
    assert staged.frame.height == 1


@pytest.mark.parametrize(
    ("row", "column", "rule"),
    [
        (activity(2, 1, verb="shout"), "verb", "is one of post, reshare, comment, reaction, friend_add, group_join"),
        (activity(2, 1, body="a\x00b"), "body", "is text without NUL"),
        (activity(2, 1, body="x" * 1_000_001), "body", "has at most 1000000 characters"),
        (activity(2, 77), "actor_id", "refers to a row that exists in users"),
    ],
)
def test_a_bad_activity_is_rejected_with_its_column_and_rule(row, column, rule):
    staged = stage(users=[user(1)], activities=[activity(1, 1), row])["activities"]
    assert reasons(staged) == [(column, rule)]


def test_a_rejected_text_is_redacted_and_a_rejected_id_is_not():
    staged = stage(users=[user(1)], activities=[activity(2, 1, body="secret\x00")])["activities"]
    assert staged.rejects["value"].to_list() == ["text of 7 characters"]
    assert staged.rejects["key"].to_list() == ["2"]


def test_of_rows_with_one_key_the_same_one_stays_whatever_their_order():
    copies = [user(1, display_name="B"), user(1, display_name="A")]
    one, other = stage(users=copies)["users"], stage(users=copies[::-1])["users"]
    assert one.frame.equals(other.frame)
    assert one.frame["display_name"].to_list() == ["A"]
    assert reasons(one) == [("id", "key is unique")]


def test_a_row_at_as_of_is_not_there_yet_and_is_counted_not_rejected():
    staged = stage(users=[user(1)], activities=[activity(1, 1, created_at=AS_OF)])["activities"]
    assert (staged.count.rows_out, staged.count.rejected, staged.count.filtered["not_yet"]) == (0, 0, 1)


def test_an_erased_user_leaves_every_table_and_other_peoples_rows_stay():
    staged = stage(
        users=[user(1), user(2)],
        erasure_requests=[{"user_id": 2, "requested_at": EARLIER}],
        friendships=[friendship(1, 2)],
        activities=[
            activity(1, 1, mentioned_user_ids=[2, 1]),
            activity(2, 2),
            activity(3, 1, verb="friend_add", object_type="user", object_id=2, object_owner_id=None),
        ],
    )
    assert staged["users"].frame["id"].to_list() == [1]
    assert staged["friendships"].frame.height == 0
    assert staged["activities"].frame["id"].to_list() == [1]
    assert staged["activities"].frame["mentioned_user_ids"].to_list() == [[1]]
    assert staged["activities"].count.filtered["erased"] == 2


def test_too_many_bad_rows_fail_the_run_and_the_message_names_table_column_rule_count_and_keys():
    rows = [friendship(9, i) for i in range(1, 8)]
    with pytest.raises(BadSource) as error:
        stage(QualitySettings(), users=[user(i) for i in range(1, 10)], friendships=rows)
    message = str(error.value)
    assert message.startswith("friendships.user_a_id: is ordered user_a_id < user_b_id (allowed: 5) fails on 7 rows")
    assert "key=9,1" in message


def test_a_bad_price_does_not_stop_staging_but_is_over_the_money_budget():
    staged = stage(plans=[PLAN], plan_prices=[price(-1)])["plan_prices"]
    assert [f.column for f in over_budget("plan_prices", staged, LENIENT)] == ["amount_minor"]


@given(st.data())
def test_rows_in_are_rows_out_rejected_and_filtered_whatever_the_source_holds(data):
    ids = st.integers(1, 6)
    friendships = data.draw(st.lists(st.tuples(ids, ids), max_size=12))
    erased = data.draw(st.sets(ids, max_size=2))
    staged = stage(
        users=[user(i) for i in data.draw(st.lists(ids, max_size=8))],
        friendships=[friendship(a, b) for a, b in friendships],
        erasure_requests=[{"user_id": i, "requested_at": EARLIER} for i in sorted(erased)],
    )
    for table in staged.values():
        removed = table.rejects.height + sum(table.count.filtered.values())
        assert table.count.rows_in == table.frame.height + removed
    left = set(staged["users"].frame["id"])
    assert not left & erased
    assert all(a < b and {a, b} <= left for a, b in staged["friendships"].frame.select("user_a_id", "user_b_id").rows())
