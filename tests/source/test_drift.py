"""Spec 01.4: what a source may look like beside the models, and what stops a snapshot before its first byte."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.catalog import SchemaDrift, is_wider
from store.columns import polars_schema
from store.instants import FIRST, LAST, within_reach
from store.lake import Lake
from store.manifest import Manifest
from store.models import TABLES
from store.settings import SnapshotSettings
from store.snapshots import SnapshotError, take_snapshot
from tests.support.source import run
from tests.support.unconstrained import unconstrained_schema

QUICK = SnapshotSettings(lock_timeout_seconds=0.3)
USER = (
    "INSERT INTO app.users VALUES (1, 'u1', 'User', NULL, 'UTC', 'en', 'FR', 'active', 'public', 'public', true,"
    " true, '2026-01-01', '2026-01-01', NULL)"
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")


def _recorded(manifest: Manifest, name: str) -> object:
    return (manifest.model_extra or {})[name]


WIDENED = {
    "users.status": ("ALTER TABLE app.users ALTER status TYPE text", "text", "active"),
    "users.country": ("ALTER TABLE app.users ALTER country TYPE varchar(40)", "character varying(40)", "FR"),
    "users.handle": ("ALTER TABLE app.users ALTER handle TYPE varchar", "character varying", "u1"),
    "users.id": ("ALTER TABLE app.users ALTER id TYPE numeric(20, 0)", "numeric(20,0)", 1),
}


@pytest.mark.parametrize("column", WIDENED)
def test_a_widened_column_is_warned_of_recorded_and_cast(
    column: str, lake: Lake, fresh_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    statement, found, value = WIDENED[column]
    run(fresh_database, USER, statement)
    with caplog.at_level(logging.WARNING, "flowforge.snapshot"):
        manifest = take_snapshot(fresh_database, lake, QUICK)
    assert _recorded(manifest, "widened_columns") == {column: found}
    assert f"{column} is {found} in the source, wider than agreed: it is cast" in caplog.text
    users = lake.scan_snapshot(manifest, "users").collect()
    assert users.schema == pl.Schema(polars_schema(TABLES["users"]))
    assert users[column.split(".")[1]].to_list() == [value]


def test_a_wider_integer_is_cast_and_a_value_that_does_not_fit_stops_the_snapshot_by_name(
    lake: Lake, fresh_database: str
) -> None:
    run(
        fresh_database,
        "ALTER TABLE app.recommendation_dismissals ALTER dismissal_count TYPE bigint",
        "INSERT INTO app.recommendation_dismissals VALUES (1, 2, now(), 3)",
    )
    good = take_snapshot(fresh_database, lake, QUICK)
    assert lake.scan_snapshot(good, "recommendation_dismissals").collect()["dismissal_count"].to_list() == [3]
    run(fresh_database, "UPDATE app.recommendation_dismissals SET dismissal_count = 3000000000")
    with pytest.raises(SnapshotError, match=r"recommendation_dismissals/part-000.*out of range.*dismissal_count"):
        take_snapshot(fresh_database, lake, QUICK)
    assert lake.snapshot_ids() == [good.id]


NARROWED = {
    "mutes.scope": ("ALTER TABLE app.mutes ALTER scope TYPE char(9)", "enum of all, reshares", "character(9)"),
    "plans.version": ("ALTER TABLE app.plans ALTER version TYPE smallint", "integer", "smallint"),
    "users.created_at": ("ALTER TABLE app.users ALTER created_at TYPE date", "timestamp with time zone", "date"),
    "users.country": ("ALTER TABLE app.users ALTER country TYPE char(1)", "character(2)", "character(1)"),
    "users.display_name": ("ALTER TABLE app.users ALTER display_name TYPE varchar(9)", "text", "character varying(9)"),
    "activities.mentioned_user_ids": (
        "ALTER TABLE app.activities ALTER mentioned_user_ids TYPE int[]", "bigint[]", "integer[]",
    ),
    "usage_events.value": ("ALTER TABLE app.usage_events ALTER value TYPE numeric(20, 2)", "bigint", "numeric(20,2)"),
}  # fmt: skip


@pytest.mark.parametrize("column", NARROWED)
def test_a_narrowed_column_stops_the_snapshot_and_the_last_good_one_stays(
    column: str, lake: Lake, fresh_database: str
) -> None:
    statement, expected, found = NARROWED[column]
    good = take_snapshot(fresh_database, lake, QUICK)
    run(fresh_database, statement)
    with pytest.raises(SchemaDrift) as raised:
        take_snapshot(fresh_database, lake, QUICK)
    assert f"{column}: expected {expected}, found {found}" in str(raised.value)
    newest = lake.newest_snapshot()
    assert newest is not None
    assert newest.id == good.id


def test_every_difference_is_named_at_once(lake: Lake, fresh_database: str) -> None:
    run(
        fresh_database,
        "ALTER TABLE app.users DROP COLUMN locale",
        "ALTER TABLE app.grants ALTER amount TYPE int",
        "ALTER TYPE app.mute_scope ADD VALUE 'stories'",
    )
    with pytest.raises(SchemaDrift) as raised:
        take_snapshot(fresh_database, lake, QUICK)
    assert [f"{d.table}.{d.column}" for d in raised.value.differences] == [
        "grants.amount",
        "mutes.scope",
        "users.locale",
    ]


def test_an_unknown_column_is_warned_of(lake: Lake, fresh_database: str, caplog: pytest.LogCaptureFixture) -> None:
    run(fresh_database, "ALTER TABLE app.users ADD COLUMN phone text DEFAULT '555'")
    with caplog.at_level(logging.WARNING, "flowforge.snapshot"):
        manifest = take_snapshot(fresh_database, lake, QUICK)
    assert _recorded(manifest, "ignored_columns") == ["users.phone"]
    assert "users.phone is not a column of the agreed schema: it is not copied" in caplog.text


def test_a_source_without_a_single_constraint_is_read(lake: Lake, new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    run(url, *unconstrained_schema(), USER, USER)
    manifest = take_snapshot(url, lake, QUICK)
    assert manifest.tables["users"].rows == 2
    assert "activities.verb" in _recorded(manifest, "widened_columns")


def test_rows_hidden_by_a_policy_are_an_error_and_not_a_smaller_snapshot(
    lake: Lake, fresh_database: str, postgres_server
) -> None:
    from sqlalchemy import make_url

    run(fresh_database, USER, "ALTER TABLE app.users ENABLE ROW LEVEL SECURITY")
    with pytest.raises(SnapshotError, match="row-level security policy"):
        take_snapshot(postgres_server.url(make_url(fresh_database).database, "reader"), lake, QUICK)
    assert lake.snapshot_ids() == []


def test_a_partitioned_table_is_read_whole(lake: Lake, fresh_database: str) -> None:
    run(
        fresh_database,
        "DROP TABLE app.feed_reads",
        "CREATE TABLE app.feed_reads (user_id bigint PRIMARY KEY, seen_at timestamptz NOT NULL)"
        " PARTITION BY HASH (user_id)",
        *(
            f"CREATE TABLE app.feed_reads_{i} PARTITION OF app.feed_reads FOR VALUES WITH (MODULUS 2, REMAINDER {i})"
            for i in range(2)
        ),
        "INSERT INTO app.feed_reads SELECT i, now() FROM generate_series(1, 500) i",
    )
    assert take_snapshot(fresh_database, lake, QUICK).tables["feed_reads"].rows == 500


def test_for_ever_stays_for_ever(lake: Lake, fresh_database: str) -> None:
    run(
        fresh_database,
        "INSERT INTO app.friendships VALUES (1, 2, '-infinity', 'infinity'), (1, 3, '4713-01-01 BC', '294276-12-31'),"
        " (1, 4, '2026-01-01 00:00:00.000001', NULL)",
    )
    manifest = take_snapshot(fresh_database, lake, QUICK)
    assert _recorded(manifest, "cut_instants") == {"friendships.created_at": 2, "friendships.ended_at": 2}
    rows = lake.scan_snapshot(manifest, "friendships").sort("user_b_id").collect().rows()
    assert [row[2:] for row in rows] == [
        (FIRST, LAST), (FIRST, LAST), (datetime(2026, 1, 1, microsecond=1, tzinfo=UTC), None),
    ]  # fmt: skip


@given(st.lists(st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)) | st.none()))
def test_instants_within_reach_are_not_touched(instants: list[datetime | None]) -> None:
    column = pl.Series(instants, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC").to_arrow()
    kept, cut = within_reach(column)
    assert kept.equals(column)
    assert cut == 0


def test_no_type_is_wider_than_itself() -> None:
    from store.catalog import catalog_type

    for table in TABLES.values():
        for column in table.columns:
            assert not is_wider(column, catalog_type(column))
