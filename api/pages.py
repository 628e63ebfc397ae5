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

from api.access import Subject, knows_user, subject_of
from api.conditional import RETRY_BUILDING, Origin, answer, answer_stored, origin_of
from api.problems import ProblemRaised
from api.runtime import Runtime, generation_of, runtime_of
from store.payloads import DEFAULT_LIMIT, Cursor, CursorInvalid, Resource, etag_of, read_cursor, write_cursor
from store.serving import Dataset, Generation

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
    """Items ``[start, stop)`` of ``total``; no way back when the page continued by value."""

    start: int
    stop: int
    total: int
    has_way_back: bool


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


def cut(keys: Sequence[str], cursor: Cursor | None, limit: int, locate: Locate | None) -> Cut:
    """Where a page lies. ``locate`` is None in the cursor's own generation (positions hold)."""
    total = len(keys)
    if cursor is None:
        return Cut(0, min(limit, total), total, has_way_back=True)
    at = min(cursor.position, total) if locate is None else locate(keys, cursor)
    if cursor.is_forward:
        return Cut(at, min(at + limit, total), total, has_way_back=locate is None)
    return Cut(max(0, at - limit), at, total, has_way_back=locate is None)


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
        return _first_page(request, generation, listing, subject)
    place = await _place(runtime, generation, listing, subject.user_id, cursor)
    if place is None:
        return building(request, generation)
    source, dataset, row = place
    locate = listing.locate if cursor is not None and cursor.generation != source.id else None
    if keep is None:
        keys = dataset.fragment_keys(row)
        where = cut(keys, cursor, limit, locate)
        data = dataset.joined(row, where.start, where.stop)
    else:
        pairs = zip(dataset.fragments(row), dataset.fragment_keys(row), strict=True)
        kept = [(fragment, key) for fragment, key in pairs if keep(fragment)]
        keys = [key for _, key in kept]
        where = cut(keys, cursor, limit, locate)
        data = b",".join(fragment for fragment, _ in kept[where.start : where.stop])
    data = b"[" + data + b"]"
    state = dataset.state(row) if keys else "empty"
    cursors = _cursors(runtime, listing, subject.user_id, source.id, keys, where)
    origin = origin_of(source, dataset)
    return answer(request, origin, page_body(data, cursors, state, origin), etag_of(data, state))


def _first_page(request: Request, generation: Generation, listing: Listing, subject: Subject) -> Response:
    found = row_of(generation, listing.dataset, subject.user_id)
    if found is None:
        return building(request, generation)
    dataset, row = found
    return answer_stored(request, origin_of(generation, dataset), dataset.page(row), dataset.etag(row))


async def _place(
    runtime: Runtime, current: Generation, listing: Listing, user_id: int, cursor: Cursor | None
) -> tuple[Generation, Dataset, int] | None:
    """The list a page is cut from: in the cursor's generation while that is kept, else in the current one.

    None when the user is not in the current generation (any more): an older one does not bring them back.
    """
    if not knows_user(current, user_id):
        return None
    pinned: Generation | None = current
    if cursor is not None and cursor.generation != current.id:
        pinned = await asyncio.to_thread(runtime.generations.get, cursor.generation)
    for generation in (pinned or current, current):
        found = row_of(generation, listing.dataset, user_id)
        if found is not None:
            return generation, *found
    return None


def row_of(generation: Generation, name: str, user_id: int) -> tuple[Dataset, int] | None:
    """The user's row; None when the user is unknown or not computed in this generation."""
    dataset = generation.dataset(name)
    row = dataset.find(user_id) if dataset is not None and knows_user(generation, user_id) else None
    return None if dataset is None or row is None else (dataset, row)


def _cursors(
    runtime: Runtime, listing: Listing, user_id: int, generation_id: str, keys: Sequence[str], where: Cut
) -> tuple[str | None, str | None]:
    """``(next, prev)``; null where nothing lies beyond."""

    def made(position: int, beside: int, is_forward: bool) -> str:
        bound = (listing.resource, listing.variant, user_id, generation_id)
        return write_cursor(Cursor(*bound, is_forward, position, keys[beside]), runtime.cursor_keys[0])

    following = made(where.stop, where.stop - 1, True) if 0 < where.stop < where.total else None
    preceding = made(where.start, where.start, False) if where.has_way_back and 0 < where.start < where.total else None
    return following, preceding


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
