"""Schema ``app``: the enum types and the 23 tables of spec 01.1."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "app"
BIGINT, INTEGER, BOOLEAN, TEXT, TIME = sa.BigInteger(), sa.Integer(), sa.Boolean(), sa.Text(), sa.Time()
INSTANT, JSONB = sa.DateTime(timezone=True), postgresql.JSONB()
ENUM_LABELS = {
    "activity_verb": ("post", "reshare", "comment", "reaction", "friend_add", "group_join"),
    "object_type": ("post", "comment", "user", "group"),
    "audience": ("public", "friends", "only_me"),
    "digest_kind": ("daily", "weekdays", "weekly"),
    "friend_request_status": ("pending", "accepted", "declined", "cancelled"),
    "group_kind": ("group", "interest", "school", "employer", "place"),
    "meter_aggregation": ("sum", "count", "unique_count", "max", "min", "latest"),
    "mute_scope": ("all", "reshares"),
    "notification_category": ("social", "mention", "comment", "reaction", "group", "billing", "security", "product"),
    "notification_channel": ("email", "push", "in_app"),
    "preference_mode": ("off", "immediate", "daily", "weekdays", "weekly"),
    "notification_priority": ("low", "normal", "high", "critical"),
    "feature_kind": ("boolean", "static", "metered"),
    "feature_reset": ("month_anniversary", "month_calendar", "never"),
    "overage_policy": ("block", "soft"),
    "price_interval": ("month", "quarter", "half_year", "year"),
    "subscription_status": ("trialing", "active", "past_due", "paused", "cancelled"),
    "user_status": ("active", "deactivated", "suspended", "deleted"),
    "visibility": ("public", "friends", "private"),
}
ENUMS = {
    name: postgresql.ENUM(*labels, name=name, schema=SCHEMA, create_type=False) for name, labels in ENUM_LABELS.items()
}
TABLES = (
    "activities",
    "blocks",
    "digest_schedules",
    "erasure_requests",
    "feed_hides",
    "feed_reads",
    "friend_requests",
    "friendships",
    "grants",
    "groups",
    "memberships",
    "meters",
    "mutes",
    "notification_preferences",
    "notifications",
    "plan_features",
    "plan_prices",
    "plans",
    "recommendation_dismissals",
    "recommendation_impressions",
    "subscription_versions",
    "usage_events",
    "users",
)


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS app")
    for enum in ENUMS.values():
        enum.create(op.get_bind(), checkfirst=False)
    _create_social_tables()
    _create_billing_tables()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema=SCHEMA)
    for enum in ENUMS.values():
        enum.drop(op.get_bind(), checkfirst=False)
    op.execute("DROP SCHEMA app")


def _create_social_tables() -> None:
    op.create_table(
        "activities",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("actor_id", BIGINT, nullable=False),
        sa.Column("verb", ENUMS["activity_verb"], nullable=False),
        sa.Column("object_type", ENUMS["object_type"], nullable=False),
        sa.Column("object_id", BIGINT, nullable=False),
        sa.Column("object_owner_id", BIGINT, nullable=True),
        sa.Column("reply_to_user_id", BIGINT, nullable=True),
        sa.Column("mentioned_user_ids", sa.ARRAY(BIGINT), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("group_id", BIGINT, nullable=True),
        sa.Column("audience", ENUMS["audience"], nullable=False),
        sa.Column("object_audience", ENUMS["audience"], nullable=False),
        sa.Column("body", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=True),
        sa.Column("deleted_at", INSTANT, nullable=True),
        schema=SCHEMA,
    )
    op.create_table(
        "blocks",
        sa.Column("blocker_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("blocked_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("created_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "digest_schedules",
        sa.Column("user_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("kind", ENUMS["digest_kind"], primary_key=True),
        sa.Column("local_time", TIME, nullable=False),
        sa.Column("week_day", INTEGER, nullable=True),
        sa.Column("quiet_start", TIME, nullable=True),
        sa.Column("quiet_end", TIME, nullable=True),
        sa.Column("min_groups", INTEGER, nullable=False),
        sa.Column("max_groups", INTEGER, nullable=False),
        sa.Column("enabled_at", INSTANT, nullable=False),
        sa.Column("paused_until", INSTANT, nullable=True),
        sa.CheckConstraint("week_day BETWEEN 1 AND 7", name=op.f("ck_digest_schedules_week_day")),
        schema=SCHEMA,
    )
    op.create_table(
        "feed_hides",
        sa.Column("user_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("object_type", ENUMS["object_type"], primary_key=True),
        sa.Column("object_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("hidden_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "feed_reads",
        sa.Column("user_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "friend_requests",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("requester_id", BIGINT, nullable=False),
        sa.Column("addressee_id", BIGINT, nullable=False),
        sa.Column("status", ENUMS["friend_request_status"], nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("responded_at", INSTANT, nullable=True),
        schema=SCHEMA,
    )
    op.create_table(
        "friendships",
        sa.Column("user_a_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("user_b_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.CheckConstraint("user_a_id < user_b_id", name=op.f("ck_friendships_ordered")),
        schema=SCHEMA,
    )
    op.create_table(
        "groups",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("kind", ENUMS["group_kind"], nullable=False),
        sa.Column("is_private", BOOLEAN, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "memberships",
        sa.Column("group_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("user_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("weight", BIGINT, nullable=False),
        sa.Column("joined_at", INSTANT, nullable=False),
        sa.Column("left_at", INSTANT, nullable=True),
        sa.CheckConstraint("weight >= 1", name=op.f("ck_memberships_weight")),
        schema=SCHEMA,
    )
    op.create_table(
        "mutes",
        sa.Column("muter_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("muted_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("scope", ENUMS["mute_scope"], primary_key=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        schema=SCHEMA,
    )
    op.create_table(
        "notification_preferences",
        sa.Column("user_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("category", ENUMS["notification_category"], primary_key=True),
        sa.Column("channel", ENUMS["notification_channel"], primary_key=True),
        sa.Column("mode", ENUMS["preference_mode"], nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "notifications",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("recipient_id", BIGINT, nullable=False),
        sa.Column("category", ENUMS["notification_category"], nullable=False),
        sa.Column("verb", TEXT, nullable=False),
        sa.Column("actor_id", BIGINT, nullable=True),
        sa.Column("object_type", ENUMS["object_type"], nullable=True),
        sa.Column("object_id", BIGINT, nullable=True),
        sa.Column("priority", ENUMS["notification_priority"], nullable=False),
        sa.Column("dedupe_key", TEXT, nullable=True),
        sa.Column("sent_channels", sa.ARRAY(TEXT), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("payload", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("read_at", INSTANT, nullable=True),
        sa.Column("deleted_at", INSTANT, nullable=True),
        schema=SCHEMA,
    )
    op.create_table(
        "recommendation_dismissals",
        sa.Column("user_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("candidate_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("dismissed_at", INSTANT, nullable=False),
        sa.Column("dismissal_count", INTEGER, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "recommendation_impressions",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("user_id", BIGINT, nullable=False),
        sa.Column("candidate_id", BIGINT, nullable=False),
        sa.Column("shown_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "users",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("handle", TEXT, nullable=False, unique=True),
        sa.Column("display_name", TEXT, nullable=False),
        sa.Column("email", TEXT, nullable=True),
        sa.Column("time_zone", TEXT, nullable=False),
        sa.Column("locale", TEXT, nullable=False),
        sa.Column("country", sa.CHAR(2), nullable=True),
        sa.Column("status", ENUMS["user_status"], nullable=False),
        sa.Column("profile_visibility", ENUMS["visibility"], nullable=False),
        sa.Column("friend_list_visibility", ENUMS["visibility"], nullable=False),
        sa.Column("is_discoverable", BOOLEAN, nullable=False),
        sa.Column("wants_recommendations", BOOLEAN, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("last_seen_at", INSTANT, nullable=True),
        schema=SCHEMA,
    )


def _create_billing_tables() -> None:
    op.create_table(
        "erasure_requests",
        sa.Column("user_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "grants",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("user_id", BIGINT, nullable=False),
        sa.Column("feature_key", TEXT, nullable=False),
        sa.Column("amount", BIGINT, nullable=False),
        sa.Column("priority", INTEGER, nullable=False),
        sa.Column("effective_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("voided_at", INSTANT, nullable=True),
        schema=SCHEMA,
    )
    op.create_table(
        "meters",
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("aggregation", ENUMS["meter_aggregation"], nullable=False),
        sa.Column("value_property", TEXT, nullable=True),
        sa.Column("unit", TEXT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "plan_features",
        sa.Column("plan_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("feature_key", TEXT, primary_key=True),
        sa.Column("kind", ENUMS["feature_kind"], nullable=False),
        sa.Column("limit_value", BIGINT, nullable=True),
        sa.Column("meter_key", TEXT, nullable=True),
        sa.Column("reset", ENUMS["feature_reset"], nullable=False),
        sa.Column("overage", ENUMS["overage_policy"], nullable=False),
        sa.Column("rollover_max", BIGINT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "plan_prices",
        sa.Column("plan_id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("currency", sa.CHAR(3), primary_key=True),
        sa.Column("interval", ENUMS["price_interval"], primary_key=True),
        sa.Column("valid_from", INSTANT, primary_key=True),
        sa.Column("amount_minor", BIGINT, nullable=False),
        sa.Column("valid_to", INSTANT, nullable=True),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_plan_prices_amount_minor")),
        schema=SCHEMA,
    )
    op.create_table(
        "plans",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("tier_rank", INTEGER, nullable=False),
        sa.Column("is_paid", BOOLEAN, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "subscription_versions",
        sa.Column("id", BIGINT, primary_key=True, autoincrement=False),
        sa.Column("subscription_id", BIGINT, nullable=False),
        sa.Column("user_id", BIGINT, nullable=False),
        sa.Column("plan_id", BIGINT, nullable=False),
        sa.Column("amount_minor", BIGINT, nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("interval", ENUMS["price_interval"], nullable=False),
        sa.Column("quantity", INTEGER, nullable=False),
        sa.Column("discount_minor", BIGINT, nullable=False),
        sa.Column("status", ENUMS["subscription_status"], nullable=False),
        sa.Column("anchor_at", INSTANT, nullable=False),
        sa.Column("trial_end", INSTANT, nullable=True),
        sa.Column("paid_until", INSTANT, nullable=True),
        sa.Column("valid_from", INSTANT, nullable=False),
        sa.Column("valid_to", INSTANT, nullable=True),
        sa.Column("recorded_at", INSTANT, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "usage_events",
        sa.Column("source", TEXT, primary_key=True),
        sa.Column("event_id", TEXT, primary_key=True),
        sa.Column("ingested_at", INSTANT, primary_key=True),
        sa.Column("user_id", BIGINT, nullable=False),
        sa.Column("meter_key", TEXT, nullable=False),
        sa.Column("value", BIGINT, nullable=True),
        sa.Column("subject", TEXT, nullable=True),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("properties", JSONB, nullable=False, server_default=sa.text("'{}'")),
        schema=SCHEMA,
    )
