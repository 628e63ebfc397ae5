"""The feed: ``GET /v2/me/feed`` (spec 03, 06.2)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query, Request, Response

from api.conditional import JSON, negotiated
from api.pages import Listing, by_order, list_page
from api.parameters import FeedParameters
from store.payloads import Mode

FEEDS: Final[dict[Mode, Listing]] = {
    "ranked": Listing("feed", "feed", "ranked", by_order),
    "chronological": Listing("feed_chronological", "feed", "chronological", by_order),
}


async def feed(request: Request, query: Annotated[FeedParameters, Query()]) -> Response:
    """A page of the person's feed, best or newest first.

    Items carry ids, counts and reasons; texts and names come from the app's own API.
    """
    negotiated(request, JSON)
    return await list_page(request, FEEDS[query.mode], query.limit, query.cursor)
