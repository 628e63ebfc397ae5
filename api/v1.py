"""v1, deprecated and kept working: pure adapters over the v2 payloads (spec 06.2).

Lives here: the four v1 shapes made from v2 models, and the headers that announce the end.
Does not belong here: any data of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from email.utils import format_datetime
from typing import Annotated, Final

from fastapi import Query, Request, Response
from pydantic import BaseModel

from api.access import subject_of
from api.conditional import JSON, RETRY_BUILDING, Origin, answer, negotiated, origin_of
from api.pages import row_of
from api.parameters import NoParameters, V1FeedParameters
from api.problems import invalid_parameter
from api.runtime import generation_of, runtime_of
from store.payloads import (
    Digest,
    Entitlement,
    FeedItem,
    FriendRecommendation,
    V1Digest,
    V1Digests,
    V1Feed,
    V1FeedItem,
    V1FeedObject,
    V1Recommendation,
    V1Recommendations,
    V1Usage,
    V1UsageFeature,
    etag_of,
)
from store.settings import Settings

MAX_REACH: Final = 500
DEPRECATED_AT: Final = datetime(2026, 7, 31, tzinfo=UTC)
SUCCESSORS: Final = {
    "/v1/feed": "/v2/me/feed",
    "/v1/recommendations": "/v2/me/recommendations/friends",
    "/v1/digests": "/v2/me/digests",
    "/v1/usage": "/v2/me/entitlements",
}


def deprecation_headers(settings: Settings, path: str) -> dict[str, str]:
    """Deprecation (RFC 9745), Sunset (RFC 8594) and Link of a v1 path."""
    sunset = datetime.combine(settings.api.v1_sunset, time(), UTC)
    successor = SUCCESSORS.get(path, "/v2")
    return {
        "deprecation": f"@{int(DEPRECATED_AT.timestamp())}",
        "sunset": format_datetime(sunset, usegmt=True),
        "link": f'</docs>; rel="deprecation"; type="text/html", <{successor}>; rel="successor-version"',
    }


async def v1_feed(request: Request, query: Annotated[V1FeedParameters, Query()]) -> Response:
    """A numbered page of the ranked feed; `page` × `per_page` may reach 500."""
    if query.page * query.per_page > MAX_REACH:
        told = f"page × per_page is {query.page * query.per_page}, and may reach {MAX_REACH}; v2 pages without a bound"
        raise invalid_parameter("page", told)
    found = _items(request, "feed")
    start = (query.page - 1) * query.per_page
    models = [FeedItem.model_validate_json(f) for f in found.items[start : start + query.per_page]]
    return _answered(request, found, feed_of(models, query.page, query.per_page, len(found.items)))


async def v1_recommendations(request: Request, _query: Annotated[NoParameters, Query()]) -> Response:
    """Every friend recommendation, by rank."""
    found = _items(request, "friend_recommendations")
    models = [FriendRecommendation.model_validate_json(f) for f in found.items]
    return _answered(request, found, recommendations_of(models))


async def v1_digests(request: Request, _query: Annotated[NoParameters, Query()]) -> Response:
    """Every built digest of the last 90 days, newest first."""
    found = _items(request, "digests")
    return _answered(request, found, digests_of([Digest.model_validate_json(f) for f in found.items]))


async def v1_usage(request: Request, _query: Annotated[NoParameters, Query()]) -> Response:
    """Every metered feature with what is used and left."""
    found = _items(request, "entitlements")
    return _answered(request, found, usage_of([Entitlement.model_validate_json(f) for f in found.items]))


@dataclass(frozen=True, slots=True)
class _Found:
    """A person's whole list; empty while it is being built (v1 has no word for that but Retry-After)."""

    items: list[bytes]
    origin: Origin
    is_building: bool


def _items(request: Request, dataset_name: str) -> _Found:
    negotiated(request, JSON)
    runtime, generation = runtime_of(request), generation_of(request)
    found = row_of(runtime, generation, dataset_name, subject_of(request).user_id)
    if found is None:
        return _Found([], origin_of(generation), is_building=True)
    withheld = runtime.withholding.of(generation, *found).places
    items = [item for place, item in enumerate(found[0].fragments(found[1])) if place not in withheld]
    return _Found(items, origin_of(generation, found[0]), is_building=False)


def _answered(request: Request, found: _Found, model: BaseModel) -> Response:
    body = model.model_dump_json().encode()
    headers = RETRY_BUILDING if found.is_building else None
    return answer(request, found.origin, body, etag_of(body, "v1"), headers=headers)


def feed_of(items: Sequence[FeedItem], page: int, per_page: int, total: int) -> V1Feed:
    """The v1 view of v2 feed items."""
    return V1Feed(
        items=[
            V1FeedItem(
                id=item.item_id,
                type=item.verb,
                actor_ids=item.sample_actor_ids,
                actor_count=item.actor_count,
                object=V1FeedObject(type=item.object_type, id=item.object_id),
                created_at=item.last_activity_at,
                seen=not item.is_unseen,
            )
            for item in items
        ],
        page=page,
        per_page=per_page,
        total=total,
        total_pages=-(-total // per_page),
    )


def recommendations_of(items: Sequence[FriendRecommendation]) -> V1Recommendations:
    """The v1 view of v2 recommendations."""
    return V1Recommendations(
        recommendations=[
            V1Recommendation(user_id=item.candidate_id, reason=item.reason_code, mutual_friends=item.mutual_count)
            for item in items
        ]
    )


def digests_of(items: Sequence[Digest]) -> V1Digests:
    """The v1 view of v2 digests."""
    return V1Digests(
        digests=[
            V1Digest(
                id=item.digest_id,
                period=item.period_key,
                title=item.subject,
                created_at=item.due_at,
                item_count=item.eligible_count,
            )
            for item in items
        ]
    )


def usage_of(items: Sequence[Entitlement]) -> V1Usage:
    """The v1 view of v2 entitlements: the metered ones."""
    return V1Usage(
        usage=[
            V1UsageFeature(
                feature=item.feature_key,
                used=item.used,
                limit=item.limit,
                remaining=item.balance,
                resets_at=item.resets_at,
            )
            for item in items
            if item.kind == "metered"
        ]
    )
