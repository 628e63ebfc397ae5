"""Friend recommendations: ``GET /v2/me/recommendations/friends`` (spec 02, 06.2)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query, Request, Response

from api.conditional import JSON, negotiated
from api.pages import Listing, by_member, list_page
from api.parameters import RecommendationParameters

FRIENDS: Final = Listing("friend_recommendations", "friend_recommendations", "", by_member)


async def friend_recommendations(request: Request, query: Annotated[RecommendationParameters, Query()]) -> Response:
    """A page of people the person may know, by rank, each with the reason."""
    negotiated(request, JSON)
    return await list_page(request, FRIENDS, query.limit, query.cursor)
