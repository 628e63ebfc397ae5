"""The hot paths: a person's stored pages, answered ahead of the framework (spec 06.3).

Lives here: the default request of every stored page, also joined without what is withheld, when nothing about
the request is unusual. Does not belong
here: anything else. A request that cannot be answered with 200 or 304 from a stored page goes to the
app behind, whose operations are the reference: both give the same bytes (tests/api/test_hot.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any, Final, NamedTuple

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api import scopes
from api.auth import Principal, TokenInvalid
from api.conditional import JSON, VARY, is_fresh, stored_body
from api.digests import listing
from api.edge import MAX_HEADER_BYTES
from api.feed import FEEDS
from api.instruments import RouteInstruments, instruments_of
from api.limits import Verdict
from api.logs import RequestLog, request_id, trace_id
from api.negotiation import best_encoding, best_media_type
from api.pages import Listing, first_page
from api.recommendations import FRIENDS
from api.runtime import Runtime
from store.payloads import DEFAULT_LIMIT
from store.serving import Dataset, Generation

MAX_HEADS: Final = 64
_Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Stored:
    """A page that generations hold ready."""

    dataset: str
    listing: Listing | None
    """None for what nothing revokes."""
    scope: scopes.Scope
    instruments: RouteInstruments


def _queries(*parameters: bytes) -> list[bytes]:
    """Every query that says the defaults: each parameter given or not, in any order."""
    chosen = [p for n in range(len(parameters) + 1) for p in permutations(parameters, n)]
    return [b"&".join(each) for each in chosen]


_LIMIT: Final = b"limit=%d" % DEFAULT_LIMIT


def _stored() -> dict[tuple[str, bytes], Stored]:
    table: dict[tuple[str, bytes], Stored] = {}

    def add(path: str, stored: Listing | str, scope: scopes.Scope, queries: list[bytes]) -> None:
        dataset, listing = (stored, None) if isinstance(stored, str) else (stored.dataset, stored)
        entry = Stored(dataset, listing, scope, instruments_of(path))
        table.update({(path, query): entry for query in queries})

    add("/v2/me/feed", FEEDS["ranked"], "feed:read", _queries(b"mode=ranked", _LIMIT))
    newest = [q for q in _queries(b"mode=chronological", _LIMIT) if b"mode" in q]
    add("/v2/me/feed", FEEDS["chronological"], "feed:read", newest)
    friends = "/v2/me/recommendations/friends"
    add(friends, FRIENDS, "recommendations:read", _queries(_LIMIT))
    add("/v2/me/digests", listing(None), "digests:read", _queries(_LIMIT))
    add("/v2/me/entitlements", "entitlements", "usage:read", [b""])
    return table


class _Asked(NamedTuple):
    """The headers that decide, as sent; an absent one is None."""

    authorization: bytes
    accept: bytes | None
    accept_encoding: bytes | None
    if_none_match: bytes | None
    traceparent: bytes | None
    request_id: bytes | None


_PASSED_ON: Final = -1
_READ: Final[dict[bytes, int]] = {
    # CORS is the framework's; a GET with a body is unusual enough.
    b"origin": _PASSED_ON,
    b"content-length": _PASSED_ON,
    b"transfer-encoding": _PASSED_ON,
    b"authorization": 0,
    b"accept": 1,
    b"accept-encoding": 2,
    b"if-none-match": 3,
    b"traceparent": 4,
    b"x-request-id": 5,
}


def _asked(headers: _Headers) -> _Asked | None:
    """What a request asks for; None for one that the framework should look at."""
    found: list[Any] = [None, None, None, None, None, None]
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        place = _READ.get(name)
        if place is not None:
            if place == _PASSED_ON or found[place] is not None:
                return None
            found[place] = value
    bearer = found[0]
    if bearer is None or size > MAX_HEADER_BYTES or bearer[:7].lower() != b"bearer ":
        return None
    return _Asked._make(found)


@lru_cache(maxsize=1024)
def _negotiated(accept: bytes | None, accept_encoding: bytes | None) -> tuple[bool, str | None]:
    """Whether JSON is acceptable, and the encoding the client likes best."""
    texts = [None if sent is None else sent.decode("latin-1") for sent in (accept, accept_encoding)]
    return best_media_type(texts[0], (JSON,)) is not None, best_encoding(texts[1])


def _joined(
    runtime: Runtime, listing: Listing, generation: Generation, dataset: Dataset, row: int
) -> tuple[bytes, str] | None:
    """The page as one zstd frame and its tag, when it is not the stored one: something on it is withheld."""
    withheld = runtime.withholding.of(generation, dataset, row)
    return first_page(runtime, listing, generation, dataset, row, withheld) if withheld.touches() else None


class _Found(NamedTuple):
    """A stored page that may be answered once the limit admits it."""

    asked: _Asked
    principal: Principal
    encoding: str | None
    generation: Generation
    dataset: Dataset
    row: int


_JSON: Final = (b"content-type", JSON.encode())
_ENCODINGS: Final = {name: (b"content-encoding", name.encode()) for name in ("zstd", "gzip")}


class Hot:
    """Answers stored pages; everything else goes to ``app``."""

    def __init__(self, app: FastAPI) -> None:
        self.app: ASGIApp = app
        self._runtime: Runtime = app.state.runtime
        self._log = RequestLog(self._runtime.settings.api)
        self._stored = _stored()
        self.paths = frozenset(path for path, _ in self._stored)
        self._heads: dict[tuple[str, str], _Headers] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] == "GET":
            stored = self._stored.get((scope["path"], scope["query_string"]))
            if stored is not None:
                begun = time.perf_counter()
                found = self._found(scope["headers"], stored)
                if found is not None:
                    limits, principal = self._runtime.limits, found.principal
                    verdict = await limits.admit(principal) if limits.is_shared else limits.admit_here(principal)
                    if verdict.is_admitted:
                        status, headers, body = self._answer(found, stored, verdict)
                        named = request_id(found.asked.request_id, trace_id(found.asked.traceparent))
                        headers.append((b"x-request-id", named.encode()))
                        await send({"type": "http.response.start", "status": status, "headers": headers})
                        await send({"type": "http.response.body", "body": body})
                        seconds = time.perf_counter() - begun
                        stored.instruments.observe(status, seconds)
                        self._log.note(named, "GET", stored.instruments.route, status, seconds, principal.role)
                        return
        await self.app(scope, receive, send)

    def _found(self, sent: _Headers, stored: Stored) -> _Found | None:
        """Whose stored page is asked for, and where it is; None where the reference has to answer."""
        asked = _asked(sent)
        if asked is None:
            return None
        takes_json, encoding = _negotiated(asked.accept, asked.accept_encoding)
        if not takes_json:
            return None
        runtime = self._runtime
        try:
            principal = runtime.verifier.verify(asked.authorization[7:].decode("latin-1").strip())
        except TokenInvalid:
            return None
        user_id, generation = principal.user_id, runtime.generations.current()
        if stored.scope not in principal.scopes or user_id is None or generation is None:
            return None
        users, dataset = generation.dataset("users"), generation.dataset(stored.dataset)
        if users is None or dataset is None or users.find(user_id) is None:
            return None
        if runtime.withholding.is_gone(generation, user_id):
            return None
        row = dataset.find(user_id)
        return None if row is None else _Found(asked, principal, encoding, generation, dataset, row)

    def _answer(self, found: _Found, stored: Stored, verdict: Verdict) -> tuple[int, _Headers, bytes]:
        """Status, headers and body."""
        asked, _, encoding, generation, dataset, row = found
        joined = None if stored.listing is None else _joined(self._runtime, stored.listing, generation, dataset, row)
        etag = dataset.etag(row) if joined is None else joined[1]
        headers = [(b"etag", b'W/"%b"' % etag.encode()), *self._head(generation, dataset), *verdict.headers()]
        if asked.if_none_match is not None and is_fresh(asked.if_none_match.decode("latin-1"), etag):
            return 304, headers, b""
        body, encoding = stored_body(dataset.page(row) if joined is None else joined[0], encoding)
        if encoding is not None:
            headers.append(_ENCODINGS[encoding])
        headers += ((b"content-length", b"%d" % len(body)), _JSON)
        return 200, headers, body

    def _head(self, generation: Generation, dataset: Dataset) -> _Headers:
        """The headers that every page of a dataset has."""
        key = (generation.id, dataset.name)
        found = self._heads.get(key)
        if found is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            found = self._heads[key] = [
                (b"cache-control", b"private"),
                (b"vary", VARY.encode()),
                (b"x-data-generation", generation.id.encode()),
                (b"x-data-as-of", dataset.as_of_text.encode()),
            ]
        return found
