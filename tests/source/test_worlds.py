"""Spec 01.2: a world loads whole or not at all, as it stands in its files, and a bad row is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.columns import polars_schema
from store.models import TABLES
from store.source import NotOurDatabase, libpq_url, row_counts
from store.world_rows import BATCH_ROWS, copy_text
from store.worlds import BadRow, World, WorldError, load_world, read_world, world_of
from tests.support.postgres import world_folder
from tests.support.source import AS_OF, THEN, friendship, run, user, write_world


def test_a_world_is_loaded_with_its_description_and_defaults(tmp_path: Path, new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    folder = write_world(tmp_path / "w", users=[user(1), user(2, country="FR")], friendships=[friendship(1, 2)])
    for column, table in (("email", "users"), ("ended_at", "friendships")):
        file = folder / f"{table}.parquet"
        pl.read_parquet(file).drop(column).write_parquet(file)
    said: dict[str, int] = {}
    world = load_world(url, folder, progress=said.__setitem__)
    assert said == {"users": 2, "friendships": 1}
    assert world_of(url) == world == read_world(folder)
    assert (world.name, world.as_of) == ("tiny", AS_OF)
    assert {table: rows for table, rows in row_counts(url).items() if rows} == {"users": 2, "friendships": 1}
    assert run(url, "SELECT email, country FROM app.users ORDER BY id") == [(None, None), (None, "FR")]


def test_a_customers_database_has_no_world(new_database: Callable[..., str], fresh_database: str) -> None:
    assert world_of(new_database(migrated=False)) is None
    assert world_of(fresh_database) is None


def _activity(**changes: Any) -> dict[str, Any]:
    return {
        "id": 1, "actor_id": 1, "verb": "post", "object_type": "post", "object_id": 1, "audience": "public",
        "object_audience": "public", "body": "{}", "created_at": THEN,
    } | changes  # fmt: skip


GOOD = [user(1), user(2), user(3)]
BAD_ROWS: dict[str, tuple[str, list[dict[str, Any]], tuple[str, int, str, object, str]]] = {
    "an unknown label": (
        "users", [*GOOD, user(4, status="asleep")],
        ("users", 4, "status", "asleep", "is one of active, deactivated, suspended, deleted"),
    ),
    "a null": ("users", [user(1), user(2, handle=None), user(3)], ("users", 2, "handle", None, "is not null")),
    "the same id twice": ("users", [*GOOD, user(2, handle="x")], ("users", 4, "id", 2, "is unique")),
    "the same handle twice": ("users", [*GOOD, user(9, handle="u1")], ("users", 4, "handle", "u1", "is unique")),
    "the same edge twice": (
        "friendships", [friendship(1, 2), friendship(1, 3), friendship(1, 2)],
        ("friendships", 3, "user_a_id, user_b_id", (1, 2), "is unique"),
    ),
    "an edge the wrong way round": (
        "friendships", [friendship(1, 2), friendship(3, 1)],
        ("friendships", 2, "user_a_id, user_b_id", (3, 1), "user_a_id < user_b_id"),
    ),
    "a NUL character": (
        "users", [user(1), user(2, display_name="a\x00b")],
        ("users", 2, "display_name", "a\x00b", "holds no NUL character"),
    ),
    "a country of three letters": (
        "users", [user(1), user(2, country="FRA")],
        ("users", 2, "country", "FRA", "value too long for type character(2)"),
    ),
    "broken JSON": (
        "activities", [_activity(), _activity(id=2, body="{")],
        ("activities", 2, "body", "{", "invalid input syntax for type json"),
    ),
    "a weight of nothing": (
        "memberships", [{"group_id": 1, "user_id": 1, "weight": 0, "joined_at": THEN}],
        ("memberships", 1, "weight", 0, "weight >= 1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_named_and_nothing_is_loaded(case: str, tmp_path: Path, fresh_database: str) -> None:
    table, rows, expected = BAD_ROWS[case]
    meters = [{"key": "m", "aggregation": "sum", "value_property": None, "unit": "x"}]
    folder = write_world(tmp_path / "w", meters=meters, **{"users": GOOD, table: rows})
    with pytest.raises(BadRow) as raised:
        load_world(fresh_database, folder)
    error = raised.value
    assert (error.table, error.row, error.column, error.value, error.rule) == expected
    assert f"{error.table}, row {error.row}, column {error.column}, value " in str(error)
    assert set(row_counts(fresh_database).values()) == {0}
    assert world_of(fresh_database) is None


def test_a_load_that_fails_leaves_not_even_the_schema(tmp_path: Path, new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    with pytest.raises(BadRow):
        load_world(url, write_world(tmp_path / "w", users=[user(1), user(1)]))
    assert run(url, "SELECT count(*) FROM pg_namespace WHERE nspname IN ('app', 'flowforge')") == [(0,)]


def test_a_bad_row_far_into_the_file_and_behind_line_breaks_has_its_own_number(
    tmp_path: Path, fresh_database: str
) -> None:
    folder = write_world(tmp_path / "w", users=[user(1, display_name="two\nlines\r\\.\t\\N")])
    one = pl.read_parquet(folder / "users.parquet")
    bad = BATCH_ROWS + 7
    number = pl.int_range(1, BATCH_ROWS + 10)
    one.select(pl.all().exclude("id", "handle").repeat_by(BATCH_ROWS + 9).explode()).select(
        number.alias("id"), pl.format("u{}", number).alias("handle"), pl.all().exclude("time_zone"),
        pl.when(number != bad).then("time_zone").alias("time_zone"),
    ).write_parquet(folder / "users.parquet")  # fmt: skip
    with pytest.raises(BadRow, match=rf"^users, row {bad}, column time_zone, value None: is not null$"):
        load_world(fresh_database, folder)


def test_a_missing_column_without_default_is_named(tmp_path: Path, fresh_database: str) -> None:
    folder = write_world(tmp_path / "w", users=GOOD)
    pl.read_parquet(folder / "users.parquet").drop("locale").write_parquet(folder / "users.parquet")
    with pytest.raises(BadRow, match=r"^users, row 1, column locale, value None: is not null$"):
        load_world(fresh_database, folder)


def test_files_and_columns_the_source_does_not_have_are_refused(tmp_path: Path, fresh_database: str) -> None:
    folder = write_world(tmp_path / "w", users=GOOD)
    frame = pl.read_parquet(folder / "users.parquet")
    frame.with_columns(age=pl.lit(1)).write_parquet(folder / "users.parquet")
    with pytest.raises(WorldError, match=r"users\.parquet: users has no column age"):
        load_world(fresh_database, folder)
    frame.with_columns(pl.col("created_at").dt.replace_time_zone(None)).write_parquet(folder / "users.parquet")
    with pytest.raises(WorldError, match="created_at holds times without a time zone"):
        load_world(fresh_database, folder)
    frame.write_parquet(folder / "users.parquet")
    frame.write_parquet(folder / "people.parquet")
    with pytest.raises(WorldError, match=r"people\.parquet: the source has no table people"):
        load_world(fresh_database, folder)
    (folder / "people.parquet").write_bytes(b"")
    (folder / "people.parquet").rename(folder / "groups.parquet")
    with pytest.raises(WorldError, match=r"groups\.parquet: cannot be read as Parquet"):
        load_world(fresh_database, folder)
    assert run(fresh_database, "SELECT count(*) FROM app.users") == [(0,)]


def test_a_folder_without_a_good_description_is_not_a_world(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="not a world"):
        read_world(tmp_path)
    (tmp_path / "world.json").write_text(json.dumps({"name": "x", "as_of": "2020-01-01", "licence": "", "source": ""}))
    with pytest.raises(WorldError, match="as_of"):
        read_world(tmp_path)


def test_a_full_database_is_emptied_only_when_asked_and_only_if_ours(
    tmp_path: Path, new_database: Callable[..., str]
) -> None:
    ours, customers = new_database(), new_database(migrated=False)
    first = write_world(tmp_path / "first", users=GOOD)
    second = write_world(tmp_path / "second", name="second", users=[user(7)])
    load_world(ours, first)
    with pytest.raises(WorldError, match=r"not empty .*--replace"):
        load_world(ours, second)
    load_world(ours, second, replace=True)
    assert run(ours, "SELECT id FROM app.users") == [(7,)]
    assert run(ours, "SELECT name FROM flowforge.world") == [("second",)]
    with pytest.raises(BadRow):
        load_world(ours, write_world(tmp_path / "bad", users=[user(1), user(1)]), replace=True)
    assert run(ours, "SELECT id FROM app.users") == [(7,)], "a failed replacement leaves what was there"
    run(customers, "CREATE TABLE public.accounts (id int)")
    for replace in (False, True):
        with pytest.raises(NotOurDatabase):
            load_world(customers, first, replace=replace)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8) | st.sampled_from(
    ["\\N", "\\.", "", "a\\", "\t", "\r\n", '"', "{", "NULL", "null", "'", "\u2028", "\\x41"]
)
instants = st.datetimes(datetime(1, 1, 2), datetime(9998, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))  # noqa: DTZ001
bigints = st.integers(-(2**63), 2**63 - 1)


notifications = st.fixed_dictionaries(
    {
        "recipient_id": bigints,
        "verb": texts,
        "dedupe_key": st.none() | texts,
        "sent_channels": st.lists(texts | st.none(), max_size=3),
        "payload": st.dictionaries(texts, texts | st.none() | st.booleans(), max_size=2).map(json.dumps),
        "created_at": instants,
        "read_at": st.none() | instants,
    }
)


@pytest.fixture
def scratch(fresh_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(libpq_url(fresh_database), autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE scratch AS SELECT * FROM app.notifications")
        yield connection


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(notifications, min_size=1, max_size=6))
def test_what_is_loaded_is_what_the_file_holds(scratch: psycopg.Connection[Any], rows: list[dict[str, Any]]) -> None:
    types = polars_schema(TABLES["notifications"])
    frame = pl.DataFrame(rows, schema={name: types[name] for name in rows[0]}, orient="row")
    columns = ", ".join(frame.columns)
    scratch.execute("TRUNCATE scratch")
    with scratch.cursor().copy(f"COPY scratch ({columns}) FROM STDIN".encode()) as copy:
        copy.write(copy_text(frame, "notifications.parquet"))
    found = scratch.execute(f"SELECT {columns} FROM scratch ORDER BY ctid".encode()).fetchall()
    wanted = [{**row, "payload": json.loads(row["payload"])} for row in rows]
    assert found == [tuple(row[name] for name in frame.columns) for row in wanted]


def test_times_of_day_and_lists_of_ids_arrive_whole(tmp_path: Path, fresh_database: str) -> None:
    schedule = {
        "user_id": 1, "kind": "weekly", "local_time": time(7, 30, 0, 1), "week_day": 7, "quiet_start": time(23, 59, 59),
        "quiet_end": None, "min_groups": 1, "max_groups": 9, "enabled_at": THEN,
    }  # fmt: skip
    activity = _activity(mentioned_user_ids=[3, -1, 2**63 - 1], created_at=THEN + timedelta(microseconds=1))
    load_world(
        fresh_database, write_world(tmp_path / "w", users=GOOD, digest_schedules=[schedule], activities=[activity])
    )
    assert run(fresh_database, "SELECT local_time, quiet_start, quiet_end FROM app.digest_schedules") == [
        (time(7, 30, 0, 1), time(23, 59, 59), None)
    ]
    assert run(fresh_database, "SELECT mentioned_user_ids, created_at FROM app.activities") == [
        ([3, -1, 2**63 - 1], THEN + timedelta(microseconds=1))
    ]


@pytest.mark.parametrize("name", ["foursquare_nyc", "lastfm", "facebook_ego"])
def test_the_public_worlds_load_whole(name: str, fresh_database: str) -> None:
    folder = world_folder(name)
    world = load_world(fresh_database, folder)
    assert isinstance(world, World)
    wanted = {f.stem: pl.scan_parquet(f).select(pl.len()).collect().item() for f in folder.glob("*.parquet")}
    assert {table: rows for table, rows in row_counts(fresh_database).items() if rows} == wanted
