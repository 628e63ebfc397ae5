"""A generated world satisfies the schema of the source: columns, keys, checks, labels, references."""

from __future__ import annotations

import json

import polars as pl
import pytest
from sqlalchemy import Enum

from store.generator.tables import arrow_schema
from store.models import TABLES
from tests.support.worlds_made import made, table

USERS = 2_000
AS_OF = pl.lit("2026-06-15T09:30:00Z").str.to_datetime(time_zone="UTC", time_unit="us")

REFERENCES = [
    ("friendships", "user_a_id", "users", "id"), ("friendships", "user_b_id", "users", "id"),
    ("friend_requests", "requester_id", "users", "id"), ("friend_requests", "addressee_id", "users", "id"),
    ("blocks", "blocker_id", "users", "id"), ("blocks", "blocked_id", "users", "id"),
    ("mutes", "muter_id", "users", "id"), ("mutes", "muted_id", "users", "id"),
    ("recommendation_dismissals", "candidate_id", "users", "id"),
    ("recommendation_impressions", "user_id", "users", "id"),
    ("memberships", "group_id", "groups", "id"), ("memberships", "user_id", "users", "id"),
    ("activities", "actor_id", "users", "id"), ("activities", "object_owner_id", "users", "id"),
    ("activities", "reply_to_user_id", "users", "id"), ("activities", "group_id", "groups", "id"),
    ("feed_hides", "object_id", "activities", "id"), ("feed_reads", "user_id", "users", "id"),
    ("notifications", "recipient_id", "users", "id"), ("notifications", "actor_id", "users", "id"),
    ("notification_preferences", "user_id", "users", "id"), ("digest_schedules", "user_id", "users", "id"),
    ("plan_prices", "plan_id", "plans", "id"), ("plan_features", "plan_id", "plans", "id"),
    ("plan_features", "meter_key", "meters", "key"), ("subscription_versions", "plan_id", "plans", "id"),
    ("subscription_versions", "user_id", "users", "id"), ("grants", "user_id", "users", "id"),
    ("erasure_requests", "user_id", "users", "id"),
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(TABLES))
@pytest.mark.parametrize("users", [1, 2, 50, USERS])
def test_every_table_has_exactly_the_models_columns_unique_keys_and_known_labels(name: str, users: int) -> None:
    rows = table(name, users)
    model = TABLES[name]
    assert rows.columns == [c.name for c in model.columns]
    assert rows.schema == pl.DataFrame(arrow_schema(name).empty_table()).schema
    assert not rows.select(c.name for c in model.primary_key).is_duplicated().any()
    for column in model.columns:
        values = rows[column.name]
        if not column.nullable:
            assert values.null_count() == 0, column.name
        if isinstance(column.type, Enum):
            assert set(values.drop_nulls().unique()) <= set(column.type.enums), column.name
        if values.dtype == pl.String:
            assert not values.str.contains("\x00", literal=True).any()


@pytest.mark.parametrize(("name", "column", "parent", "key"), REFERENCES)
def test_what_a_row_refers_to_is_there(name: str, column: str, parent: str, key: str) -> None:
    known = table(parent, USERS)[key].implode()
    found = table(name, USERS)[column].drop_nulls()
    assert found.len() > 0
    assert found.is_in(known).all()


def test_the_checks_of_the_schema_hold() -> None:
    assert table("friendships", USERS).select((pl.col("user_a_id") < pl.col("user_b_id")).all()).item()
    assert table("memberships", USERS)["weight"].min() >= 1
    assert table("plan_prices", USERS)["amount_minor"].min() >= 0
    assert table("digest_schedules", USERS)["week_day"].drop_nulls().is_between(1, 7).all()
    assert table("users", USERS)["handle"].n_unique() == USERS
    assert table("users", USERS)["handle"].str.contains(r"^[a-z][a-z0-9._]*$").all()


def test_jsonb_columns_hold_json_objects() -> None:
    for name, column in (("activities", "body"), ("notifications", "payload"), ("usage_events", "properties")):
        for text in table(name, USERS)[column].unique():
            assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize("name", ["activities", "notifications", "friendships", "friend_requests", "blocks", "mutes",
                                  "users", "memberships", "groups", "recommendation_impressions"])  # fmt: skip
def test_nothing_happens_at_or_after_as_of_and_nothing_ends_before_it_begins(name: str) -> None:
    rows = table(name, USERS)
    begin = next(c for c in rows.columns if c in ("created_at", "joined_at", "shown_at"))
    assert rows.select((pl.col(begin) < AS_OF).all()).item()
    for end in {"ended_at", "left_at", "read_at", "deleted_at", "updated_at", "responded_at"} & set(rows.columns):
        later = rows.filter(pl.col(end).is_not_null())
        assert later.select((pl.col(end) >= pl.col(begin)).all()).item(), end
        assert later.select((pl.col(end) < AS_OF).all()).item(), end


def test_nobody_acts_before_signing_up() -> None:
    users = table("users", USERS).select("id", signed_up_at="created_at")
    for name, person, at in (
        ("activities", "actor_id", "created_at"), ("friendships", "user_a_id", "created_at"),
        ("friendships", "user_b_id", "created_at"), ("memberships", "user_id", "joined_at"),
        ("friend_requests", "requester_id", "created_at"), ("subscription_versions", "user_id", "valid_from"),
        ("feed_reads", "user_id", "seen_at"), ("digest_schedules", "user_id", "enabled_at"),
    ):  # fmt: skip
        joined = table(name, USERS).join(users, left_on=person, right_on="id")
        assert joined.filter(pl.col(at) < pl.col("signed_up_at")).is_empty(), name


def test_the_world_file_says_what_it_is_and_when() -> None:
    world = json.loads((made(USERS) / "world.json").read_text())
    assert world["as_of"] == "2026-06-15T09:30:00+00:00"
    assert set(world) == {"name", "as_of", "licence", "source"}
    assert str(USERS) in world["source"]
