"""Erasure at reading: what names an erased user as a principal is gone from every staged table (01.4)."""

from __future__ import annotations

import polars as pl

PRINCIPALS: dict[str, tuple[str, ...]] = {
    "users": ("id",),
    "friend_requests": ("requester_id", "addressee_id"),
    "friendships": ("user_a_id", "user_b_id"),
    "blocks": ("blocker_id", "blocked_id"),
    "mutes": ("muter_id", "muted_id"),
    "recommendation_dismissals": ("user_id", "candidate_id"),
    "recommendation_impressions": ("user_id", "candidate_id"),
    "memberships": ("user_id",),
    "activities": ("actor_id", "object_owner_id", "reply_to_user_id"),
    "feed_hides": ("user_id",),
    "feed_reads": ("user_id",),
    "notifications": ("recipient_id", "actor_id"),
    "notification_preferences": ("user_id",),
    "digest_schedules": ("user_id",),
    "subscription_versions": ("user_id",),
    "grants": ("user_id",),
    "usage_events": ("user_id",),
}
"""Columns that name a user of the row. ``erasure_requests`` keeps its ids: it is the erasure set."""

ARRAYS: dict[str, tuple[str, ...]] = {"activities": ("mentioned_user_ids",)}
USER_OBJECTS = frozenset({"activities", "notifications", "feed_hides"})
"""Tables whose ``object_id`` is a user when ``object_type`` says so."""


def names_an_erased_user(table: str, erased: pl.Series) -> pl.Expr | None:
    """True on rows that name one of ``erased`` (Int64 ids) as a principal; None where no column can."""
    ids = erased.implode()
    parts = [pl.col(column).is_in(ids).fill_null(value=False) for column in PRINCIPALS.get(table, ())]
    if table in USER_OBJECTS:
        parts.append(((pl.col("object_type") == "user") & pl.col("object_id").is_in(ids)).fill_null(value=False))
    return pl.any_horizontal(parts) if parts else None


def without_erased_ids(table: str, erased: pl.Series) -> list[pl.Expr]:
    """Array columns of ``table`` without the erased ids; other people's rows stay."""
    return [pl.col(column).list.set_difference(erased.implode()).list.sort() for column in ARRAYS.get(table, ())]
