"""The hot paths: a person's stored pages, answered ahead of the framework (spec 06.3).

Lives here: the default request of every stored page, also joined without what is withheld, when nothing about
the request is unusual. Does not belong here: anything else. A request that cannot be answered with 200 or
304 from a stored page goes to the app behind, whose operations are the reference: both give the same bytes
(tests/api/test_hot.py).
"""

from __future__ import annotations

import time
from functools import lru_cache
from itertools import permutations
from typing import Final, NamedTuple

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
from api.withholding import NOTHING
from store.payloads import DEFAULT_LIMIT
from store.serving import Dataset, Generation

MAX_ROWS_REMEMBERED: Final = 8_192
_Headers = list[tuple[bytes, bytes]]


class _Live:
    """One dataset of the generation that is served: the headers that all its pages have, and rows asked for lately."""

    __slots__ = ("dataset", "generation", "head", "rows", "users")

    def __init__(self, generation: Generation, users: Dataset, dataset: Dataset) -> None:
        self.generation, self.users, self.dataset = generation, users, dataset
        self.rows: dict[int, int] = {}
        self.head: _Headers = [
            (b"cache-control", b"private"),
            (b"vary", VARY.encode()),
            (b"x-data-generation", generation.id.encode()),
            (b"x-data-as-of", dataset.as_of_text.encode()),
        ]

    def find(self, user_id: int) -> int | None:
        """The user's row; None for who is unknown, or has no page."""
        row = self.rows.get(user_id)
        if row is None:
            row = None if self.users.find(user_id) is None else self.dataset.find(user_id)
            if row is not None:
                if len(self.rows) >= MAX_ROWS_REMEMBERED:
                    self.rows.clear()
                self.rows[user_id] = row
        return row


class Stored:
    """A page that generations hold ready."""

    __slots__ = ("dataset", "instruments", "listing", "scope")

    def __init__(self, path: str, stored: Listing | str, scope: scopes.Scope) -> None:
        """``stored`` by its dataset's name where nothing revokes it."""
        self.dataset = stored if isinstance(stored, str) else stored.dataset
        self.listing = None if isinstance(stored, str) else stored
        self.scope = scope
        self.instruments: RouteInstruments = instruments_of(path)


def _queries(*parameters: bytes) -> list[bytes]:
    """Every query that says the defaults: each parameter given or not, in any order."""
    chosen = [p for n in range(len(parameters) + 1) for p in permutations(parameters, n)]
    return [b"&".join(each) for each in chosen]


_LIMIT: Final = b"limit=%d" % DEFAULT_LIMIT


def _stored() -> dict[tuple[str, bytes], Stored]:
    table: dict[tuple[str, bytes], Stored] = {}

    def add(path: str, stored: Listing | str, scope: scopes.Scope, queries: list[bytes]) -> None:
        entry = Stored(path, stored, scope)
        table.update({(path, query): entry for query in queries})

    add("/v2/me/feed", FEEDS["ranked"], "feed:read", _queries(b"mode=ranked", _LIMIT))
    newest = [q for q in _queries(b"mode=chronological", _LIMIT) if b"mode" in q]
    add("/v2/me/feed", FEEDS["chronological"], "feed:read", newest)
    friends = "/v2/me/recommendations/friends"
    add(friends, FRIENDS, "recommendations:read", _queries(_LIMIT))
    add("/v2/me/digests", listing(None), "digests:read", _queries(_LIMIT))
    add("/v2/me/entitlements", "entitlements", "usage:read", [b""])
    return table


_PASSED_ON: Final = frozenset((b"origin", b"content-length", b"transfer-encoding"))
"""CORS is the framework's; a GET with a body is unusual enough."""


def _asked(headers: _Headers) -> dict[bytes, bytes] | None:
    """The headers of a request with a bearer token; None for one that the framework should look at."""
    asked = dict(headers)
    if len(asked) != len(headers) or not _PASSED_ON.isdisjoint(asked):
        return None
    if len(b"".join(asked)) + len(b"".join(asked.values())) > MAX_HEADER_BYTES:
        return None
    return asked if asked.get(b"authorization", b"")[:7].lower() == b"bearer " else None


@lru_cache(maxsize=1024)
def _negotiated(accept: bytes | None, accept_encoding: bytes | None) -> tuple[bool, str | None]:
    """Whether JSON is acceptable, and the encoding the client likes best."""
    texts = [None if sent is None else sent.decode("latin-1") for sent in (accept, accept_encoding)]
    return best_media_type(texts[0], (JSON,)) is not None, best_encoding(texts[1])


class _Found(NamedTuple):
    """A stored page that may be answered once the limit admits it."""

    asked: dict[bytes, bytes]
    principal: Principal
    encoding: str | None
    live: _Live
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
        self._generation: Generation | None = None
        self._lives: dict[str, _Live] = {}

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
                        asked = found.asked
                        named = request_id(asked.get(b"x-request-id"), trace_id(asked.get(b"traceparent")))
                        status, headers, body = self._answer(found, stored.listing, verdict)
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
        takes_json, encoding = _negotiated(asked.get(b"accept"), asked.get(b"accept-encoding"))
        if not takes_json:
            return None
        runtime = self._runtime
        try:
            principal = runtime.verifier.verify(asked[b"authorization"][7:].decode("latin-1").strip())
        except TokenInvalid:
            return None
        user_id, live = principal.user_id, self._live(stored.dataset)
        if stored.scope not in principal.scopes or user_id is None or live is None:
            return None
        row = live.find(user_id)
        if row is None or runtime.withholding.is_gone(live.generation, user_id):
            return None
        return _Found(asked, principal, encoding, live, row)

    def _live(self, name: str) -> _Live | None:
        """The dataset of the generation that is served; nothing of another one is held on to."""
        generation = self._runtime.generations.current()
        if generation is not self._generation:
            self._generation, self._lives = generation, {}
        live = self._lives.get(name)
        if live is None and generation is not None:
            users, dataset = generation.dataset("users"), generation.dataset(name)
            if users is not None and dataset is not None:
                live = self._lives[name] = _Live(generation, users, dataset)
        return live

    def _answer(self, found: _Found, listing: Listing | None, verdict: Verdict) -> tuple[int, _Headers, bytes]:
        """Status, headers and body: the stored page, or where something on it is withheld the joined one."""
        asked, _, encoding, live, row = found
        runtime, generation, dataset = self._runtime, live.generation, live.dataset
        withheld = NOTHING if listing is None else runtime.withholding.of(generation, dataset, row)
        if listing is None or withheld is NOTHING or not withheld.touches():
            etag, page = dataset.stored(row)
        else:
            page, etag = first_page(runtime, listing, generation, dataset, row, withheld)
        headers = [*live.head, (b"etag", b'W/"%b"' % etag.encode()), *verdict.headers()]
        given = asked.get(b"if-none-match")
        if given is not None and is_fresh(given.decode("latin-1"), etag):
            return 304, headers, b""
        body, encoding = stored_body(page, encoding)
        if encoding is not None:
            headers.append(_ENCODINGS[encoding])
        headers += ((b"content-length", b"%d" % len(body)), _JSON)
        return 200, headers, body
