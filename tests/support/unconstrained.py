"""A customer's database as customers have them: the agreed columns, no keys, no checks, text instead of enums."""

from __future__ import annotations

from sqlalchemy import CHAR, Enum
from sqlalchemy.dialects import postgresql

from store.models import SCHEMA, TABLES

_DIALECT = postgresql.dialect()


def unconstrained_schema() -> list[str]:
    """Statements that create every table of schema ``app`` with nothing that keeps a bad row out."""
    statements = [f"CREATE SCHEMA {SCHEMA}"]
    for table in TABLES.values():
        columns = []
        for column in table.columns:
            kind = column.type
            named = "text" if isinstance(kind, (Enum, CHAR)) else kind.compile(dialect=_DIALECT)
            default = f" DEFAULT {column.server_default.arg.text}" if column.server_default is not None else ""
            columns.append(f'"{column.name}" {named}{default}')
        statements.append(f'CREATE TABLE {SCHEMA}."{table.name}" ({", ".join(columns)})')
    return statements
