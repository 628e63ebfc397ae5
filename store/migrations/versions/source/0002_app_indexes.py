"""Indexes of schema ``app``, each with the query it serves (spec 01.1)."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "app"


class Served(NamedTuple):
    table: str
    columns: tuple[str, ...]
    where: str | None
    query: str


INDEXES = (
    Served("activities", ("actor_id", "created_at DESC"), None, "a person's newest activities"),
    Served("activities", ("object_type", "object_id"), None, "everything done to one post or comment"),
    Served("activities", ("updated_at",), None, "revocations: changed since"),
    Served("activities", ("deleted_at",), "deleted_at IS NOT NULL", "revocations: deleted since"),
    Served("blocks", ("blocked_id",), None, "who blocked this person"),
    Served("blocks", ("created_at",), None, "revocations: blocked since"),
    Served("digest_schedules", ("kind",), None, "all schedules of a kind"),
    Served("erasure_requests", ("requested_at",), None, "revocations: erasure asked since"),
    Served("feed_hides", ("hidden_at",), None, "revocations: hidden since"),
    Served("friend_requests", ("addressee_id",), "status = 'pending'", "a person's open requests"),
    Served("friend_requests", ("created_at",), None, "revocations: asked since"),
    Served("friendships", ("user_b_id",), None, "friendships from the other side"),
    Served("friendships", ("ended_at",), "ended_at IS NOT NULL", "revocations: unfriended since"),
    Served("memberships", ("user_id",), None, "a person's groups"),
    Served("memberships", ("left_at",), "left_at IS NOT NULL", "revocations: left since"),
    Served("mutes", ("muted_id",), None, "who muted this person"),
    Served("mutes", ("created_at",), None, "revocations: muted since"),
    Served("notifications", ("recipient_id", "created_at"), None, "a person's notifications in order"),
    Served("notifications", ("dedupe_key",), "dedupe_key IS NOT NULL", "was this sent already"),
    Served("recommendation_dismissals", ("dismissed_at",), None, "revocations: dismissed since"),
    Served("subscription_versions", ("subscription_id", "valid_from", "recorded_at"), None,
           "a subscription's versions in order"),
    Served("usage_events", ("ingested_at",), None, "what arrived since"),
    Served("usage_events", ("user_id", "meter_key", "occurred_at"), None, "a person's usage of a meter in time"),
    Served("users", ("updated_at",), None, "revocations: changed since"),
)  # fmt: skip


def upgrade() -> None:
    for index in INDEXES:
        columns = [sa.text(column) if " " in column else column for column in index.columns]
        where = sa.text(index.where) if index.where else None
        op.create_index(_name(index), index.table, columns, schema=SCHEMA, postgresql_where=where)


def downgrade() -> None:
    for index in reversed(INDEXES):
        op.drop_index(_name(index), index.table, schema=SCHEMA)


def _name(index: Served) -> str:
    return op.f("_".join(("ix", index.table, *(column.split()[0] for column in index.columns))))
