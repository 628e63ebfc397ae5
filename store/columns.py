"""From the models: what a snapshot reads of each table, and how it stands in Arrow and Polars.

Lives here: SELECT lists with their casts, reading order, Arrow and Polars schemas, catalog types.
Does not belong here: the models themselves (``store.models``), reading (``store.snapshot_reader``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from store.manifest import schema_hash
from store.models import PRIVATE_COLUMNS, SCHEMA

FEW_VALUES = frozenset({"code", "feature_key", "locale", "meter_key", "source", "time_zone", "unit", "verb"})
"""Text columns that repeat few values: worth a dictionary in Parquet, as every enum and char is."""

_PLAIN: tuple[tuple[type[sa.types.TypeEngine[Any]], pa.DataType], ...] = (
    (sa.BigInteger, pa.int64()),
    (sa.Integer, pa.int32()),
    (sa.Boolean, pa.bool_()),
    (sa.DateTime, pa.timestamp("us", tz="UTC")),
    (sa.Time, pa.time64("us")),
    (postgresql.JSONB, pa.string()),
    (sa.String, pa.string()),
)

_DIALECT: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def exported_columns(table: sa.Table) -> list[sa.Column[object]]:
    """The table's columns that go into a snapshot, in model order: all but the private ones."""
    return [column for column in table.columns if (table.name, column.name) not in PRIVATE_COLUMNS]


def select_list(table: sa.Table, cast: Collection[str] = ()) -> str:
    """The SELECT list: char as text, because its padding is not part of the value.

    ``cast`` names columns whose type in the source is wider than the model's (``store.catalog``).
    """
    return ", ".join(_expression(column, is_cast=column.name in cast) for column in exported_columns(table))


def relation(table: sa.Table) -> str:
    """The table's quoted name with its schema."""
    return f'{SCHEMA}."{table.name}"'


def key_order(table: sa.Table) -> str:
    """ORDER BY terms of the primary key; text by its bytes, whatever the database's collation."""
    return ", ".join(
        f'"{column.name}"' + ('::text COLLATE "C"' if isinstance(column.type, sa.String) else "")
        for column in table.primary_key.columns
    )


def arrow_schema(table: sa.Table) -> pa.Schema:
    """The snapshot's Arrow schema of a table."""
    fields = [pa.field(column.name, _arrow_type(column.type)) for column in exported_columns(table)]
    return pa.schema(fields)


def polars_schema(table: sa.Table) -> dict[str, pl.DataType]:
    """The same as Polars reads it."""
    return dict(pl.DataFrame(pl.from_arrow(arrow_schema(table).empty_table())).schema)


def table_schema_hash(table: sa.Table) -> str:
    """Sha256 (hex) of the snapshot's columns and types of a table."""
    return schema_hash(polars_schema(table))


def dictionary_columns(table: sa.Table) -> list[str]:
    """Columns of low cardinality, dictionary-encoded in Parquet."""
    return [
        column.name
        for column in exported_columns(table)
        if isinstance(column.type, (sa.Enum, sa.CHAR)) or column.name in FEW_VALUES
    ]


def catalog_type(column: sa.Column[object]) -> str:
    """The column's type as ``format_type`` names it; an enum as ``enum``."""
    if isinstance(column.type, sa.Enum):
        return "enum"
    named = column.type.compile(dialect=_DIALECT).lower()
    return {"char(2)": "character(2)", "char(3)": "character(3)"}.get(named, named)


def _expression(column: sa.Column[object], *, is_cast: bool) -> str:
    if isinstance(column.type, (sa.Enum, postgresql.JSONB)):
        cast = ""  # the driver reads labels and documents as text, in half the server's time
    elif isinstance(column.type, sa.CHAR):
        cast = "::text"  # without the padding
    else:
        cast = f"::{catalog_type(column)}" if is_cast else ""
    return f'"{column.name}"{cast} AS "{column.name}"' if cast else f'"{column.name}"'


def _arrow_type(kind: sa.types.TypeEngine[object]) -> pa.DataType:
    if isinstance(kind, sa.ARRAY):
        return pa.list_(_arrow_type(kind.item_type))
    for known, arrow in _PLAIN:
        if isinstance(kind, known):
            return arrow
    raise TypeError(f"no Arrow type for {kind!r}")
