"""Does the database still look like the models? Asked before a snapshot reads its first byte.

Lives here: the catalog's columns, types and enum labels against ``store.models``. Does not belong
here: what is done about it (``store.snapshots``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from store.columns import catalog_type, exported_columns
from store.models import PRIVATE_COLUMNS, SCHEMA, TABLES

_CATALOG = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
       (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %s AND c.relkind IN ('r', 'p')
"""


@dataclass(frozen=True)
class Difference:
    """One way in which the source is not what the models say."""

    table: str
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Table, column, expected and found."""
        return f"{self.table}.{self.column}: expected {self.expected}, found {self.found}"


class SchemaDrift(Exception):
    """The source's tables are not the models'; nothing was read.

    Attributes:
        differences: each with table, column, expected and found.
    """

    def __init__(self, differences: list[Difference]) -> None:
        self.differences = tuple(differences)
        super().__init__("the source is not what was agreed: " + "; ".join(map(str, differences)))


@dataclass(frozen=True)
class Catalog:
    """What a source that may be read has beside the models: nothing of it stops a snapshot, all of it is recorded."""

    ignored: tuple[str, ...]
    """Columns (``table.column``, sorted) that the models do not know: not copied."""
    casts: Mapping[tuple[str, str], str]
    """(table, column) to the wider type that is found, where it is cast to the agreed one while reading."""

    @property
    def widened(self) -> dict[str, str]:
        """``table.column`` to the type found, for people and the manifest."""
        return {f"{table}.{column}": kind for (table, column), kind in sorted(self.casts.items())}


def check_catalog(connection: psycopg.Connection[Any]) -> Catalog:
    """Compare the catalog with the models (spec 01.4).

    A column that the models do not know is ignored; a type that is wider in a way that a cast undoes
    (:data:`WIDER`) is cast.

    Raises:
        SchemaDrift: a table or column is missing, has another type, or an enum an unknown label.
    """
    found: dict[str, dict[str, tuple[str, list[str] | None]]] = {}
    for table, column, kind, labels in connection.execute(_CATALOG, (SCHEMA,)):
        found.setdefault(table, {})[column] = (kind, labels)
    differences: list[Difference] = []
    ignored: list[str] = []
    casts: dict[tuple[str, str], str] = {}
    for name, table in sorted(TABLES.items()):
        columns = found.get(name)
        if columns is None:
            differences.append(Difference(name, "*", "a table", "none"))
            continue
        for expected in exported_columns(table):
            column = columns.get(expected.name)
            if column is not None and column[1] is None and is_wider(expected, column[0]):
                casts[name, expected.name] = column[0]
            else:
                differences += _compare(name, expected, column)
        known = {column.name for column in table.columns}
        ignored += [f"{name}.{c}" for c in columns if c not in known and (name, c) not in PRIVATE_COLUMNS]
    if differences:
        raise SchemaDrift(differences)
    return Catalog(tuple(sorted(ignored)), casts)


WIDER: dict[str, str] = {
    "bigint": r"numeric\(\d+,0\)",
    "integer": r"bigint|numeric\(\d+,0\)",
    "text": r"character varying|citext",
    "text[]": r"character varying\[\]",
    "enum": r"text|character varying",
    "jsonb": r"json",
}
"""Agreed type to the wider ones (a pattern of ``format_type``) that a cast brings back without loss; a value
that does not fit fails the read. ``char(n)`` may be any text of at least n characters."""


def is_wider(column: sa.Column[object], found: str) -> bool:
    """Whether values of type ``found`` are read as the column's own by a cast."""
    expected = catalog_type(column)
    if (fixed := re.fullmatch(r"character\((\d+)\)", expected)) is not None:
        room = re.fullmatch(r"text|character varying|character(?: varying)?\((\d+)\)", found)
        return room is not None and found != expected and int(room[1] or fixed[1]) >= int(fixed[1])
    return re.fullmatch(WIDER.get(expected, "(?!)"), found) is not None


def _compare(table: str, column: sa.Column[object], found: tuple[str, list[str] | None] | None) -> list[Difference]:
    expected = catalog_type(column)
    if found is None:
        return [Difference(table, column.name, expected, "no column")]
    kind, labels = found
    if isinstance(column.type, sa.Enum) and labels is not None:
        unknown = [label for label in labels if label not in column.type.enums]
        agreed = f"one of {', '.join(column.type.enums)}"
        return [Difference(table, column.name, agreed, f"label {', '.join(unknown)}")] if unknown else []
    return [] if kind == expected else [Difference(table, column.name, _agreed(column), kind)]


def _agreed(column: sa.Column[object]) -> str:
    return f"enum of {', '.join(column.type.enums)}" if isinstance(column.type, sa.Enum) else catalog_type(column)
