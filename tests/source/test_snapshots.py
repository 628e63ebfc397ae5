"""Spec 01.4: one snapshot is all tables at one instant, whole or not at all, whatever others do meanwhile."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import make_url

from quality.registry import REGISTRY
from store.catalog import SchemaDrift
from store.columns import arrow_schema, polars_schema, relation
from store.embedded import EmbeddedPostgres
from store.lake import Lake
from store.manifest import CorruptFile, read_manifest, snapshot_id_of
from store.models import TABLES
from store.settings import SnapshotSettings
from store.snapshot_reader import Readers, parts_of
from store.snapshots import SnapshotError, take_snapshot
from store.source import libpq_url
from store.worlds import load_world
from tests.support.postgres import world_folder
from tests.support.source import AS_OF, THEN, friendship, run, user, write_world

QUICK = SnapshotSettings(lock_timeout_seconds=0.3)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")


@pytest.fixture
def as_reader(postgres_server: EmbeddedPostgres) -> Callable[[str], str]:
    """The same database through the role that may only read."""

    def url(owners: str) -> str:
        return postgres_server.url(make_url(owners).database or "", "reader")

    return url


def _users(url: str, count: int) -> None:
    run(
        url,
        "INSERT INTO app.users SELECT i, 'u' || i, '', 'u@example.org', 'UTC', 'en', 'FR', 'active', 'public',"
        f" 'public', true, true, now(), now(), NULL FROM generate_series(1, {count}) i",
    )


def _normal(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """JSON as sorted text (jsonb keeps no spaces), rows in key order."""
    documents = [c.name for c in TABLES[table].columns if str(c.type) == "JSONB"]
    for name in documents:
        sorted_ = [json.dumps(json.loads(text), sort_keys=True) for text in frame[name]]
        frame = frame.with_columns(pl.Series(name, sorted_, dtype=pl.String))
    return frame.sort([c.name for c in TABLES[table].primary_key.columns])


@pytest.mark.parametrize("name", ["ldbc_sf0003", "cdnow_sample"])
def test_the_snapshot_of_a_world_is_the_world(
    name: str, lake: Lake, fresh_database: str, as_reader: Callable[[str], str]
) -> None:
    folder = world_folder(name)
    world = load_world(fresh_database, folder)
    said: dict[str, int] = {}
    manifest = take_snapshot(as_reader(fresh_database), lake, SnapshotSettings(), progress=said.__setitem__)
    assert manifest.as_of == world.as_of
    assert manifest.id == snapshot_id_of(world.as_of)
    assert set(manifest.tables) == set(TABLES)
    assert said == {table: entry.rows for table, entry in manifest.tables.items() if entry.rows}
    assert manifest.counts.in_ == manifest.counts.out == sum(said.values())
    for table in TABLES:
        found = lake.scan_snapshot(manifest, table).collect()
        assert found.schema == pl.Schema(polars_schema(TABLES[table]))
        file = folder / f"{table}.parquet"
        wanted = pl.read_parquet(file).select(found.columns).cast(found.schema) if file.exists() else found.clear()
        assert_frame_equal(_normal(found, table), _normal(wanted, table))


def test_every_table_has_the_columns_its_contract_expects() -> None:
    for name, table in TABLES.items():
        assert arrow_schema(table).names == list(REGISTRY[f"staged_{name}"].schema)
    assert "email" not in arrow_schema(TABLES["users"]).names


def test_the_same_world_gives_the_same_files_whatever_the_home_and_the_workers(
    tmp_path: Path, new_database: Callable[..., str]
) -> None:
    rows = [user(i, email="secret@example.org") for i in random.Random(1).sample(range(1, 401), 400)]
    folder = write_world(tmp_path / "w", users=rows, friendships=[friendship(i, i + 1) for i in range(300, 0, -1)])
    taken = []
    for workers in (1, 3):
        url, lake = new_database(), Lake(tmp_path / str(workers))
        load_world(url, folder)
        taken.append(take_snapshot(url, lake, SnapshotSettings(workers=workers)))
        for file in (lake.snapshots_dir / taken[-1].id).rglob("*.parquet"):
            assert b"secret@example.org" not in file.read_bytes()
            assert "email" not in pq.read_schema(file).names
    assert taken[0].content_sha256 == taken[1].content_sha256
    assert taken[0].tables == taken[1].tables


def test_a_worlds_snapshot_that_stands_is_reused_unless_it_is_damaged_or_of_another_world(
    tmp_path: Path, lake: Lake, fresh_database: str
) -> None:
    load_world(fresh_database, write_world(tmp_path / "w", users=[user(1), user(2)]))
    first = take_snapshot(fresh_database, lake, QUICK)
    file = lake.snapshots_dir / first.id / first.tables["users"].files[0].path
    stamp = file.stat().st_mtime_ns
    assert take_snapshot(fresh_database, lake, QUICK) == first
    assert file.stat().st_mtime_ns == stamp
    whole = file.read_bytes()
    file.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(CorruptFile, match=r"users/part-000\.parquet"):
        take_snapshot(fresh_database, lake, QUICK)
    file.write_bytes(whole)
    load_world(fresh_database, write_world(tmp_path / "x", name="other", users=[user(3)]), replace=True)
    with pytest.raises(SnapshotError, match=r"holds tiny, the database now holds other"):
        take_snapshot(fresh_database, lake, QUICK)
    assert read_manifest(lake.snapshots_dir / first.id) == first


def test_a_live_database_is_taken_at_the_instant_of_export(lake: Lake, fresh_database: str) -> None:
    _users(fresh_database, 3)
    before = datetime.now(UTC)
    first = take_snapshot(fresh_database, lake, QUICK)
    second = take_snapshot(fresh_database, lake, QUICK)
    assert before <= first.as_of < second.as_of <= datetime.now(UTC)
    assert lake.snapshot_ids() == [first.id, second.id]
    found = second.model_extra or {}
    assert found["mode"] == "full"
    assert found["world"] is None
    assert all(found[name] for name in ("system_identifier", "pg_current_snapshot", "lsn"))


@contextmanager
def _writers(work: Callable[[psycopg.Connection[Any], random.Random], None], url: str, count: int) -> Iterator[None]:
    """``count`` sessions doing ``work`` over and over; what goes wrong in one is raised at the end."""
    stop, failures = threading.Event(), []

    def loop(seed: int) -> None:
        rng = random.Random(seed)
        try:
            with psycopg.connect(libpq_url(url)) as connection:
                while not stop.is_set():
                    work(connection, rng)
                    connection.commit()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.parametrize(("writers", "rounds"), [(2, 3), pytest.param(4, 25, marks=pytest.mark.slow)])
def test_money_moved_between_tables_meanwhile_is_neither_lost_nor_doubled(
    writers: int, rounds: int, lake: Lake, fresh_database: str
) -> None:
    run(
        fresh_database,
        "INSERT INTO app.grants SELECT i, i, 'f', 100, 0, now() FROM generate_series(1, 200) i",
        "INSERT INTO app.plan_prices SELECT i, 'EUR', 'month', now(), 1000000 FROM generate_series(1, 200) i",
    )

    def transfer(connection: psycopg.Connection[Any], rng: random.Random) -> None:
        amount, row = rng.randint(1, 9), rng.randint(1, 200)
        connection.execute("UPDATE app.grants SET amount = amount + %s WHERE id = %s", (amount, row))
        connection.execute(
            "UPDATE app.plan_prices SET amount_minor = amount_minor - %s WHERE plan_id = %s", (amount, row)
        )

    seen, torn = set(), 0
    with _writers(transfer, fresh_database, writers):
        for _ in range(rounds):
            manifest = take_snapshot(fresh_database, lake, SnapshotSettings())
            granted = lake.scan_snapshot(manifest, "grants").select(pl.sum("amount")).collect().item()
            priced = lake.scan_snapshot(manifest, "plan_prices").select(pl.sum("amount_minor")).collect().item()
            assert granted + priced == 200 * 100 + 200 * 1_000_000
            seen.add(granted)
            for _ in range(5):  # the same question, asked table by table: this is what a snapshot is for
                apart = [
                    run(fresh_database, f"SELECT sum({column})::bigint, pg_sleep(0.02) FROM app.{table}")[0][0]
                    for table, column in (("grants", "amount"), ("plan_prices", "amount_minor"))
                ]
                torn += sum(apart) != 200 * 100 + 200 * 1_000_000
    assert torn, "reading table by table is seen to be inconsistent"
    assert len(seen) > 1, "the writers wrote between the snapshots"


def test_a_table_truncated_and_filled_again_meanwhile_is_never_read_empty(lake: Lake, fresh_database: str) -> None:
    fill = "INSERT INTO app.feed_reads SELECT i, now() FROM generate_series(1, 500) i"
    run(fresh_database, fill)
    rounds = []

    def refill(connection: psycopg.Connection[Any], rng: random.Random) -> None:
        time.sleep(rng.random() / 50)
        connection.execute("TRUNCATE app.feed_reads")
        connection.execute(fill)
        rounds.append(1)

    with _writers(refill, fresh_database, 1):
        for _ in range(3):
            assert take_snapshot(fresh_database, lake, SnapshotSettings()).tables["feed_reads"].rows == 500
    assert rounds


def test_while_a_snapshot_reads_nobody_truncates_behind_its_back(lake: Lake, fresh_database: str) -> None:
    _users(fresh_database, 2000)
    run(fresh_database, "INSERT INTO app.feed_reads VALUES (1, now())")
    refused = []

    def meanwhile(table: str, rows: int) -> None:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            run(fresh_database, "SET lock_timeout = '50ms'", "TRUNCATE app.feed_reads")
        run(fresh_database, "INSERT INTO app.meters VALUES ('late' || random(), 'sum', NULL, 'x')")
        refused.append((table, rows))

    manifest = take_snapshot(fresh_database, lake, SnapshotSettings(workers=1), progress=meanwhile)
    assert refused[0] == ("users", 2000), "the largest table is read first"
    assert manifest.tables["feed_reads"].rows == 1
    assert manifest.tables["meters"].rows == 0, "what is committed after the export is not in the snapshot"
    run(fresh_database, "SET lock_timeout = '1s'", "TRUNCATE app.feed_reads")


def test_a_table_locked_by_another_is_waited_for_without_queueing_and_then_named(
    lake: Lake, fresh_database: str
) -> None:
    with psycopg.connect(libpq_url(fresh_database)) as other:
        other.execute("LOCK TABLE app.groups IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SnapshotError, match=r"table groups is locked by another session for 0\.3 s"):
            take_snapshot(fresh_database, lake, QUICK, world=None)
        assert run(fresh_database, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]
        release = threading.Timer(0.2, other.rollback)
        release.start()
        taken = take_snapshot(fresh_database, lake, SnapshotSettings())
        release.join()
    assert lake.snapshot_ids() == [taken.id]


DRIFTS = {
    "a missing column": ("ALTER TABLE app.users DROP COLUMN locale", "users", "locale", "text", "no column"),
    "a missing table": ("DROP TABLE app.mutes", "mutes", "*", "a table", "none"),
    "a narrowed column": (
        "ALTER TABLE app.grants ALTER amount TYPE int", "grants", "amount", "bigint", "integer",
    ),
    "an unknown label": (
        "ALTER TYPE app.mute_scope ADD VALUE 'stories'", "mutes", "scope", "one of all, reshares", "label stories",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DRIFTS)
def test_drift_is_named_before_the_first_byte(case: str, lake: Lake, fresh_database: str) -> None:
    statement, *expected = DRIFTS[case]
    run(fresh_database, statement)
    read = []
    with pytest.raises(SchemaDrift) as raised:
        take_snapshot(fresh_database, lake, QUICK, progress=lambda table, rows: read.append((table, rows)))
    (found,) = raised.value.differences
    assert [found.table, found.column, found.expected, found.found] == expected
    assert f"{found.table}.{found.column}: expected {found.expected}, found {found.found}" in str(raised.value)
    assert not read
    assert not list(lake.home.rglob("*.parquet"))


def test_a_column_we_do_not_know_is_recorded_and_not_copied(lake: Lake, fresh_database: str) -> None:
    _users(fresh_database, 1)
    run(fresh_database, "ALTER TABLE app.users ADD COLUMN phone text DEFAULT '555'")
    manifest = take_snapshot(fresh_database, lake, QUICK)
    assert (manifest.model_extra or {})["ignored_columns"] == ["users.phone"]
    assert "phone" not in lake.scan_snapshot(manifest, "users").collect_schema().names()


def test_a_snapshot_given_up_leaves_nothing_and_frees_its_locks(lake: Lake, fresh_database: str) -> None:
    _users(fresh_database, 100)
    good = take_snapshot(fresh_database, lake, QUICK)

    def fail(table: str, rows: int) -> None:
        raise OSError(28, f"no space for {table}")

    with pytest.raises(SnapshotError, match="no space for users"):
        take_snapshot(fresh_database, lake, QUICK, progress=fail)
    with pytest.raises(SnapshotError):
        take_snapshot(fresh_database, lake, SnapshotSettings(deadline_seconds=0.001))
    assert [path.name for path in lake.snapshots_dir.iterdir()] == [good.id]
    run(fresh_database, "SET lock_timeout = '1s'", "TRUNCATE app.users")


def test_a_server_that_dies_midway_leaves_nothing(lake: Lake, fresh_database: str) -> None:
    _users(fresh_database, 100)

    def cut(table: str, rows: int) -> None:
        run(fresh_database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                            " AND pid <> pg_backend_pid()")  # fmt: skip

    with pytest.raises(SnapshotError):
        take_snapshot(fresh_database, lake, QUICK, progress=cut)
    assert lake.snapshot_ids() == []
    assert list(lake.snapshots_dir.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_a_large_table_is_read_in_parts_that_together_are_the_table(
    workers: int, tmp_path: Path, fresh_database: str
) -> None:
    _users(fresh_database, 3000)
    run(fresh_database, "DELETE FROM app.users WHERE id % 3 = 0", "UPDATE app.users SET locale = 'fr' WHERE id % 5 = 0")
    table = TABLES["users"]
    url = libpq_url(fresh_database)
    with psycopg.connect(url) as coordinator, Readers(url, workers, time.monotonic() + 60) as readers:
        readers.begin([table])
        size = coordinator.execute(f"SELECT pg_relation_size('{relation(table)}')".encode()).fetchone()
        exported = coordinator.execute("SELECT pg_export_snapshot()").fetchone()
        assert size and exported
        parts = parts_of(table, size[0], whole_bytes=64 * 1024, split_bytes=64 * 1024)
        assert len(parts) > 3
        assert sum(part.heap_bytes for part in parts) == size[0]
        run(fresh_database, "UPDATE app.users SET locale = 'de'")
        rows = readers.read(exported[0], parts, tmp_path)
    assert sum(rows.values()) == 2000
    found = pl.concat(pl.read_parquet(tmp_path / part.path) for part in parts).sort("id")
    assert found["id"].to_list() == [i for i in range(1, 3001) if i % 3]
    assert set(found["locale"]) == {"en", "fr"}, "the exported snapshot, not the update after it"


def test_an_as_of_is_the_worlds_even_when_its_rows_are_older(tmp_path: Path, lake: Lake, fresh_database: str) -> None:
    load_world(fresh_database, write_world(tmp_path / "w", users=[user(1, created_at=THEN)]))
    assert take_snapshot(fresh_database, lake, QUICK).as_of == AS_OF
