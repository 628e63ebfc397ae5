"""Contracts of the staged tables: one per source table, ids and integers as Int64, instants UTC µs.

The columns are those of spec 01.1 without `users.email`; a law test holds them equal to the
SQLAlchemy models. Row rules that send rows to rejects are in ``quality.rejects``.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from quality.contract import Contract
from quality.types import BigintList, Instant, Strict, TextList


class staged_activities(pa.DataFrameModel):
    """`activities` as the products read it."""

    id: pl.Int64
    actor_id: pl.Int64
    verb: pl.String
    object_type: pl.String
    object_id: pl.Int64
    object_owner_id: pl.Int64 = pa.Field(nullable=True)
    reply_to_user_id: pl.Int64 = pa.Field(nullable=True)
    mentioned_user_ids: BigintList
    group_id: pl.Int64 = pa.Field(nullable=True)
    audience: pl.String
    object_audience: pl.String
    body: pl.String
    created_at: Instant
    updated_at: Instant = pa.Field(nullable=True)
    deleted_at: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_blocks(pa.DataFrameModel):
    """`blocks` as the products read it."""

    blocker_id: pl.Int64
    blocked_id: pl.Int64
    created_at: Instant

    Config = Strict


class staged_digest_schedules(pa.DataFrameModel):
    """`digest_schedules` as the products read it."""

    user_id: pl.Int64
    kind: pl.String
    local_time: pl.Time
    week_day: pl.Int64 = pa.Field(nullable=True)
    quiet_start: pl.Time = pa.Field(nullable=True)
    quiet_end: pl.Time = pa.Field(nullable=True)
    min_groups: pl.Int64
    max_groups: pl.Int64
    enabled_at: Instant
    paused_until: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_erasure_requests(pa.DataFrameModel):
    """`erasure_requests` as the products read it."""

    user_id: pl.Int64
    requested_at: Instant

    Config = Strict


class staged_feed_hides(pa.DataFrameModel):
    """`feed_hides` as the products read it."""

    user_id: pl.Int64
    object_type: pl.String
    object_id: pl.Int64
    hidden_at: Instant

    Config = Strict


class staged_feed_reads(pa.DataFrameModel):
    """`feed_reads` as the products read it."""

    user_id: pl.Int64
    seen_at: Instant

    Config = Strict


class staged_friend_requests(pa.DataFrameModel):
    """`friend_requests` as the products read it."""

    id: pl.Int64
    requester_id: pl.Int64
    addressee_id: pl.Int64
    status: pl.String
    created_at: Instant
    responded_at: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_friendships(pa.DataFrameModel):
    """`friendships` as the products read it."""

    user_a_id: pl.Int64
    user_b_id: pl.Int64
    created_at: Instant
    ended_at: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_grants(pa.DataFrameModel):
    """`grants` as the products read it."""

    id: pl.Int64
    user_id: pl.Int64
    feature_key: pl.String
    amount: pl.Int64
    priority: pl.Int64
    effective_at: Instant
    expires_at: Instant = pa.Field(nullable=True)
    voided_at: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_groups(pa.DataFrameModel):
    """`groups` as the products read it."""

    id: pl.Int64
    name: pl.String
    kind: pl.String
    is_private: pl.Boolean
    created_at: Instant

    Config = Strict


class staged_memberships(pa.DataFrameModel):
    """`memberships` as the products read it."""

    group_id: pl.Int64
    user_id: pl.Int64
    weight: pl.Int64
    joined_at: Instant
    left_at: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_meters(pa.DataFrameModel):
    """`meters` as the products read it."""

    key: pl.String
    aggregation: pl.String
    value_property: pl.String = pa.Field(nullable=True)
    unit: pl.String

    Config = Strict


class staged_mutes(pa.DataFrameModel):
    """`mutes` as the products read it."""

    muter_id: pl.Int64
    muted_id: pl.Int64
    scope: pl.String
    created_at: Instant
    expires_at: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_notification_preferences(pa.DataFrameModel):
    """`notification_preferences` as the products read it."""

    user_id: pl.Int64
    category: pl.String
    channel: pl.String
    mode: pl.String
    updated_at: Instant

    Config = Strict


class staged_notifications(pa.DataFrameModel):
    """`notifications` as the products read it."""

    id: pl.Int64
    recipient_id: pl.Int64
    category: pl.String
    verb: pl.String
    actor_id: pl.Int64 = pa.Field(nullable=True)
    object_type: pl.String = pa.Field(nullable=True)
    object_id: pl.Int64 = pa.Field(nullable=True)
    priority: pl.String
    dedupe_key: pl.String = pa.Field(nullable=True)
    sent_channels: TextList
    payload: pl.String
    created_at: Instant
    read_at: Instant = pa.Field(nullable=True)
    deleted_at: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_plan_features(pa.DataFrameModel):
    """`plan_features` as the products read it."""

    plan_id: pl.Int64
    feature_key: pl.String
    kind: pl.String
    limit_value: pl.Int64 = pa.Field(nullable=True)
    meter_key: pl.String = pa.Field(nullable=True)
    reset: pl.String
    overage: pl.String
    rollover_max: pl.Int64

    Config = Strict


class staged_plan_prices(pa.DataFrameModel):
    """`plan_prices` as the products read it."""

    plan_id: pl.Int64
    currency: pl.String
    interval: pl.String
    valid_from: Instant
    amount_minor: pl.Int64
    valid_to: Instant = pa.Field(nullable=True)

    Config = Strict


class staged_plans(pa.DataFrameModel):
    """`plans` as the products read it."""

    id: pl.Int64
    code: pl.String
    version: pl.Int64
    name: pl.String
    tier_rank: pl.Int64
    is_paid: pl.Boolean

    Config = Strict


class staged_recommendation_dismissals(pa.DataFrameModel):
    """`recommendation_dismissals` as the products read it."""

    user_id: pl.Int64
    candidate_id: pl.Int64
    dismissed_at: Instant
    dismissal_count: pl.Int64

    Config = Strict


class staged_recommendation_impressions(pa.DataFrameModel):
    """`recommendation_impressions` as the products read it."""

    id: pl.Int64
    user_id: pl.Int64
    candidate_id: pl.Int64
    shown_at: Instant

    Config = Strict


class staged_subscription_versions(pa.DataFrameModel):
    """`subscription_versions` as the products read it."""

    id: pl.Int64
    subscription_id: pl.Int64
    user_id: pl.Int64
    plan_id: pl.Int64
    amount_minor: pl.Int64
    currency: pl.String
    interval: pl.String
    quantity: pl.Int64
    discount_minor: pl.Int64
    status: pl.String
    anchor_at: Instant
    trial_end: Instant = pa.Field(nullable=True)
    paid_until: Instant = pa.Field(nullable=True)
    valid_from: Instant
    valid_to: Instant = pa.Field(nullable=True)
    recorded_at: Instant

    Config = Strict


class staged_usage_events(pa.DataFrameModel):
    """`usage_events` as the products read it."""

    source: pl.String
    event_id: pl.String
    ingested_at: Instant
    user_id: pl.Int64
    meter_key: pl.String
    value: pl.Int64 = pa.Field(nullable=True)
    subject: pl.String = pa.Field(nullable=True)
    occurred_at: Instant
    properties: pl.String

    Config = Strict


class staged_users(pa.DataFrameModel):
    """`users` as the products read it."""

    id: pl.Int64
    handle: pl.String
    display_name: pl.String
    time_zone: pl.String
    locale: pl.String
    country: pl.String = pa.Field(nullable=True)
    status: pl.String
    profile_visibility: pl.String
    friend_list_visibility: pl.String
    is_discoverable: pl.Boolean
    wants_recommendations: pl.Boolean
    created_at: Instant
    updated_at: Instant
    last_seen_at: Instant = pa.Field(nullable=True)

    Config = Strict


STAGED: tuple[Contract, ...] = (
    Contract(staged_activities, key=("id",), group="staged", kind="staged"),
    Contract(staged_blocks, key=("blocker_id", "blocked_id"), group="staged", kind="staged"),
    Contract(staged_digest_schedules, key=("user_id", "kind"), group="staged", kind="staged"),
    Contract(staged_erasure_requests, key=("user_id",), group="staged", kind="staged"),
    Contract(staged_feed_hides, key=("user_id", "object_type", "object_id"), group="staged", kind="staged"),
    Contract(staged_feed_reads, key=("user_id",), group="staged", kind="staged"),
    Contract(staged_friend_requests, key=("id",), group="staged", kind="staged"),
    Contract(staged_friendships, key=("user_a_id", "user_b_id"), group="staged", kind="staged"),
    Contract(staged_grants, key=("id",), group="staged", kind="staged"),
    Contract(staged_groups, key=("id",), group="staged", kind="staged"),
    Contract(staged_memberships, key=("group_id", "user_id"), group="staged", kind="staged"),
    Contract(staged_meters, key=("key",), group="staged", kind="staged"),
    Contract(staged_mutes, key=("muter_id", "muted_id", "scope"), group="staged", kind="staged"),
    Contract(staged_notification_preferences, key=("user_id", "category", "channel"), group="staged", kind="staged"),
    Contract(staged_notifications, key=("id",), group="staged", kind="staged"),
    Contract(staged_plan_features, key=("plan_id", "feature_key"), group="staged", kind="staged"),
    Contract(staged_plan_prices, key=("plan_id", "currency", "interval", "valid_from"), group="staged", kind="staged"),
    Contract(staged_plans, key=("id",), group="staged", kind="staged"),
    Contract(staged_recommendation_dismissals, key=("user_id", "candidate_id"), group="staged", kind="staged"),
    Contract(staged_recommendation_impressions, key=("id",), group="staged", kind="staged"),
    Contract(staged_subscription_versions, key=("id",), group="staged", kind="staged"),
    Contract(staged_usage_events, key=("source", "event_id", "ingested_at"), group="staged", kind="staged"),
    Contract(staged_users, key=("id",), group="staged", kind="staged"),
)
