"""Spec 01.4: an ALTER that rewrites a table beside a snapshot never makes it read 0 rows: one waits for the other."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest

from store.lake import Lake
from store.settings import SnapshotSettings
from store.snapshots import take_snapshot
from store.source import libpq_url
from tests.support.source import run

ROWS = 2000
REWRITE = "ALTER TABLE app.activities ALTER COLUMN object_id TYPE bigint USING object_id + 1"
FILL = (
    "INSERT INTO app.activities (id, actor_id, verb, object_type, object_id, audience, object_audience, created_at)"
    f" SELECT i, 1, 'post', 'post', i, 'public', 'public', now() FROM generate_series(1, {ROWS}) i"
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")


def test_without_the_locks_a_rewritten_table_is_read_as_empty(fresh_database: str) -> None:
    """Why the locks are there: the snapshot is older than the rewritten rows, and Postgres says nothing."""
    run(fresh_database, FILL)
    with psycopg.connect(libpq_url(fresh_database)) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        reader.execute("SELECT pg_export_snapshot()")
        run(fresh_database, REWRITE)
        assert reader.execute("SELECT count(*) FROM app.activities").fetchone() == (0,)


def test_a_table_rewritten_again_and_again_is_never_read_empty(lake: Lake, fresh_database: str) -> None:
    run(fresh_database, FILL)
    stop, rewritten, failures = threading.Event(), [], []

    def rewrite() -> None:
        try:
            while not stop.is_set():
                run(fresh_database, REWRITE)
                rewritten.append(1)
                time.sleep(0.01)
        except BaseException as error:
            failures.append(error)

    session = threading.Thread(target=rewrite)
    session.start()
    try:
        shifts = set()
        for _ in range(6):
            manifest = take_snapshot(fresh_database, lake, SnapshotSettings(lock_timeout_seconds=30))
            rows = lake.scan_snapshot(manifest, "activities").select("id", "object_id").collect()
            assert manifest.tables["activities"].rows == rows.height == ROWS
            shift = (rows["object_id"] - rows["id"]).unique()
            assert shift.len() == 1, "every row is from before the same rewrite"
            shifts.add(shift.item())
    finally:
        stop.set()
        session.join()
    assert not failures
    assert len(shifts) > 1, "the table was rewritten between the snapshots"


def test_a_rewrite_that_comes_while_a_snapshot_reads_waits_for_it(lake: Lake, fresh_database: str) -> None:
    run(fresh_database, FILL)
    refused: list[int] = []
    waiting = threading.Thread(target=run, args=(fresh_database, REWRITE))

    def meanwhile(table: str, rows: int) -> None:
        del table
        if not refused:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                run(fresh_database, "SET lock_timeout = '50ms'", REWRITE)
            waiting.start()
        refused.append(rows)

    manifest = take_snapshot(fresh_database, lake, SnapshotSettings(workers=1), progress=meanwhile)
    waiting.join()
    assert refused
    rows = lake.scan_snapshot(manifest, "activities").select("id", "object_id").collect()
    assert rows.height == ROWS
    assert (rows["object_id"] == rows["id"]).all(), "as it was before the rewrite"
    assert run(fresh_database, "SELECT count(*), min(object_id - id) FROM app.activities") == [(ROWS, 1)]
