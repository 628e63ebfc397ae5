"""Small and public worlds for friend recommendations, and what the product shows in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from assets.frame import Inputs, Result
from assets.friends.engine import Engine
from assets.friends.product import compute, friends
from quality.registry import REGISTRY
from store.settings import FriendsSettings

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
LONG_AGO = AS_OF - timedelta(days=1000)
WORLDS = Path(__file__).resolve().parents[3] / "shared" / "worlds"

Rows = Mapping[str, list[dict[str, Any]]]
DEFAULTS: dict[str, dict[str, Any]] = {
    "staged_users": {
        "handle": "h", "display_name": "d", "time_zone": "UTC", "locale": "en", "country": "DE", "status": "active",
        "profile_visibility": "public", "friend_list_visibility": "public", "is_discoverable": True,
        "wants_recommendations": True, "created_at": LONG_AGO, "updated_at": LONG_AGO,
    },
    "staged_friendships": {"created_at": LONG_AGO},
    "staged_friend_requests": {"status": "pending", "created_at": LONG_AGO},
    "staged_blocks": {"created_at": LONG_AGO},
    "staged_mutes": {"scope": "all", "created_at": LONG_AGO},
    "staged_recommendation_dismissals": {"dismissed_at": AS_OF - timedelta(days=1), "dismissal_count": 1},
    "staged_recommendation_impressions": {"shown_at": AS_OF - timedelta(days=1)},
    "staged_groups": {"name": "g", "kind": "group", "is_private": False, "created_at": LONG_AGO},
    "staged_memberships": {"weight": 1, "joined_at": LONG_AGO},
    "staged_activities": {
        "mentioned_user_ids": [], "audience": "public", "object_audience": "public", "body": "{}",
        "created_at": AS_OF - timedelta(days=1),
    },
}  # fmt: skip


def frames(rows: Rows) -> dict[str, pl.LazyFrame]:
    """Staged frames of the product's inputs; missing tables are empty, missing columns take defaults."""
    made = {}
    for table in friends.inputs:
        schema = REGISTRY[table].schema
        filled = [{name: {**DEFAULTS[table], **row}.get(name) for name in schema} for row in rows.get(table, [])]
        made[table] = pl.DataFrame(filled, schema=schema, orient="row").lazy()
    return made


def run(
    rows: Rows | Mapping[str, pl.LazyFrame], config: FriendsSettings | None = None, as_of: datetime = AS_OF,
    engine: Engine | None = None,
) -> Result:  # fmt: skip
    """The product over rows, or over frames as they are."""
    given = {name: part for name, part in rows.items() if isinstance(part, pl.LazyFrame)}
    return compute(Inputs(given or frames(rows), {}, None, config or FriendsSettings(), as_of), engine)  # type: ignore[arg-type]


def users(*ids: int, **columns: Any) -> list[dict[str, Any]]:
    """Users with the same columns."""
    return [{"id": i, **columns} for i in ids]


def friendships(*pairs: tuple[int, int], **columns: Any) -> list[dict[str, Any]]:
    """Friendships with the same columns."""
    return [{"user_a_id": min(p), "user_b_id": max(p), **columns} for p in pairs]


def shown(result: Result, viewer: int) -> list[int]:
    """Whom a viewer is shown, in order."""
    table = result.tables["friend_recommendations"].filter(pl.col("viewer_id") == viewer)
    return table.sort("rank")["candidate_id"].to_list()


def row(result: Result, viewer: int, candidate: int) -> dict[str, Any]:
    """The row of a pair."""
    table = result.tables["friend_recommendations"]
    return table.row(by_predicate=(pl.col("viewer_id") == viewer) & (pl.col("candidate_id") == candidate), named=True)


def counts(result: Result) -> dict[str, int]:
    """Removed pairs by reason."""
    return dict(result.tables["friend_filter_counts"].iter_rows())


def world(name: str) -> tuple[dict[str, pl.LazyFrame], datetime] | None:
    """A public world as staged frames, and its as_of; None where the worlds are not."""
    folder = WORLDS / name
    if not folder.is_dir():
        return None
    made = {}
    for table in friends.inputs:
        schema, file = REGISTRY[table].schema, folder / f"{table.removeprefix('staged_')}.parquet"
        frame = pl.read_parquet(file) if file.exists() else pl.DataFrame(schema=schema)
        columns = [pl.col(c) if c in frame.columns else pl.lit(None).alias(c) for c in schema]
        made[table] = frame.select(columns).cast(dict(schema)).lazy()  # type: ignore[arg-type]
    return made, datetime.fromisoformat(json.loads((folder / "world.json").read_text())["as_of"])
