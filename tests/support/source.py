"""Little worlds in the source schema, as folders of Parquet, for the tests of this room."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from store.columns import polars_schema
from store.models import TABLES
from store.source import libpq_url

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
THEN = datetime(2026, 1, 1, tzinfo=UTC)


def user(id_: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": id_, "handle": f"u{id_}", "display_name": f"User {id_}", "email": f"u{id_}@example.org",
        "time_zone": "UTC", "locale": "en", "country": None, "status": "active", "profile_visibility": "public",
        "friend_list_visibility": "friends", "is_discoverable": True, "wants_recommendations": True,
        "created_at": THEN, "updated_at": THEN, "last_seen_at": None,
    } | changes  # fmt: skip


def friendship(a: int, b: int, **changes: Any) -> dict[str, Any]:
    return {"user_a_id": a, "user_b_id": b, "created_at": THEN, "ended_at": None} | changes


def write_world(folder: Path, *, name: str = "tiny", as_of: datetime = AS_OF, **tables: list[dict[str, Any]]) -> Path:
    """A world of the given rows; their columns get the source's types where the source has them."""
    folder.mkdir(parents=True, exist_ok=True)
    description = {"name": name, "as_of": as_of.isoformat(), "licence": "none", "source": "test"}
    (folder / "world.json").write_text(json.dumps(description))
    for table, rows in tables.items():
        types = polars_schema(TABLES[table]) | {"email": pl.String()}
        schema = {column: types.get(column, pl.String()) for column in rows[0]}
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / f"{table}.parquet")
    return folder


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements in one transaction; the rows of the last."""
    with psycopg.connect(libpq_url(url)) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
