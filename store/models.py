"""The app's Postgres, written once: SQLAlchemy models of every table of schema ``app`` (spec 01.1).

From these come the migrations, the SELECT lists, the Arrow and Polars schemas and the schema
diagrams. The models carry columns, keys, enums and checks; indexes stand here too, because the
migrations own them. Does not belong here: sessions, queries, anything about the lake.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Time,
    text,
)
from sqlalchemy.dialects.postgresql import CHAR, JSONB
from sqlalchemy.types import TypeEngine

SCHEMA = "app"
metadata = MetaData(
    schema=SCHEMA,
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s"},
)


def _enum(name: str, *labels: str) -> Enum:
    return Enum(*labels, name=name, metadata=metadata)


user_status = _enum("user_status", "active", "deactivated", "suspended", "deleted")
visibility = _enum("visibility", "public", "friends", "private")
audience = _enum("audience", "public", "friends", "only_me")
request_status = _enum("friend_request_status", "pending", "accepted", "declined", "cancelled")
mute_scope = _enum("mute_scope", "all", "reshares")
group_kind = _enum("group_kind", "group", "interest", "school", "employer", "place")
activity_verb = _enum("activity_verb", "post", "reshare", "comment", "reaction", "friend_add", "group_join")
object_type = _enum("object_type", "post", "comment", "user", "group")
category = _enum(
    "notification_category", "social", "mention", "comment", "reaction", "group", "billing", "security", "product"
)
priority = _enum("notification_priority", "low", "normal", "high", "critical")
channel = _enum("notification_channel", "email", "push", "in_app")
preference_mode = _enum("preference_mode", "off", "immediate", "daily", "weekdays", "weekly")
digest_kind = _enum("digest_kind", "daily", "weekdays", "weekly")
price_interval = _enum("price_interval", "month", "quarter", "half_year", "year")
feature_kind = _enum("feature_kind", "boolean", "static", "metered")
feature_reset = _enum("feature_reset", "month_anniversary", "month_calendar", "never")
overage_policy = _enum("overage_policy", "block", "soft")
aggregation = _enum("meter_aggregation", "sum", "count", "unique_count", "max", "min", "latest")
subscription_status = _enum("subscription_status", "trialing", "active", "past_due", "paused", "cancelled")

Big = BigInteger
Instant = DateTime(timezone=True)


def _col(
    name: str,
    type_: TypeEngine[Any] | type[TypeEngine[Any]],
    *,
    pk: bool = False,
    null: bool = False,
    unique: bool = False,
    default: str | None = None,
) -> Column[Any]:
    return Column(name, type_, primary_key=pk, nullable=null, unique=unique or None, autoincrement=False,
                  server_default=None if default is None else text(default))  # fmt: skip


users = Table(
    "users", metadata,
    _col("id", Big, pk=True), _col("handle", Text, unique=True), _col("display_name", Text),
    _col("email", Text, null=True), _col("time_zone", Text), _col("locale", Text), _col("country", CHAR(2), null=True),
    _col("status", user_status), _col("profile_visibility", visibility), _col("friend_list_visibility", visibility),
    _col("is_discoverable", Boolean), _col("wants_recommendations", Boolean), _col("created_at", Instant),
    _col("updated_at", Instant), _col("last_seen_at", Instant, null=True),
    Index(None, "updated_at"),
)  # fmt: skip
friend_requests = Table(
    "friend_requests", metadata,
    _col("id", Big, pk=True), _col("requester_id", Big), _col("addressee_id", Big), _col("status", request_status),
    _col("created_at", Instant), _col("responded_at", Instant, null=True),
    Index(None, "addressee_id", postgresql_where=text("status = 'pending'")), Index(None, "created_at"),
)  # fmt: skip
friendships = Table(
    "friendships", metadata,
    _col("user_a_id", Big, pk=True), _col("user_b_id", Big, pk=True), _col("created_at", Instant),
    _col("ended_at", Instant, null=True),
    CheckConstraint("user_a_id < user_b_id", name="ordered"),
    Index(None, "user_b_id"), Index(None, "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
)  # fmt: skip
blocks = Table(
    "blocks", metadata,
    _col("blocker_id", Big, pk=True), _col("blocked_id", Big, pk=True), _col("created_at", Instant),
    Index(None, "blocked_id"), Index(None, "created_at"),
)  # fmt: skip
mutes = Table(
    "mutes", metadata,
    _col("muter_id", Big, pk=True), _col("muted_id", Big, pk=True), _col("scope", mute_scope, pk=True),
    _col("created_at", Instant), _col("expires_at", Instant, null=True),
    Index(None, "muted_id"), Index(None, "created_at"),
)  # fmt: skip
recommendation_dismissals = Table(
    "recommendation_dismissals", metadata,
    _col("user_id", Big, pk=True), _col("candidate_id", Big, pk=True), _col("dismissed_at", Instant),
    _col("dismissal_count", Integer), Index(None, "dismissed_at"),
)  # fmt: skip
recommendation_impressions = Table(
    "recommendation_impressions", metadata,
    _col("id", Big, pk=True), _col("user_id", Big), _col("candidate_id", Big), _col("shown_at", Instant),
)  # fmt: skip
groups = Table(
    "groups", metadata,
    _col("id", Big, pk=True), _col("name", Text), _col("kind", group_kind), _col("is_private", Boolean),
    _col("created_at", Instant),
)  # fmt: skip
memberships = Table(
    "memberships", metadata,
    _col("group_id", Big, pk=True), _col("user_id", Big, pk=True), _col("weight", Big), _col("joined_at", Instant),
    _col("left_at", Instant, null=True),
    CheckConstraint("weight >= 1", name="weight"),
    Index(None, "user_id"), Index(None, "left_at", postgresql_where=text("left_at IS NOT NULL")),
)  # fmt: skip
activities = Table(
    "activities", metadata,
    _col("id", Big, pk=True), _col("actor_id", Big), _col("verb", activity_verb), _col("object_type", object_type),
    _col("object_id", Big), _col("object_owner_id", Big, null=True), _col("reply_to_user_id", Big, null=True),
    _col("mentioned_user_ids", ARRAY(Big), default="'{}'"), _col("group_id", Big, null=True),
    _col("audience", audience), _col("object_audience", audience), _col("body", JSONB, default="'{}'"),
    _col("created_at", Instant), _col("updated_at", Instant, null=True), _col("deleted_at", Instant, null=True),
    Index("ix_activities_actor_id_created_at", "actor_id", text("created_at DESC")),
    Index(None, "object_type", "object_id"), Index(None, "updated_at"),
    Index(None, "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
)  # fmt: skip
feed_hides = Table(
    "feed_hides", metadata,
    _col("user_id", Big, pk=True), _col("object_type", object_type, pk=True), _col("object_id", Big, pk=True),
    _col("hidden_at", Instant), Index(None, "hidden_at"),
)  # fmt: skip
feed_reads = Table("feed_reads", metadata, _col("user_id", Big, pk=True), _col("seen_at", Instant))
notifications = Table(
    "notifications", metadata,
    _col("id", Big, pk=True), _col("recipient_id", Big), _col("category", category), _col("verb", Text),
    _col("actor_id", Big, null=True), _col("object_type", object_type, null=True), _col("object_id", Big, null=True),
    _col("priority", priority), _col("dedupe_key", Text, null=True), _col("sent_channels", ARRAY(Text), default="'{}'"),
    _col("payload", JSONB, default="'{}'"), _col("created_at", Instant), _col("read_at", Instant, null=True),
    _col("deleted_at", Instant, null=True),
    Index(None, "recipient_id", "created_at"),
    Index(None, "dedupe_key", postgresql_where=text("dedupe_key IS NOT NULL")),
)  # fmt: skip
notification_preferences = Table(
    "notification_preferences", metadata,
    _col("user_id", Big, pk=True), _col("category", category, pk=True), _col("channel", channel, pk=True),
    _col("mode", preference_mode), _col("updated_at", Instant),
)  # fmt: skip
digest_schedules = Table(
    "digest_schedules", metadata,
    _col("user_id", Big, pk=True), _col("kind", digest_kind, pk=True), _col("local_time", Time()),
    _col("week_day", Integer, null=True), _col("quiet_start", Time(), null=True), _col("quiet_end", Time(), null=True),
    _col("min_groups", Integer), _col("max_groups", Integer), _col("enabled_at", Instant),
    _col("paused_until", Instant, null=True),
    CheckConstraint("week_day BETWEEN 1 AND 7", name="week_day"), Index(None, "kind"),
)  # fmt: skip
plans = Table(
    "plans", metadata,
    _col("id", Big, pk=True), _col("code", Text), _col("version", Integer), _col("name", Text),
    _col("tier_rank", Integer), _col("is_paid", Boolean),
)  # fmt: skip
plan_prices = Table(
    "plan_prices", metadata,
    _col("plan_id", Big, pk=True), _col("currency", CHAR(3), pk=True), _col("interval", price_interval, pk=True),
    _col("valid_from", Instant, pk=True), _col("amount_minor", Big), _col("valid_to", Instant, null=True),
    CheckConstraint("amount_minor >= 0", name="amount_minor"),
)  # fmt: skip
plan_features = Table(
    "plan_features", metadata,
    _col("plan_id", Big, pk=True), _col("feature_key", Text, pk=True), _col("kind", feature_kind),
    _col("limit_value", Big, null=True), _col("meter_key", Text, null=True), _col("reset", feature_reset),
    _col("overage", overage_policy), _col("rollover_max", Big),
)  # fmt: skip
meters = Table(
    "meters", metadata,
    _col("key", Text, pk=True), _col("aggregation", aggregation), _col("value_property", Text, null=True),
    _col("unit", Text),
)  # fmt: skip
subscription_versions = Table(
    "subscription_versions", metadata,
    _col("id", Big, pk=True), _col("subscription_id", Big), _col("user_id", Big), _col("plan_id", Big),
    _col("amount_minor", Big), _col("currency", CHAR(3)), _col("interval", price_interval), _col("quantity", Integer),
    _col("discount_minor", Big), _col("status", subscription_status), _col("anchor_at", Instant),
    _col("trial_end", Instant, null=True), _col("paid_until", Instant, null=True), _col("valid_from", Instant),
    _col("valid_to", Instant, null=True), _col("recorded_at", Instant),
    Index(None, "subscription_id", "valid_from", "recorded_at"),
)  # fmt: skip
grants = Table(
    "grants", metadata,
    _col("id", Big, pk=True), _col("user_id", Big), _col("feature_key", Text), _col("amount", Big),
    _col("priority", Integer), _col("effective_at", Instant), _col("expires_at", Instant, null=True),
    _col("voided_at", Instant, null=True),
)  # fmt: skip
usage_events = Table(
    "usage_events", metadata,
    _col("source", Text, pk=True), _col("event_id", Text, pk=True), _col("ingested_at", Instant, pk=True),
    _col("user_id", Big), _col("meter_key", Text), _col("value", Big, null=True), _col("subject", Text, null=True),
    _col("occurred_at", Instant), _col("properties", JSONB, default="'{}'"),
    Index(None, "ingested_at"), Index(None, "user_id", "meter_key", "occurred_at"),
)  # fmt: skip
erasure_requests = Table(
    "erasure_requests", metadata,
    _col("user_id", Big, pk=True), _col("requested_at", Instant), Index(None, "requested_at"),
)  # fmt: skip

TABLES: dict[str, Table] = {table.name: table for table in metadata.sorted_tables}
PRIVATE_COLUMNS = frozenset({("users", "email")})  # never copied to the lake (07.3)
