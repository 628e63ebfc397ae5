"""From columns to a world folder: Arrow schemas out of the models, and a chunked Parquet writer.

A world is written to a folder beside its target and renamed whole, so that a killed run leaves no
half a world under the final name. What the rows say is decided elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Integer, Time
from sqlalchemy.types import TypeEngine

from store.files import staged_folder
from store.generator.columns import Column, array
from store.models import TABLES
from store.worlds import require_free

CHUNK = 200_000
"""Rows rendered and written at a time."""
LOW_CARDINALITY = frozenset(
    {"verb", "object_type", "audience", "object_audience", "category", "priority", "channel", "mode", "status", "kind",
     "scope", "interval", "currency", "meter_key", "source", "time_zone", "locale", "country", "feature_key",
     "profile_visibility", "friend_list_visibility"}
)  # fmt: skip


def _arrow_type(type_: TypeEngine[Any]) -> pa.DataType:
    if isinstance(type_, ARRAY):
        return pa.list_(_arrow_type(type_.item_type))
    for kind, arrow in (
        (BigInteger, pa.int64()), (Integer, pa.int32()), (Boolean, pa.bool_()),
        (DateTime, pa.timestamp("us", "UTC")), (Time, pa.time64("us")),
    ):  # fmt: skip
        if isinstance(type_, kind):
            return arrow
    return pa.string()


def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of a world's file: the model's columns in order, jsonb and enums as text."""
    return pa.schema([pa.field(c.name, _arrow_type(c.type), nullable=bool(c.nullable)) for c in TABLES[table].columns])


class WorldWriter:
    """Writes one world; a context manager. Nothing stands at the target before :meth:`finish`."""

    def __init__(self, directory: Path, *, replace: bool = False) -> None:
        """Take ``directory`` as the target.

        Raises ``FileExistsError`` when it holds anything, unless it is a world and ``replace``.
        """
        self.directory = directory
        require_free(directory, replace=replace)
        self.rows: dict[str, int] = dict.fromkeys(TABLES, 0)
        self._stack = ExitStack()
        self._staging = directory
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> Self:
        self._staging = self._stack.enter_context(staged_folder(self.directory))
        return self

    def write(self, table: str, columns: Mapping[str, Column | npt.NDArray[Any]]) -> None:
        """Append rows to ``table``; every column of the model must be there."""
        schema = arrow_schema(table)
        if set(columns) != set(schema.names):
            raise ValueError(f"{table}: columns {sorted(set(columns) ^ set(schema.names))} differ from the model")
        arrays = [array(columns[f.name]).cast(f.type) for f in schema]
        batch = pa.Table.from_arrays(arrays, schema=schema)
        if table not in self._writers:
            dictionary = [name for name in schema.names if name in LOW_CARDINALITY]
            self._writers[table] = self._stack.enter_context(
                pq.ParquetWriter(
                    self._staging / f"{table}.parquet",
                    schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=cast("Any", dictionary or False),
                )
            )
        self._writers[table].write_table(batch, row_group_size=max(1, batch.num_rows))
        self.rows[table] += batch.num_rows

    def finish(self, *, name: str, as_of: datetime, source: str) -> None:
        """Write the tables nobody wrote (empty) and ``world.json``."""
        for table in TABLES:
            if table not in self._writers:
                pq.write_table(arrow_schema(table).empty_table(), self._staging / f"{table}.parquet")
        world = {
            "name": name,
            "as_of": as_of.astimezone(UTC).isoformat(),
            "licence": "CC0-1.0: everything in it is made up",
            "source": source,
        }
        (self._staging / "world.json").write_text(json.dumps(world, indent=2) + "\n", encoding="utf-8")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
