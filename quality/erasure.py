"""Who a row names: the columns of every source and product table that hold the id of a person (01.4).

Lives here: the map that erasure reads, and the expressions over it. Does not belong here: when rows are
removed (``assets.staged``, ``store.erasure``).
"""

from __future__ import annotations

from collections.abc import Mapping

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


PERSON_COLUMNS = frozenset(
    {column for columns in PRINCIPALS.values() for column in columns if column != "id"}
    | {
        "viewer_id",
        "lead_actor_id",
        "owner_id",
        "sample_actor_ids",
        "mutual_sample_ids",
        "principal_ids",
        "mentioned_user_ids",
    }
)
"""Columns of any table, staged or product, that hold ids of people, one or a list of them."""


def holds_a_person(schema: Mapping[str, pl.DataType], table: str, ids: pl.Series) -> pl.Expr | None:
    """True on rows of a stored table that hold one of ``ids`` in an id column, lists and nested ones included."""
    parts = []
    for name, dtype in schema.items():
        if name in PERSON_COLUMNS or (table.removeprefix("staged_") == "users" and name == "id"):
            parts.append(_holds(pl.col(name), dtype, ids))
        elif isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
            inner = [f for f in dtype.inner.fields if f.name in PERSON_COLUMNS]
            parts += [_nested(name, f.name, f.dtype, ids) for f in inner if isinstance(f.dtype, pl.DataType)]
    if "object_type" in schema and "object_id" in schema:
        parts.append((pl.col("object_type") == "user") & pl.col("object_id").is_in(ids.implode()))
    return pl.any_horizontal(part.fill_null(value=False) for part in parts) if parts else None


def _holds(column: pl.Expr, dtype: pl.DataType, ids: pl.Series) -> pl.Expr:
    if isinstance(dtype, pl.List):
        return column.list.eval(pl.element().is_in(ids.implode())).list.any()
    return column.is_in(ids.implode())


def _nested(name: str, field: str, dtype: pl.DataType, ids: pl.Series) -> pl.Expr:
    element = pl.element().struct.field(field)
    return pl.col(name).list.eval(_holds(element, dtype, ids).fill_null(value=False)).list.any()
