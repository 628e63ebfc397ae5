"""Payloads of digests (spec 04.4, 06.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from store.payloads.base import Count, DigestKind, Id, Instant, Payload, SignedId, State


class Digest(Payload):
    """One built digest (spec 04.4)."""

    digest_id: str
    kind: DigestKind
    channel: Literal["email", "push", "in_app"]
    period_key: str
    window_start: Instant
    window_end: Instant
    due_at: Instant
    deliver_after: Instant
    time_zone: str
    subject: str
    eligible_count: Count
    group_count: Count
    more_count: Count
    late_count: Count


class DigestPage(Payload):
    """A page of one user's digests, newest first."""

    data: list[Digest]
    next_cursor: str | None
    prev_cursor: str | None
    state: State
    generation: str
    as_of: Instant


class DigestGroup(Payload):
    """One rendered group of a digest."""

    rank: int
    group_key: str
    category: str
    verb: str
    object_type: str | None
    object_id: Id | None
    actor_count: Count
    sample_actor_ids: Annotated[list[Id], Field(max_length=3)]
    notification_ids: list[SignedId]
    last_activity_at: Instant
    text: str
    item_count: Annotated[int, Field(ge=1)]


class DigestDetail(Payload):
    """A digest with its groups."""

    digest: Digest
    groups: list[DigestGroup]
    generation: str
    as_of: Instant


class Unsubscribed(Payload):
    """The answer to a one-click unsubscription."""

    status: Literal["unsubscribed"]
    channel: str
    category: str
