"""Payloads of the feed and of friend recommendations (spec 02, 03, 06.2)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from store.payloads.base import Count, Id, Instant, ItemId, Mode, Payload, State

COLD_REASONS: Final = ("popular_in_country", "suggested")
"""Reasons of items that say nothing of the viewer's own circle: a list of nothing else is a cold start."""


class FeedItem(Payload):
    """One card of a feed (spec 03.2)."""

    item_id: ItemId
    sort_key: str
    verb: Literal["post", "reshare", "comment", "reaction", "friend_add", "group_join"]
    object_type: Literal["post", "comment", "user", "group"]
    object_id: Id
    object_owner_id: Id | None
    lead_activity_id: Id
    lead_actor_id: Id
    actor_count: Annotated[int, Field(ge=1)]
    sample_actor_ids: Annotated[list[Id], Field(min_length=1, max_length=3)]
    other_count: Count
    first_activity_at: Instant
    last_activity_at: Instant
    reason: Literal["own", "friend", "suggested"]
    is_unseen: bool


class FeedPage(Payload):
    """A page of one viewer's feed."""

    data: list[FeedItem]
    next_cursor: str | None
    prev_cursor: str | None
    state: State
    generation: str
    as_of: Instant


class RemovedItem(Payload):
    """An item that left the feed, and why in the words a viewer may know."""

    item_id: str
    reason: Literal["removed", "aged_out", "displaced"]


class FeedDelta(Payload):
    """What changed in a feed between two generations."""

    mode: Mode
    since: str
    generation: str
    as_of: Instant
    state: State
    is_full_resync: bool
    upserts: list[FeedItem]
    removes: list[RemovedItem]


class FriendRecommendation(Payload):
    """One recommended person (spec 02)."""

    rank: Annotated[int, Field(ge=1)]
    candidate_id: Id
    reason_code: Literal[
        "mutual_friends",
        "shared_school",
        "shared_employer",
        "shared_group",
        "shared_interest",
        "interaction",
        "extended_network",
        "popular_in_country",
        "suggested",
    ]
    mutual_count: Count
    mutual_sample_ids: Annotated[list[Id], Field(max_length=3)]
    shared_group_count: Count
    shared_group_ids: Annotated[list[Id], Field(max_length=3)]
    variant: str


class FriendRecommendationPage(Payload):
    """A page of one viewer's friend recommendations."""

    data: list[FriendRecommendation]
    next_cursor: str | None
    prev_cursor: str | None
    state: State
    generation: str
    as_of: Instant
