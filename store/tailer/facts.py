"""What is revoked: read by the indexed times of the source (spec 01.1), remembered as entries.

Lives here: the queries, and how long an entry holds. Does not belong here: connections, files.

Time columns are set before the commit that makes them visible. A row whose time is T is therefore looked for
until ``overlap`` after T, and holds against data of any ``as_of`` before T + overlap, or before the moment it
was first read, whichever is earlier; plus a little for the instant between a snapshot and its ``as_of``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa

from store.models import SCHEMA
from store.revocations import LEVELS, OBJECT_TYPES, Entry, Kind

SLACK: Final = 30_000_000
"""µs by which an entry outlives the reading that found it."""
_ROWS_AT_ONCE: Final = 5_000
_FOR_EVER: Final = frozenset({Kind.ERASED})


class Fact(NamedTuple):
    """One row of the source: ``changed_at`` is its time column, in µs since 1970."""

    kind: int
    subject: int
    other: int
    detail: int
    changed_at: int


def _place(column: str, labels: tuple[str, ...]) -> str:
    whens = " ".join(f"WHEN '{label}' THEN {place}" for place, label in enumerate(labels))
    return f"CASE {column} {whens} END"


_LEVEL: Final = f"{len(LEVELS)} * {_place('audience', LEVELS)} + {_place('object_audience', LEVELS)}"
_IS_NARROW: Final = "deleted_at IS NULL AND (audience <> 'public' OR object_audience <> 'public')"

QUERIES: Final[tuple[tuple[Kind, str, str, str, str], ...]] = (
    (Kind.GONE, "users", "updated_at", "id, 0, 0", "status <> 'active'"),
    (Kind.DELETED, "activities", "deleted_at", "id, 0, 0", "true"),
    (Kind.DELETED, "activities", "updated_at", "id, 0, 0", "deleted_at IS NOT NULL"),
    (Kind.NARROWED, "activities", "updated_at", f"id, actor_id, {_LEVEL}", _IS_NARROW),
    (Kind.BLOCKED, "blocks", "created_at", "blocker_id, blocked_id, 0", "true"),
    (Kind.UNFRIENDED, "friendships", "ended_at", "user_a_id, user_b_id, 0", "ended_at <= :now"),
    (Kind.LEFT, "memberships", "left_at", "user_id, group_id, 0",
     f"left_at <= :now AND group_id IN (SELECT id FROM {SCHEMA}.groups WHERE is_private)"),
    (Kind.MUTED, "mutes", "created_at", "muter_id, muted_id, 0", "scope = 'all' AND coalesce(expires_at > :now, true)"),
    (Kind.RESHARES_MUTED, "mutes", "created_at", "muter_id, muted_id, 0",
     "scope = 'reshares' AND coalesce(expires_at > :now, true)"),
    (Kind.HIDDEN, "feed_hides", "hidden_at", f"user_id, object_id, {_place('object_type', OBJECT_TYPES)}", "true"),
    (Kind.DISMISSED, "recommendation_dismissals", "dismissed_at", "user_id, candidate_id, 0", "dismissal_count > 0"),
    (Kind.REQUESTED, "friend_requests", "created_at", "requester_id, addressee_id, 0",
     "status IN ('pending', 'accepted')"),
    (Kind.ERASED, "erasure_requests", "requested_at", "user_id, 0, 0", "true"),
)  # fmt: skip
"""Kind, table, its indexed time, the columns of an entry, and which rows count."""


def facts(connection: sa.Connection, since: int, now: int, *, with_every_erasure: bool) -> Iterator[Fact]:
    """Every fact whose time is at or after ``since`` (µs), as one transaction sees it at ``now``.

    Rows are streamed. ``with_every_erasure`` reads erasures from the first on.
    """
    streaming = connection.execution_options(yield_per=_ROWS_AT_ONCE)
    for kind, table, time, columns, condition in QUERIES:
        start = "'-infinity'" if kind in _FOR_EVER and with_every_erasure else "to_timestamp(:since / 1000000.0)"
        # an instant at the end of time is cut: it has no number
        moment = f"(extract(epoch FROM least({time}, timestamptz '9999-12-30')) * 1000000)::bigint"
        if kind in _FOR_EVER:
            moment = (
                f"(extract(epoch FROM least(greatest({time}, 'epoch'), timestamptz '9999-12-30')) * 1000000)::bigint"
            )
        query = f"SELECT {columns}, {moment} FROM {SCHEMA}.{table} WHERE {time} >= {start} AND {condition}"
        given = {"since": since, "now": now}
        bound = query.replace(":now", "to_timestamp(:now / 1000000.0)")
        for row in streaming.execute(sa.text(bound), {name: v for name, v in given.items() if f":{name}" in bound}):
            yield Fact(kind, *row)


class Remembered:
    """The facts known, each with how long it holds; forgets what every generation kept knows by itself."""

    def __init__(self, overlap: int, floor: int = 0) -> None:
        """``overlap`` in µs; no entry holds for less than ``floor`` (a world looked at in the future)."""
        self._overlap = overlap
        self._floor = floor
        self._kept: dict[tuple[int, int, int, int], tuple[int, int, int]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def learn(self, fact: Fact, read_at: int) -> bool:
        """Take in a fact that a reading at ``read_at`` found; True when that changes an entry."""
        key = (fact.kind, fact.subject, fact.other, fact.detail if fact.kind == Kind.HIDDEN else 0)
        known = self._kept.get(key)
        if known is not None and known[:2] == (fact.changed_at, fact.detail):
            return False
        at = max(min(read_at, fact.changed_at + self._overlap) + SLACK, self._floor)
        detail = fact.detail
        if known is not None:
            # What was narrower meanwhile stays so until the next generation tells the truth.
            at, detail = max(at, known[2]), _narrowest(detail, known[1]) if fact.kind == Kind.NARROWED else detail
            if (fact.changed_at, detail, at) == known:
                return False
        self._kept[key] = (fact.changed_at, detail, at)
        return True

    def forget(self, before: int) -> int:
        """Drop entries that hold against nothing of ``before`` or later, erasures never; how many."""
        old = [key for key, (_, _, at) in self._kept.items() if at <= before and key[0] not in _FOR_EVER]
        for key in old:
            del self._kept[key]
        return len(old)

    def entries(self) -> Iterator[Entry]:
        """What is known, in no order."""
        for (kind, subject, other, _), (_, detail, at) in self._kept.items():
            yield Entry(kind, subject, other, detail, at)


def _narrowest(one: int, other: int) -> int:
    many = len(LEVELS)
    return many * min(one // many, other // many) + min(one % many, other % many)
