"""Pages: cutting a stored list by a cursor, in the pinned generation or by value after it (spec 06.2).

Lives here: which items a page holds and the cursors beside it. Does not belong here: what an item says,
and the text of a cursor (store.payloads).
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import Request, Response

from api.access import knows_user, subject_of
from api.conditional import RETRY_BUILDING, Origin, answer, answer_stored, origin_of
from api.problems import ProblemRaised
from api.runtime import Runtime, generation_of, runtime_of
from api.withholding import Withheld
from store.payloads import DEFAULT_LIMIT, Cursor, CursorInvalid, Resource, etag_of, read_cursor, write_cursor
from store.serving import Dataset, Generation, compressed

Locate = Callable[[Sequence[str], Cursor], int]
"""How many items of a newer list stand before the cut of a cursor whose generation is gone."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A pageable list: its dataset and how its cursors are bound and continue by value."""

    dataset: str
    resource: Resource
    variant: str
    locate: Locate


@dataclass(frozen=True, slots=True)
class Cut:
    """The ``places`` of a page's items in the whole list, of which ``before`` and ``after`` say if more are shown."""

    places: Sequence[int]
    has_before: bool
    has_after: bool


def by_order(keys: Sequence[str], cursor: Cursor) -> int:
    """For lists whose keys ascend (feeds): before or after the key itself."""
    return (bisect_right if cursor.is_forward else bisect_left)(keys, cursor.value)


def by_member(keys: Sequence[str], cursor: Cursor) -> int:
    """For ranked lists without an order of their own: beside the same item, else at the same position."""
    if cursor.value in keys:
        return keys.index(cursor.value) + (1 if cursor.is_forward else 0)
    return min(cursor.position, len(keys))


def by_newest(keys: Sequence[str], cursor: Cursor) -> int:
    """For digests, keys ``due_at|digest_id`` in the order (due_at desc, digest_id asc)."""
    cut_due, cut_id = cursor.value.split("|")
    for position, key in enumerate(keys):
        due, digest_id = key.split("|")
        if due < cut_due or (
            due == cut_due and (digest_id > cut_id or (digest_id == cut_id and not cursor.is_forward))
        ):
            return position
    return len(keys)


def cut(keys: Sequence[str], shown: Sequence[int], cursor: Cursor | None, limit: int, locate: Locate | None) -> Cut:
    """Which items a page holds, out of those ``shown`` (places in ``keys``, ascending).

    Cursors count the whole list, so what is withheld meanwhile shifts nothing. ``locate`` is None in the
    cursor's own generation, where positions hold; there is no way back from a page that continued by value.
    """
    at = 0
    if cursor is not None:
        at = bisect_left(shown, cursor.position if locate is None else locate(keys, cursor))
    is_forward = cursor is None or cursor.is_forward
    start, stop = (at, min(at + limit, len(shown))) if is_forward else (max(0, at - limit), at)
    return Cut(shown[start:stop], locate is None and 0 < start < len(shown), 0 < stop < len(shown))


def opened(runtime: Runtime, text: str, listing: Listing, user_id: int) -> Cursor:
    """The cursor of a request; raises a 400 problem when it was changed or issued for something else."""
    try:
        cursor = read_cursor(text, runtime.cursor_keys)
        _check_bound(cursor, listing, user_id)
    except CursorInvalid as error:
        raise ProblemRaised("cursor-invalid", f"{error} Start again without a cursor.") from error
    return cursor


def _check_bound(cursor: Cursor, listing: Listing, user_id: int) -> None:
    if cursor.resource != listing.resource:
        raise CursorInvalid(f"The cursor was issued for {cursor.resource}.")
    if cursor.user_id != user_id:
        raise CursorInvalid("The cursor was issued for another user.")
    if cursor.variant != listing.variant:
        name = "mode" if listing.resource == "feed" else "kind"
        raise CursorInvalid(f"The cursor was issued for {name}={cursor.variant or '(all)'}.")


async def list_page(
    request: Request,
    listing: Listing,
    limit: int,
    cursor_text: str | None,
    keep: Callable[[bytes], bool] | None = None,
) -> Response:
    """The page of ``listing`` that the request asks for.

    ``keep`` filters items first (a kind of digest); a default request without it gets the stored page.
    """
    runtime, subject = runtime_of(request), subject_of(request)
    generation = generation_of(request)
    cursor = None if cursor_text is None else opened(runtime, cursor_text, listing, subject.user_id)
    if cursor is None and keep is None and limit == DEFAULT_LIMIT:
        return _first_page(request, runtime, generation, listing, subject.user_id)
    place = await _place(runtime, generation, listing, subject.user_id, cursor)
    if place is None:
        return building(request, generation)
    source, dataset, row = place
    withheld = runtime.withholding.of(source, dataset, row)
    body, etag = joined_page(runtime, listing, source, dataset, row, withheld, limit=limit, cursor=cursor, keep=keep)
    return answer(request, origin_of(source, dataset), body, etag)


def first_page(
    runtime: Runtime, listing: Listing, generation: Generation, dataset: Dataset, row: int, withheld: Withheld
) -> tuple[bytes, str]:
    """The default page without what is withheld, as one zstd frame, and its entity tag."""
    if withheld.page is None:
        body, etag = joined_page(runtime, listing, generation, dataset, row, withheld)
        withheld.page = compressed(body), etag
    return withheld.page


def joined_page(
    runtime: Runtime,
    listing: Listing,
    source: Generation,
    dataset: Dataset,
    row: int,
    withheld: Withheld,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: Cursor | None = None,
    keep: Callable[[bytes], bool] | None = None,
) -> tuple[bytes, str]:
    """A page joined from the row's items, without those withheld; and its entity tag."""
    keys = dataset.fragment_keys(row)
    places: Sequence[int] = range(len(keys))
    if keep is not None:
        places = [place for place, item in enumerate(dataset.fragments(row)) if keep(item)]
        keys = [keys[place] for place in places]
    shown = list(range(len(keys)))
    if keep is None:
        for place in sorted(withheld.places, reverse=True):
            del shown[place]
    elif withheld.places:
        shown = [at for at, place in enumerate(places) if place not in withheld.places]
    locate = listing.locate if cursor is not None and cursor.generation != source.id else None
    where = cut(keys, shown, cursor, limit, locate)
    data = b"[" + _joined(dataset, row, [places[at] for at in where.places]) + b"]"
    state = withheld.state or dataset.state(row)
    if not shown and state != "degraded":
        state = "empty"
    cursors = _cursors(runtime, listing, dataset.key(row), source.id, keys, where)
    return page_body(data, cursors, state, origin_of(source, dataset)), etag_of(data, state)


def _joined(dataset: Dataset, row: int, places: Sequence[int]) -> bytes:
    """The items at ``places`` joined by commas; at once where they stand side by side."""
    if not places or places[-1] - places[0] + 1 == len(places):
        return dataset.joined(row, places[0], places[-1] + 1) if places else b""
    items = dataset.fragments(row, places[0], places[-1] + 1)
    return b",".join(items[place - places[0]] for place in places)


def _first_page(request: Request, runtime: Runtime, generation: Generation, listing: Listing, user_id: int) -> Response:
    found = row_of(runtime, generation, listing.dataset, user_id)
    if found is None:
        return building(request, generation)
    dataset, row = found
    withheld = runtime.withholding.of(generation, dataset, row)
    if withheld.touches():
        return answer_stored(
            request, origin_of(generation, dataset), *first_page(runtime, listing, generation, dataset, row, withheld)
        )
    return answer_stored(request, origin_of(generation, dataset), dataset.page(row), dataset.etag(row))


async def _place(
    runtime: Runtime, current: Generation, listing: Listing, user_id: int, cursor: Cursor | None
) -> tuple[Generation, Dataset, int] | None:
    """The list a page is cut from: in the cursor's generation while that is kept, else in the current one.

    None when the user is not in the current generation (any more): an older one does not bring them back.
    """
    if not knows_user(runtime, current, user_id):
        return None
    pinned: Generation | None = current
    if cursor is not None and cursor.generation != current.id:
        pinned = await asyncio.to_thread(runtime.generations.get, cursor.generation)
    for generation in (pinned or current, current):
        found = row_of(runtime, generation, listing.dataset, user_id)
        if found is not None:
            return generation, *found
    return None


def row_of(runtime: Runtime, generation: Generation, name: str, user_id: int) -> tuple[Dataset, int] | None:
    """The user's row; None when the user is unknown, gone or not computed in this generation."""
    dataset = generation.dataset(name)
    row = dataset.find(user_id) if dataset is not None and knows_user(runtime, generation, user_id) else None
    return None if dataset is None or row is None else (dataset, row)


def _cursors(
    runtime: Runtime, listing: Listing, user_id: int, generation_id: str, keys: Sequence[str], where: Cut
) -> tuple[str | None, str | None]:
    """``(next, prev)``; null where nothing lies beyond."""

    def made(position: int, beside: int, is_forward: bool) -> str:
        bound = (listing.resource, listing.variant, user_id, generation_id)
        return write_cursor(Cursor(*bound, is_forward, position, keys[beside]), runtime.cursor_keys[0])

    if not where.places:
        return None, None
    first, last = where.places[0], where.places[-1]
    following = made(last + 1, last, True) if where.has_after else None
    return following, made(first, first, False) if where.has_before else None


def page_body(data: bytes, cursors: tuple[str | None, str | None], state: str, origin: Origin) -> bytes:
    """A page as bytes, in the key order of the stored ones."""
    return b'{"data":%b,"next_cursor":%b,"prev_cursor":%b,%b' % (
        data,
        json.dumps(cursors[0]).encode(),
        json.dumps(cursors[1]).encode(),
        tail(state, origin),
    )


def tail(state: str, origin: Origin) -> bytes:
    """The end of every list: state, generation, as_of."""
    return f'"state":"{state}","generation":"{origin.generation}","as_of":"{origin.as_of_text}"}}'.encode()


def building(request: Request, generation: Generation) -> Response:
    """The page of a user who is not in this generation yet: 200, nothing, Retry-After."""
    origin = origin_of(generation)
    body = page_body(b"[]", (None, None), "building", origin)
    return answer(request, origin, body, etag_of(b"[]", "building"), headers=RETRY_BUILDING)
