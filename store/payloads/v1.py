"""Payloads of the deprecated v1 (spec 06.2); pure views of v2."""

from __future__ import annotations

from store.payloads.base import Count, Id, Instant, Payload


class V1FeedObject(Payload):
    """What a v1 item is about."""

    type: str
    id: Id


class V1FeedItem(Payload):
    """One v1 feed item."""

    id: str
    type: str
    actor_ids: list[Id]
    actor_count: Count
    object: V1FeedObject
    created_at: Instant
    seen: bool


class V1Feed(Payload):
    """A numbered page of the v1 feed."""

    items: list[V1FeedItem]
    page: int
    per_page: int
    total: Count
    total_pages: Count


class V1Recommendation(Payload):
    """One v1 recommendation."""

    user_id: Id
    reason: str
    mutual_friends: Count


class V1Recommendations(Payload):
    """Every v1 recommendation."""

    recommendations: list[V1Recommendation]


class V1Digest(Payload):
    """One v1 digest."""

    id: str
    period: str
    title: str
    created_at: Instant
    item_count: Count


class V1Digests(Payload):
    """Every v1 digest."""

    digests: list[V1Digest]


class V1UsageFeature(Payload):
    """One v1 metered feature."""

    feature: str
    used: int | None
    limit: int | None
    remaining: int | None
    resets_at: Instant | None


class V1Usage(Payload):
    """Every v1 metered feature."""

    usage: list[V1UsageFeature]
