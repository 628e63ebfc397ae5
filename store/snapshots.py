"""The coordinator: all tables at one instant, into the lake, whole or not at all (spec 01.4).

The order is the point: locks, catalog, export, parallel read, commit, validate, rename. Does not
belong here: how a part is read (``store.snapshot_reader``), what drift is (``store.catalog``).
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pyarrow.parquet as pq
import sqlalchemy as sa

from store.catalog import Catalog, Difference, SchemaDrift, check_catalog
from store.columns import relation, table_schema_hash
from store.erasure import erase_from_files, erased_people
from store.failpoints import hit
from store.files import staged_folder
from store.lake import Lake
from store.manifest import MANIFEST, Counts, Manifest, TableEntry, file_entry, snapshot_id_of, verify_files
from store.models import TABLES
from store.settings import SnapshotSettings
from store.snapshot_reader import Part, Progress, Readers, SnapshotError, TableLocked, parts_of
from store.source import libpq_url
from store.worlds import World, world_of

CODE_VERSION = "3"
ERASURE_REQUESTS = "erasure_requests"
log = logging.getLogger("flowforge.snapshot")
LOCK_PAUSE_SECONDS = 0.05
SPARE_BYTES = 64 << 20

_EXPORT = """
SELECT clock_timestamp(), pg_export_snapshot(), pg_current_snapshot()::text,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text,
       (SELECT system_identifier FROM pg_control_system())::text
"""
_SIZES = """
SELECT coalesce(sum(pg_relation_size(relid)), 0)::bigint, coalesce(sum(pg_table_size(relid)), 0)::bigint
FROM (SELECT %(name)s::regclass AS relid UNION SELECT relid FROM pg_partition_tree(%(name)s::regclass)) AS t
"""


@dataclass(frozen=True)
class Exported:
    """What the exporting statement said."""

    at: datetime
    name: str
    pg_current_snapshot: str
    lsn: str
    system_identifier: str


def take_snapshot(
    url: str,
    lake: Lake,
    settings: SnapshotSettings,
    world: World | None = None,
    progress: Progress | None = None,
    forget_after: timedelta | None = None,
) -> Manifest:
    """Copy every table (without private columns) at one instant into ``lake/snapshots/<snapshot_id>``.

    ``as_of`` is the instant of export, or the world's in a database filled from one. A world's
    snapshot that stands and verifies is reused, not read again.

    Args:
        url: SQLAlchemy or libpq URL; a role with LOGIN, USAGE and SELECT suffices.
        lake: where it goes.
        settings: workers, lock timeout, deadline.
        world: the world the database holds; asked of the database when not given.
        progress: called with a table and its rows so far, from the readers' threads.
        forget_after: whoever asked to be erased longer ago, or is in the home's erasure set, never enters the lake.

    Raises:
        SchemaDrift: before the first byte, naming table, column, expected and found.
        SnapshotError: locks not had in time, no space, deadline, a reader's failure.
        store.manifest.CorruptFile: the world's snapshot stands but a file of it is damaged.
    """
    try:
        world = world or world_of(url)
        if world is not None and (standing := _standing(lake, world)) is not None:
            return standing
        return _take(libpq_url(url), lake, settings, world, progress, forget_after)
    except (psycopg.Error, sa.exc.DBAPIError) as error:
        said = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        raise SnapshotError(f"the source failed: {str(said).strip()}") from error


def _take(
    url: str,
    lake: Lake,
    settings: SnapshotSettings,
    world: World | None,
    progress: Progress | None,
    forget_after: timedelta | None,
) -> Manifest:
    deadline = time.monotonic() + settings.deadline_seconds
    with (
        psycopg.connect(url, autocommit=True) as coordinator,
        psycopg.connect(url, autocommit=True) as helper,
        Readers(url, settings.workers, deadline, progress) as readers,
    ):
        _lock_all(coordinator, readers, settings.lock_timeout_seconds, deadline)
        # On a connection of its own, under the locks: a query here would fix the snapshot before its export.
        hit("snapshots.locked")
        catalog = check_catalog(helper)
        _warn(catalog)
        exported = _export(coordinator)
        hit("snapshots.exported")
        as_of = world.as_of.astimezone(UTC) if world is not None else exported.at
        final = lake.snapshots_dir / snapshot_id_of(as_of)
        parts = _parts(coordinator, lake, catalog)
        with staged_folder(final) as staging:
            rows = readers.read(exported.name, parts, staging)
            hit("snapshots.read")
            coordinator.execute("COMMIT")
            read = sum(rows.values())
            if forget_after is not None:
                rows |= _forget(staging, rows, lake, as_of - forget_after)
            kept = sum(rows.values())
            manifest = Manifest.model_validate(
                {
                    "kind": "snapshot",
                    "id": final.name,
                    "as_of": as_of,
                    "code_version": CODE_VERSION,
                    "config_hash": settings.config_hash(),
                    "tables": _table_entries(staging, rows),
                    "counts": Counts(in_=read, out=kept, filtered={"erased": read - kept} if read > kept else {}),
                    "mode": "full",
                    "base": None,
                    "exported_at": exported.at.isoformat(),
                    "system_identifier": exported.system_identifier,
                    "pg_current_snapshot": exported.pg_current_snapshot,
                    "lsn": exported.lsn,
                    "ignored_columns": list(catalog.ignored),
                    "widened_columns": catalog.widened,
                    "cut_instants": dict(sorted(readers.cut_instants.items())),
                    "world": None if world is None else {"name": world.name, "sha256": world.content_sha256},
                }
            )
            (staging / MANIFEST).write_bytes(manifest.to_bytes())
            hit("snapshots.written")
    hit("snapshots.renamed")
    return manifest


def _forget(staging: Path, rows: Mapping[Part, int], lake: Lake, until: datetime) -> dict[Part, int]:
    """Take out of the staged files whoever asked for erasure until then; the rows kept of each part rewritten."""
    parts = {staging / part.path: part for part in rows}
    asked = [path for path, part in parts.items() if part.table.name == ERASURE_REQUESTS]
    due = pl.scan_parquet(asked, glob=False).filter(pl.col("requested_at") <= until).select("user_id").collect()
    people = {*due["user_id"], *erased_people(lake.home)}
    kept = erase_from_files({path: part.table.name for path, part in parts.items()}, people) if people else {}
    return {parts[path]: count for path, count in kept.items()}


def _standing(lake: Lake, world: World) -> Manifest | None:
    folder = lake.snapshots_dir / snapshot_id_of(world.as_of)
    if not folder.exists():
        return None
    manifest = lake.snapshot(folder.name)
    taken_of = (manifest.model_extra or {}).get("world") or {}
    if taken_of.get("sha256") != world.content_sha256:
        raise SnapshotError(
            f"{folder} holds {taken_of.get('name', 'a live database')}, the database now holds {world.name} "
            "with the same as_of: give each world its own FLOWFORGE_HOME, or remove that folder"
        )
    verify_files(folder, manifest.tables.values())
    return manifest


def _lock_all(coordinator: psycopg.Connection[Any], readers: Readers, seconds: float, deadline: float) -> None:
    """Lock every table, in alphabetical order, in every session; let go of all and try again while one is taken."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            _begin(coordinator, deadline)
            _lock(coordinator)
            readers.begin([TABLES[name] for name in sorted(TABLES)])
        except TableLocked as locked:
            coordinator.execute("ROLLBACK")
            readers.roll_back()
            if time.monotonic() > give_up:
                raise SnapshotError(f"{locked} for {seconds:g} s (FLOWFORGE_SNAPSHOT__LOCK_TIMEOUT_SECONDS)") from None
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return


def _lock(coordinator: psycopg.Connection[Any]) -> None:
    for name in sorted(TABLES):
        try:
            coordinator.execute(f"LOCK TABLE {relation(TABLES[name])} IN ACCESS SHARE MODE NOWAIT".encode())
        except psycopg.errors.LockNotAvailable:
            raise TableLocked(name) from None
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise SchemaDrift([Difference(name, "*", "a table", "none")]) from None
        except psycopg.errors.InsufficientPrivilege:
            raise SnapshotError(f"the role may not SELECT from table {name}") from None


def _begin(coordinator: psycopg.Connection[Any], deadline: float) -> None:
    coordinator.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    coordinator.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    coordinator.execute(f"SET LOCAL statement_timeout = {max(int((deadline - time.monotonic()) * 1000), 1)}".encode())
    if coordinator.info.server_version >= 170000:
        coordinator.execute("SET LOCAL transaction_timeout = 0")


def _export(coordinator: psycopg.Connection[Any]) -> Exported:
    row = coordinator.execute(_EXPORT).fetchone()
    if row is None:
        raise SnapshotError("the source exported no snapshot")
    at, *rest = row
    return Exported(at.astimezone(UTC), *rest)


def _warn(catalog: Catalog) -> None:
    for column in catalog.ignored:
        log.warning("%s is not a column of the agreed schema: it is not copied", column)
    for column, found in catalog.widened.items():
        log.warning("%s is %s in the source, wider than agreed: it is cast", column, found)


def _parts(coordinator: psycopg.Connection[Any], lake: Lake, catalog: Catalog) -> list[Part]:
    """Every table's parts, after the lake was found to have room for them."""
    parts: list[Part] = []
    needed = SPARE_BYTES
    for table in TABLES.values():
        row = coordinator.execute(_SIZES, {"name": relation(table)}).fetchone()
        heap_bytes, table_bytes = row or (0, 0)
        needed += table_bytes
        cast = frozenset(column for owner, column in catalog.casts if owner == table.name)
        parts += parts_of(table, heap_bytes, cast=cast)
    lake.snapshots_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(lake.snapshots_dir).free
    if free < needed:
        raise SnapshotError(f"{lake.snapshots_dir} has {free:,} bytes free, the snapshot may need {needed:,}")
    return parts


def _table_entries(staging: Path, rows: dict[Part, int]) -> dict[str, TableEntry]:
    """Validate what was written, file by file against what was read, and describe it."""
    entries: dict[str, TableEntry] = {}
    for name, table in sorted(TABLES.items()):
        files = []
        for part in sorted((p for p in rows if p.table is table), key=lambda p: p.number):
            stored = pq.read_metadata(staging / part.path).num_rows
            if stored != rows[part]:
                raise SnapshotError(f"{part.path}: {rows[part]} rows were read, {stored} stand in the file")
            files.append(file_entry(staging, staging / part.path, stored))
        entries[name] = TableEntry(
            rows=sum(file.rows for file in files), files=tuple(files), schema_hash=table_schema_hash(table)
        )
    return entries
