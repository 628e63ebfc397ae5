"""What changed in a feed since a generation: ``GET /v2/me/feed/delta`` (spec 06.2), for clients that keep their feed.

Lives here: comparing the lists of two kept generations. Does not belong here: why an item left (the
tombstones that the feed product computed), or pages (api.pages).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Set as AbstractSet
from typing import Annotated, Final

from fastapi import Query, Request, Response

from api.access import subject_of
from api.conditional import JSON, RETRY_BUILDING, answer, negotiated, origin_of
from api.feed import FEEDS
from api.pages import row_of
from api.parameters import DeltaParameters
from api.runtime import Runtime, generation_of, runtime_of
from api.withholding import NOTHING
from store.payloads import etag_of
from store.serving import Dataset, Generation

_BEFORE_ID: Final = b'{"item_id":"'
"""How every stored feed item begins, in the order of its model."""
_ID_LENGTH: Final = 16
UNTOLD: Final = "displaced"
"""Said of an item that left without a tombstone, as after a rollback: claims least."""


async def feed_delta(request: Request, query: Annotated[DeltaParameters, Query()]) -> Response:
    """What to put into and take out of a feed that was read in the generation `since`.

    Put `upserts` over items of the same `item_id`, drop `removes`, order by `sort_key`: that is the whole
    feed now. When `is_full_resync`, start from nothing: `since` is unknown here, or no longer kept.
    """
    negotiated(request, JSON)
    runtime, generation, user_id = runtime_of(request), generation_of(request), subject_of(request).user_id
    name = FEEDS[query.mode].dataset
    found = row_of(runtime, generation, name, user_id)
    held = await _held(request, generation, query.since)
    before = None if held is None or found is None else row_of(runtime, held, name, user_id)
    withheld = NOTHING if found is None else runtime.withholding.of(generation, *found)
    if withheld.is_degraded:
        before = None
    now = {} if found is None else _items(*found, withheld.places)
    earlier = {} if before is None else _items(*before)
    doubted = set() if held is None or before is None else _withheld_ids(runtime, held, *before)
    upserts = b",".join(item for item_id, item in now.items() if earlier.get(item_id) != item or item_id in doubted)
    gone = [item_id for item_id in earlier if item_id not in now]
    revoked = set() if found is None else _ids_at(found[0], found[1], withheld.places)
    told = _removed(generation, user_id, query.mode, gone, revoked)
    removes = json.dumps(told, separators=(",", ":")).encode()
    state = "building" if found is None else withheld.state or found[0].state(found[1])
    origin = origin_of(generation, None if found is None else found[0])
    head = {
        "mode": query.mode,
        "since": query.since,
        "generation": origin.generation,
        "as_of": origin.as_of_text,
        "state": state,
        "is_full_resync": before is None,
    }
    lists = b'"upserts":[%b],"removes":%b}' % (upserts, removes)
    body = b"%b,%b" % (json.dumps(head, separators=(",", ":")).encode()[:-1], lists)
    tag = etag_of(lists, f"{state} {before is None}")
    return answer(request, origin, body, tag, headers=RETRY_BUILDING if found is None else None)


async def _held(request: Request, current: Generation, since: str) -> Generation | None:
    """The generation a client's feed is of, while it is kept; opened off the event loop."""
    if since == current.id:
        return current
    return await asyncio.to_thread(runtime_of(request).generations.get, since) if since else None


def _items(dataset: Dataset, row: int, withheld: AbstractSet[int] = frozenset()) -> dict[str, bytes]:
    """Every item by its id, in the feed's order. Two generations agree about an item when its bytes are the same."""
    pairs = zip(_item_ids(dataset, row), dataset.fragments(row), strict=True)
    return {item_id: item for place, (item_id, item) in enumerate(pairs) if place not in withheld}


def _item_ids(dataset: Dataset, row: int) -> list[str]:
    return [item[len(_BEFORE_ID) :][:_ID_LENGTH].decode() for item in dataset.fragments(row)]


def _withheld_ids(runtime: Runtime, generation: Generation, dataset: Dataset, row: int) -> set[str]:
    """Items that a client of an older feed has or has not, as it was read before they were revoked or after."""
    return _ids_at(dataset, row, runtime.withholding.of(generation, dataset, row).places)


def _ids_at(dataset: Dataset, row: int, places: AbstractSet[int]) -> set[str]:
    if not places:
        return set()
    ids = _item_ids(dataset, row)
    return {ids[place] for place in places}


def _removed(
    generation: Generation, user_id: int, mode: str, gone: list[str], revoked: AbstractSet[str]
) -> list[dict[str, str]]:
    """The items that left, with the reasons told by the tombstones of ``generation``.

    What was ``revoked`` since then is removed, as the next generation's tombstones will say.
    """
    told: dict[str, str] = {}
    tombstones = generation.dataset("feed_tombstones")
    row = tombstones.find(user_id) if gone and tombstones is not None else None
    if tombstones is not None and row is not None:
        buried = json.loads(tombstones.body(row))["gone"]
        told = {each["item_id"]: each["reason"] for each in buried if each["mode"] == mode}
    return [
        {"item_id": item_id, "reason": "removed" if item_id in revoked else told.get(item_id, UNTOLD)}
        for item_id in gone
    ]
