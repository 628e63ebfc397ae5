"""Does the database still look like the models? Asked before a snapshot reads its first byte.

Lives here: the catalog's columns, types and enum labels against ``store.models``. Does not belong
here: what is done about it (``store.snapshots``).
"""

from __future__ import annotations

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


def check_catalog(connection: psycopg.Connection[Any]) -> list[str]:
    """Compare the catalog with the models.

    Returns:
        Columns that the source has and the models do not (``table.column``, sorted): not copied.

    Raises:
        SchemaDrift: a table or column is missing, has another type, or an enum an unknown label.
    """
    found: dict[str, dict[str, tuple[str, list[str] | None]]] = {}
    for table, column, kind, labels in connection.execute(_CATALOG, (SCHEMA,)):
        found.setdefault(table, {})[column] = (kind, labels)
    differences: list[Difference] = []
    ignored: list[str] = []
    for name, table in sorted(TABLES.items()):
        columns = found.get(name)
        if columns is None:
            differences.append(Difference(name, "*", "a table", "none"))
            continue
        for expected in exported_columns(table):
            differences += _compare(name, expected, columns.get(expected.name))
        known = {column.name for column in table.columns}
        ignored += [f"{name}.{c}" for c in columns if c not in known and (name, c) not in PRIVATE_COLUMNS]
    if differences:
        raise SchemaDrift(differences)
    return sorted(ignored)


def _compare(table: str, column: sa.Column[object], found: tuple[str, list[str] | None] | None) -> list[Difference]:
    expected = catalog_type(column)
    if found is None:
        return [Difference(table, column.name, expected, "no column")]
    kind, labels = found
    if isinstance(column.type, sa.Enum) and labels is not None:
        unknown = [label for label in labels if label not in column.type.enums]
        agreed = f"one of {', '.join(column.type.enums)}"
        return [Difference(table, column.name, agreed, f"label {', '.join(unknown)}")] if unknown else []
    return [] if kind == expected else [Difference(table, column.name, expected, kind)]
