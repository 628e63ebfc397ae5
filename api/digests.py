"""Digests: the built ones of the last 90 days, and one of them as JSON or as the rendered mail (spec 04, 06.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Path, Query, Request, Response

from api.access import subject_of
from api.conditional import JSON, answer, negotiated, origin_of
from api.pages import Listing, by_newest, list_page, row_of
from api.parameters import DigestParameters, NoParameters
from api.problems import ProblemRaised
from api.runtime import Runtime, generation_of, runtime_of
from store.payloads import DigestKind, etag_of
from store.serving import Dataset, Generation

HTML: Final = "text/html"
MAIL_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src https:",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_NO_DIGEST: Final = "This person has no digest of that id among those of the last 90 days."
_DIGEST_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def listing(kind: DigestKind | None) -> Listing:
    """The list of digests of one kind, or of all."""
    return Listing("digests", "digests", kind or "", by_newest)


def _of_kind(kind: DigestKind) -> Callable[[bytes], bool]:
    def keep(fragment: bytes) -> bool:
        return bool(json.loads(fragment)["kind"] == kind)

    return keep


async def digests(request: Request, query: Annotated[DigestParameters, Query()]) -> Response:
    """A page of the person's digests that were built in the last 90 days, newest first."""
    negotiated(request, JSON)
    keep = None if query.kind is None else _of_kind(query.kind)
    return await list_page(request, listing(query.kind), query.limit, query.cursor, keep)


DigestId = Annotated[str, Path(description="`digest_id` of a digest.", examples=["a" * 64])]


async def digest(request: Request, digest_id: DigestId, _query: Annotated[NoParameters, Query()]) -> Response:
    """One digest with its groups; with `Accept: text/html` the mail as it was rendered."""
    media_type = negotiated(request, JSON, HTML)
    generation = generation_of(request)
    details, row = found(runtime_of(request), generation, digest_id, subject_of(request).user_id)
    origin = origin_of(generation, details)
    if media_type == HTML:
        html = details.html(row)
        return answer(request, origin, html, etag_of(html, HTML), media_type=HTML, headers=MAIL_HEADERS)
    body = details.body(row)
    joined = b'%b,"generation":"%b","as_of":"%b"}' % (
        body[:-1],
        origin.generation.encode(),
        origin.as_of_text.encode(),
    )
    return answer(request, origin, joined, etag_of(body, JSON))


def found(runtime: Runtime, generation: Generation, digest_id: str, user_id: int) -> tuple[Dataset, int]:
    """The digest's row; an absent one, another user's and a withheld one are the same 404."""
    details = generation.dataset("digest_details")
    if details is not None and _DIGEST_ID.fullmatch(digest_id):
        row = details.find(int(digest_id[:16], 16))
        if row is not None and details.owner(row) == user_id and _id_of(details, row) == digest_id:
            _check_shown(runtime, generation, digest_id, user_id)
            return details, row
    raise ProblemRaised("not-found", _NO_DIGEST)


def _check_shown(runtime: Runtime, generation: Generation, digest_id: str, user_id: int) -> None:
    """A digest that the list withholds is a 404 here too; while revocations are stale, a 503 that passes."""
    found = row_of(runtime, generation, "digests", user_id)
    if found is None:
        raise ProblemRaised("not-found", _NO_DIGEST)
    withheld = runtime.withholding.of(generation, *found)
    if withheld.is_degraded:
        detail = (
            "Digests are withheld while it is not known what was revoked lately: ask again after Retry-After seconds."
        )
        raise ProblemRaised("not-ready", detail, headers={"retry-after": "30"})
    keys = found[0].fragment_keys(found[1]) if withheld.places else []
    if any(keys[place].endswith(digest_id) for place in withheld.places):
        raise ProblemRaised("not-found", _NO_DIGEST)


def _id_of(details: Dataset, row: int) -> object:
    return json.loads(details.body(row))["digest"]["digest_id"]
