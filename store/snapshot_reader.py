"""Parallel readers of one exported snapshot: ADBC record batches to Parquet parts, memory kept flat.

Lives here: how a table is cut into parts, and the workers that read them. Does not belong here:
locks, the catalog, the manifest (``store.snapshots``).
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from store.columns import arrow_schema, dictionary_columns, key_order, relation, select_list
from store.failpoints import hit
from store.instants import within_reach

BLOCK_BYTES = 8192
WHOLE_BYTES = 128 << 20
"""A table with a heap up to this size is one part, ordered by its key."""
SPLIT_BYTES = 32 << 20
"""Heap bytes a part of a larger table covers: small, so that the workers end together."""
ROW_GROUP_ROWS = 512 * 1024
BUFFER_BYTES = 32 << 20
"""Arrow bytes a worker holds at most before it writes a row group."""
IMPORT_SECONDS = 60.0
LOCK_NOT_AVAILABLE = "55P03"
SESSION = (
    "SET idle_in_transaction_session_timeout = 0",
    "SET timezone = 'UTC'",
    "SET work_mem = '64MB'",
    # Rows in heap order and by one process: the same table gives the same bytes.
    "SET synchronize_seqscans = off",
    "SET max_parallel_workers_per_gather = 0",
    # A policy that hides rows from the role is an error, not a smaller snapshot.
    "SET row_security = off",
    "SET client_encoding = 'UTF8'",
)

Progress = Callable[[str, int], None]
"""Called with a table and its rows read so far."""


class SnapshotError(Exception):
    """A snapshot was given up; nothing of it is visible. The message says at what and why."""


@dataclass(frozen=True)
class Part:
    """A range of a table's blocks (all of them when both ends are open), and the file it goes to."""

    table: sa.Table
    number: int
    heap_bytes: int
    first_block: int | None = None
    end_block: int | None = None
    cast: frozenset[str] = frozenset()
    """Columns that are wider in the source and cast while reading."""

    @property
    def path(self) -> Path:
        """Relative to the snapshot's folder."""
        return Path(self.table.name) / f"part-{self.number:03d}.parquet"

    @property
    def query(self) -> str:
        """What the worker runs. A whole table comes in key order, a block range in heap order."""
        select = f"SELECT {select_list(self.table, self.cast)} FROM {relation(self.table)}"
        if self.first_block is None:
            return f"{select} ORDER BY {key_order(self.table)}"
        bounds = [f"ctid >= '({self.first_block},0)'::tid"]
        if self.end_block is not None:
            bounds.append(f"ctid < '({self.end_block},0)'::tid")
        return f"{select} WHERE {' AND '.join(bounds)}"


def parts_of(
    table: sa.Table,
    heap_bytes: int,
    *,
    whole_bytes: int = WHOLE_BYTES,
    split_bytes: int = SPLIT_BYTES,
    cast: frozenset[str] = frozenset(),
) -> list[Part]:
    """Cut a table of more than ``whole_bytes`` into parts; the last is open-ended, so that no row lies behind it."""
    if heap_bytes <= whole_bytes:
        return [Part(table, 0, heap_bytes, cast=cast)]
    step = max(split_bytes // BLOCK_BYTES, 1)
    starts = range(0, -(-heap_bytes // BLOCK_BYTES), step)
    return [
        Part(table, i, min(split_bytes, heap_bytes - start * BLOCK_BYTES), start,
             start + step if start + step in starts else None, cast)
        for i, start in enumerate(starts)
    ]  # fmt: skip


class TableLocked(SnapshotError):
    """Another session holds, or waits for, a lock that conflicts with reading a table."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(f"table {table} is locked by another session")


class Readers:
    """N sessions that lock the tables, import one exported snapshot, and read parts of it in parallel.

    Every session takes the locks itself: a reader without its own would queue behind a session that
    waits for the coordinator's, and wait for ever (no deadlock that the server could see).

    Args:
        url: libpq URL.
        workers: sessions, each with a thread of its own while reading.
        deadline: ``time.monotonic()`` at which reading is given up.
        progress: called, one call at a time, from the workers' threads.
    """

    def __init__(self, url: str, workers: int, deadline: float, progress: Progress | None = None) -> None:
        self._deadline = deadline
        self._progress = progress
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._read: dict[str, int] = {}
        self._rows: dict[Part, int] = {}
        self.cut_instants: Counter[str] = Counter()
        """``table.column`` to the instants that were cut to what can be held (``store.instants``)."""
        self._open = ExitStack()
        self._cursors: list[Any] = []
        with self._open as opening:
            for _ in range(workers):
                try:
                    connection = opening.enter_context(adbc.connect(url, autocommit=True))
                except adbc_driver_manager.Error as error:
                    raise SnapshotError(f"a reader cannot connect: {_first_line(error)}") from error
                self._cursors.append(opening.enter_context(connection.cursor()))
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def begin(self, tables: Sequence[sa.Table]) -> None:
        """Begin a transaction in every session and lock ``tables`` in it, without waiting.

        Raises:
            TableLocked: naming the table; call :meth:`roll_back` before another try.
        """
        milliseconds = max(int((self._deadline - time.monotonic()) * 1000), 1)
        for cursor in self._cursors:
            for statement in (
                f"SET statement_timeout = {milliseconds}",
                *SESSION,
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                f"LOCK TABLE {', '.join(map(relation, tables))} IN ACCESS SHARE MODE NOWAIT",
            ):
                try:
                    cursor.execute(statement)
                except adbc_driver_manager.Error as error:
                    if error.sqlstate == LOCK_NOT_AVAILABLE:
                        named = re.search(r'relation "(\w+)"', str(error))
                        raise TableLocked(named.group(1) if named else "?") from error
                    raise SnapshotError(f"a reader cannot begin: {_first_line(error)}") from error

    def roll_back(self) -> None:
        """End every session's transaction, if it has one."""
        for cursor in self._cursors:
            cursor.execute("ROLLBACK")

    def read(self, exported: str, parts: Sequence[Part], staging: Path) -> dict[Part, int]:
        """Import the snapshot in every session, then read every part, largest tables first.

        Args:
            exported: what ``pg_export_snapshot()`` returned; its transaction must stay open.
            parts: what to read.
            staging: folder that the parts' paths are relative to.

        Returns:
            Rows by part.

        Raises:
            SnapshotError: naming the part that failed; the other workers are stopped first.
        """
        tables: Counter[str] = Counter()
        for part in parts:
            tables[part.table.name] += part.heap_bytes
        tasks: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in sorted(parts, key=lambda p: (-tables[p.table.name], p.table.name, p.number)):
            (staging / part.path).parent.mkdir(exist_ok=True)
            tasks.put(part)
        barrier = threading.Barrier(len(self._cursors))
        with ThreadPoolExecutor(len(self._cursors), thread_name_prefix="snapshot") as pool:
            futures = [pool.submit(self._work, cursor, exported, tasks, staging, barrier) for cursor in self._cursors]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
                if any(not future.done() or future.exception() for future in futures):
                    barrier.abort()
        failures = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(failures, key=lambda e: isinstance(e, (threading.BrokenBarrierError, _Stopped))):
            raise error
        return dict(self._rows)

    def _work(
        self, cursor: Any, exported: str, tasks: queue.SimpleQueue[Part], staging: Path, barrier: threading.Barrier
    ) -> None:
        try:
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{exported}'")
        except adbc_driver_manager.Error as error:
            raise SnapshotError(f"a reader cannot join the snapshot: {_first_line(error)}") from error
        barrier.wait(IMPORT_SECONDS)
        for part in _drain(tasks):
            hit("snapshots.reading")
            try:
                self._rows[part] = self._read_part(cursor, part, staging / part.path)
            except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
                told = f" (cast here: {', '.join(sorted(part.cast))})" if part.cast else ""
                raise SnapshotError(f"reading {part.path}: {_first_line(error)}{told}") from error

    def _read_part(self, cursor: Any, part: Part, path: Path) -> int:
        schema = arrow_schema(part.table)
        dictionaries: Any = dictionary_columns(part.table)  # a list is documented; the stubs know a bool
        cursor.execute(part.query)
        rows = 0
        with (
            cursor.fetch_record_batch() as batches,
            pq.ParquetWriter(
                path,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=dictionaries,
                write_statistics=False,  # every reader reads whole columns
            ) as writer,
        ):
            buffer: list[pa.RecordBatch] = []
            for batch in batches:
                self._go_on()
                buffer.append(pa.RecordBatch.from_arrays(self._columns(part, batch, schema), schema=schema))
                rows += batch.num_rows
                self._report(part, batch.num_rows)
                if sum(b.num_rows for b in buffer) >= ROW_GROUP_ROWS or sum(b.nbytes for b in buffer) >= BUFFER_BYTES:
                    writer.write_table(pa.Table.from_batches(buffer, schema), ROW_GROUP_ROWS)
                    buffer.clear()
            writer.write_table(pa.Table.from_batches(buffer, schema), ROW_GROUP_ROWS)
        return rows

    def _columns(self, part: Part, batch: pa.RecordBatch, schema: pa.Schema) -> list[pa.Array[Any]]:
        columns = [c.storage if isinstance(c, pa.ExtensionArray) else c for c in batch.columns]
        for i, field in enumerate(schema):
            if pa.types.is_timestamp(field.type):
                columns[i], cut = within_reach(columns[i])
                if cut:
                    with self._lock:
                        self.cut_instants[f"{part.table.name}.{field.name}"] += cut
        return columns

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _Stopped
        if time.monotonic() > self._deadline:
            raise SnapshotError("reading takes longer than FLOWFORGE_SNAPSHOT__DEADLINE_SECONDS")

    def _report(self, part: Part, rows: int) -> None:
        with self._lock:
            total = self._read.get(part.table.name, 0) + rows
            self._read[part.table.name] = total
            if self._progress is not None:
                self._progress(part.table.name, total)


class _Stopped(SnapshotError):
    """Another worker failed first."""


def _drain(tasks: queue.SimpleQueue[Part]) -> Iterator[Part]:
    while True:
        try:
            yield tasks.get_nowait()
        except queue.Empty:
            return


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
