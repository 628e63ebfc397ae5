"""A world's rows as Postgres reads them, and the naming of a row it refuses.

Lives here: Parquet values to COPY text (one line a row, so that a line number is a row number),
and Postgres errors to (table, row, column, value, rule). Does not belong here: connections and
transactions (``store.worlds``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import CheckConstraint, Enum, Table

BATCH_ROWS = 65_536
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
NULL = "\\N"
SHOWN = 80

NOT_NULL, UNIQUE, CHECK, NUL_BYTE, BAD_TEXT = "23502", "23505", "23514", "22021", "22P02"
TOO_LARGE = "54000"


class WorldError(Exception):
    """A world cannot be loaded; the message names the file and what is wrong with it."""


class BadRow(WorldError):
    """A row of a world breaks a rule of the source schema.

    Attributes:
        table: the table, that is, the file.
        row: its number in the file, from 1.
        column: the column (several for a rule over several, comma-separated).
        value: what stands there, as the file holds it.
        rule: the rule in words or SQL.
    """

    def __init__(self, table: str, row: int, column: str, value: object, rule: str) -> None:
        self.table, self.row, self.column, self.value, self.rule = table, row, column, value, rule
        shown = repr(value)
        shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
        super().__init__(f"{table}, row {row}, column {column}, value {shown}: {rule}")


def columns_of(path: Path, table: Table) -> list[str]:
    """The file's columns, after they were found to be columns of ``table``.

    Raises:
        WorldError: naming the file and the unknown column.
    """
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise WorldError(f"{path.name}: cannot be read as Parquet: {error}") from error
    unknown = [name for name in names if name not in table.columns]
    if unknown:
        raise WorldError(f"{path.name}: {table.name} has no column {', '.join(unknown)}")
    if not names:
        raise WorldError(f"{path.name}: the file has no columns; {table.name} has {', '.join(table.columns.keys())}")
    return names


def copy_batches(path: Path) -> Iterator[tuple[pl.DataFrame, bytes]]:
    """The file's rows in file order: (some rows, their COPY text)."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                frame = pl.DataFrame(pl.from_arrow(batch))
                yield frame, copy_text(frame, path.name)
    except pa.ArrowException as error:
        raise WorldError(f"{path.name}: cannot be read as Parquet: {error}") from error


def copy_text(frame: pl.DataFrame, file: str) -> bytes:
    r"""Rows as COPY text: tabs between columns, ``\N`` for null, control characters escaped."""
    text = frame.select(_text(name, dtype, file) for name, dtype in frame.schema.items())
    return text.write_csv(
        separator="\t", quote_style="never", null_value=NULL, include_header=False, line_terminator="\n"
    ).encode()


def name_bad_row(error: psycopg.Error, table: Table, path: Path) -> WorldError:
    """The refused row in the world's terms; ``error`` is what Postgres raised while copying ``path``."""
    context = re.search(r"COPY \S+, line (\d+)(?:, column (\w+))?", error.diag.context or "")
    said = error.diag.message_primary or str(error)
    if context is None:
        return WorldError(f"{path.name}: {said}")
    number = int(context.group(1))
    row = _row(path, number)
    columns = _columns(error, table, row, context.group(2))
    values = tuple(row.get(column) for column in columns)
    return BadRow(
        table.name, number, ", ".join(columns) or "*", values[0] if len(values) == 1 else values,
        _rule(error, table, columns, said),
    )  # fmt: skip


def _text(name: str, dtype: pl.DataType, file: str) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            raise WorldError(f"{file}: column {name} holds times without a time zone; instants are UTC")
        return column.dt.convert_time_zone("UTC").dt.to_string("%Y-%m-%d %H:%M:%S%.6f+00")
    if isinstance(dtype, pl.Time):
        return column.dt.to_string("%H:%M:%S%.6f")
    if isinstance(dtype, pl.List):
        return _escaped(pl.concat_str(pl.lit("{"), _items(column, dtype), pl.lit("}")))
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return _escaped(column.cast(pl.String))
    if dtype.is_numeric() or isinstance(dtype, (pl.Boolean, pl.Date, pl.Null)):
        return column.cast(pl.String)
    raise WorldError(f"{file}: column {name} has type {dtype}, which no column of the source has")


def _items(column: pl.Expr, dtype: pl.List) -> pl.Expr:
    item = pl.element().cast(pl.String)
    if isinstance(dtype.inner, pl.String):
        quoted = item.str.replace_many({"\\": "\\\\", '"': '\\"'})
        item = pl.concat_str(pl.lit('"'), quoted, pl.lit('"'))
    return column.list.eval(item.fill_null("NULL")).list.join(",")


def _escaped(text: pl.Expr) -> pl.Expr:
    return text.str.replace_many(ESCAPES)


def _row(path: Path, number: int) -> dict[str, Any]:
    found = pl.scan_parquet(path, glob=False).slice(number - 1, 1).collect().to_dicts()
    return found[0] if found else {}


def _columns(error: psycopg.Error, table: Table, row: dict[str, Any], column: str | None) -> list[str]:
    if error.diag.column_name or column:
        return [error.diag.column_name or column or ""]
    if error.sqlstate == UNIQUE and (key := re.match(r"Key \((.+?)\)=", error.diag.message_detail or "")):
        return [name.strip().strip('"') for name in key.group(1).split(",")]
    if error.sqlstate == CHECK:
        expression = _check(error, table)
        return [c.name for c in table.columns if re.search(rf"\b{c.name}\b", expression)]
    if error.sqlstate == TOO_LARGE:  # Postgres names no column: the longest text does not fit into its index
        texts = {name: len(value) for name, value in row.items() if isinstance(value, str)}
        return sorted(texts, key=lambda name: (-texts[name], name))[:1]
    if error.sqlstate == NUL_BYTE:
        return [name for name, value in row.items() if "\x00" in str(value)]
    return []


def _rule(error: psycopg.Error, table: Table, columns: list[str], said: str) -> str:
    if error.sqlstate == NOT_NULL:
        return "is not null"
    if error.sqlstate == UNIQUE:
        return "is unique"
    if error.sqlstate == CHECK:
        return _check(error, table)
    if error.sqlstate == NUL_BYTE:
        return "holds no NUL character"
    kind = table.columns[columns[0]].type if len(columns) == 1 and columns[0] in table.columns else None
    if error.sqlstate == BAD_TEXT and isinstance(kind, Enum):
        return f"is one of {', '.join(kind.enums)}"
    return said


def _check(error: psycopg.Error, table: Table) -> str:
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint) and constraint.name == error.diag.constraint_name:
            return str(constraint.sqltext)
    return error.diag.constraint_name or "check"
