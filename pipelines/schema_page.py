"""``docs/schema.md``: diagrams of the source by area, and every index with the query that it serves.

Both come from ``store.models``; the queries are named here, and a test lets Postgres explain each. Does not
belong here: the other generated pages (``pipelines.reference``).
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from quality.rejects import REFERENCES
from store.columns import catalog_type
from store.models import SCHEMA, TABLES

AREAS: Final[dict[str, tuple[str, ...]]] = {
    "Friendship": ("users", "friend_requests", "friendships", "blocks", "mutes", "recommendation_dismissals",
                   "recommendation_impressions", "groups", "memberships"),
    "Feed": ("users", "activities", "feed_hides", "feed_reads"),
    "Notifications": ("users", "notifications"),
    "Preferences": ("users", "notification_preferences", "digest_schedules", "erasure_requests"),
    "Premium": ("users", "plans", "plan_prices", "plan_features", "meters", "subscription_versions", "grants",
                "usage_events"),
}  # fmt: skip

QUERIES: Final[dict[str, str]] = {
    "ix_users_updated_at": "SELECT id FROM app.users WHERE updated_at >= now()",
    "ix_friend_requests_addressee_id":
        "SELECT id FROM app.friend_requests WHERE addressee_id = 1 AND status = 'pending'",
    "ix_friend_requests_created_at": "SELECT id FROM app.friend_requests WHERE created_at >= now()",
    "ix_friendships_user_b_id": "SELECT user_a_id FROM app.friendships WHERE user_b_id = 1",
    "ix_friendships_ended_at": "SELECT user_a_id FROM app.friendships WHERE ended_at >= now()",
    "ix_blocks_blocked_id": "SELECT blocker_id FROM app.blocks WHERE blocked_id = 1",
    "ix_blocks_created_at": "SELECT blocker_id FROM app.blocks WHERE created_at >= now()",
    "ix_mutes_muted_id": "SELECT muter_id FROM app.mutes WHERE muted_id = 1",
    "ix_mutes_created_at": "SELECT muter_id FROM app.mutes WHERE created_at >= now()",
    "ix_recommendation_dismissals_dismissed_at":
        "SELECT user_id FROM app.recommendation_dismissals WHERE dismissed_at >= now()",
    "ix_memberships_user_id": "SELECT group_id FROM app.memberships WHERE user_id = 1",
    "ix_memberships_left_at": "SELECT user_id FROM app.memberships WHERE left_at >= now()",
    "ix_activities_actor_id_created_at":
        "SELECT id FROM app.activities WHERE actor_id = 1 ORDER BY created_at DESC LIMIT 20",
    "ix_activities_object_type_object_id":
        "SELECT id FROM app.activities WHERE object_type = 'post' AND object_id = 1",
    "ix_activities_updated_at": "SELECT id FROM app.activities WHERE updated_at >= now()",
    "ix_activities_deleted_at": "SELECT id FROM app.activities WHERE deleted_at >= now()",
    "ix_feed_hides_hidden_at": "SELECT user_id FROM app.feed_hides WHERE hidden_at >= now()",
    "ix_notifications_recipient_id_created_at":
        "SELECT id FROM app.notifications WHERE recipient_id = 1 ORDER BY created_at DESC LIMIT 20",
    "ix_notifications_dedupe_key": "SELECT id FROM app.notifications WHERE dedupe_key = 'k'",
    "ix_digest_schedules_kind": "SELECT user_id FROM app.digest_schedules WHERE kind = 'daily'",
    "ix_subscription_versions_subscription_id_valid_from_recorded_at":
        "SELECT id FROM app.subscription_versions WHERE subscription_id = 1 ORDER BY valid_from, recorded_at",
    "ix_usage_events_ingested_at": "SELECT user_id FROM app.usage_events WHERE ingested_at >= now()",
    "ix_usage_events_user_id_meter_key_occurred_at":
        "SELECT value FROM app.usage_events WHERE user_id = 1 AND meter_key = 'm' ORDER BY occurred_at",
    "ix_erasure_requests_requested_at": "SELECT user_id FROM app.erasure_requests WHERE requested_at >= now()",
}  # fmt: skip
"""Index to a query of the app, the snapshots or the revocations that it serves."""


def schema_page(head: str) -> str:
    """The whole page."""
    parts = [
        f"{head}\n# The source's schema\n\nSchema `{SCHEMA}`, from `store/models.py`. `?` marks what may be null.\n"
    ]
    parts += [f"## {area}\n\n```mermaid\nerDiagram\n{diagram(tables)}\n```\n" for area, tables in AREAS.items()]
    rows = "\n".join(
        f"| `{index.name}` | {_columns(index)} | `{QUERIES[str(index.name)]}` |"
        for table in TABLES.values() for index in sorted(table.indexes, key=lambda i: str(i.name))
    )  # fmt: skip
    plan = "A test lets Postgres explain each query on the migrated schema and finds the index in its plan."
    parts.append(f"## Indexes\n\n{plan}\n\n| index | on | serves |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def diagram(tables: tuple[str, ...]) -> str:
    """A mermaid ``erDiagram`` body of ``tables``: relations, then columns."""
    lines = [
        f"    {target} ||--o{{ {name} : {column}"
        for name in tables
        for column, target, _ in REFERENCES.get(name, ())
        if target in tables
    ]
    for name in tables:
        lines.append(f"    {name} {{")
        lines += [f"        {_type(column)} {column.name}{' PK' if column.primary_key else ''}{_null(column)}"
                  for column in TABLES[name].columns]  # fmt: skip
        lines.append("    }")
    return "\n".join(lines)


def _type(column: sa.Column[object]) -> str:
    if isinstance(column.type, sa.Enum):
        return str(column.type.name)
    short = {"timestamp with time zone": "timestamptz", "time without time zone": "time"}
    named = short.get(catalog_type(column), catalog_type(column))
    return named.replace("[]", "_array").replace("(", "_").replace(")", "").replace(" ", "_")


def _null(column: sa.Column[object]) -> str:
    return ' "?"' if column.nullable else ""


def _columns(index: sa.Index) -> str:
    where = index.dialect_options["postgresql"].get("where")
    columns = ", ".join(str(expression).split(".")[-1] for expression in index.expressions)
    return f"{columns}{f' where {where}' if where is not None else ''}"
