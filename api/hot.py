"""The hot paths: a person's stored pages, answered ahead of the framework (spec 06.3).

Lives here: the default request of every stored page, also joined without what is withheld, when nothing about
the request is unusual. Does not belong here: anything else. A request that cannot be answered with 200 or
304 from a stored page goes to the app behind, whose operations are the reference: both give the same bytes
(tests/api/test_hot.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, permutations
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api import scopes
from api.auth import Principal, TokenInvalid
from api.conditional import JSON, VARY, is_fresh, stored_body
from api.digests import listing
from api.edge import MAX_HEADER_BYTES
from api.feed import FEEDS
from api.instruments import RouteInstruments, instruments_of
from api.logs import RequestLog, request_id, trace_id
from api.negotiation import best_encoding, best_media_type
from api.pages import Listing, first_page
from api.recommendations import FRIENDS
from api.runtime import Runtime
from api.withholding import NOTHING
from store.payloads import DEFAULT_LIMIT
from store.serving import Dataset, Generation

MAX_BYTES_REMEMBERED: Final = 8 * 1024 * 1024
ANSWER_BYTES: Final = 1_280
"""Memory of a remembered answer, about, beside the bytes of its body and of the headers it was asked with."""
_Headers = list[tuple[bytes, bytes]]
_Asked = dict[bytes, bytes]


class _Live:
    """One dataset of the generation that is served, and the headers that all its pages have."""

    __slots__ = ("dataset", "generation", "head", "users")

    def __init__(self, generation: Generation, users: Dataset, dataset: Dataset) -> None:
        self.generation, self.users, self.dataset = generation, users, dataset
        self.head: _Headers = [
            (b"cache-control", b"private"),
            (b"vary", VARY.encode()),
            (b"x-data-generation", generation.id.encode()),
            (b"x-data-as-of", dataset.as_of_text.encode()),
        ]

    def find(self, user_id: int) -> int | None:
        """The user's row; None for who is unknown, or has no page."""
        return None if self.users.find(user_id) is None else self.dataset.find(user_id)


@dataclass(slots=True)
class _Answer:
    """What a request is answered, and again as long as nothing has changed of what the answer rests on."""

    principal: Principal
    until: float
    """When the token has to be looked at again, Unix seconds."""
    keys: int
    edition: object
    status: int
    headers: _Headers
    body: bytes | memoryview
    """A view into the generation's file where the page goes out as stored, so that remembering it takes no memory."""


class Stored:
    """A page that generations hold ready."""

    __slots__ = ("answers", "dataset", "instruments", "listing", "scope")

    def __init__(self, path: str, stored: Listing | str, scope: scopes.Scope) -> None:
        """``stored`` by its dataset's name where nothing revokes it."""
        self.dataset = stored if isinstance(stored, str) else stored.dataset
        self.listing = None if isinstance(stored, str) else stored
        self.scope = scope
        self.answers: dict[tuple[tuple[bytes, bytes], ...], _Answer] = {}
        """Given lately, by all headers of the request but its ids."""
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


def _is_usual(asked: _Asked) -> bool:
    """Whether a request has a bearer token, and no header that the framework has to judge."""
    return _PASSED_ON.isdisjoint(asked) and asked.get(b"authorization", b"")[:7].lower() == b"bearer "


def _bytes_of(headers: Iterable[tuple[bytes, bytes]]) -> int:
    return len(b"".join(chain.from_iterable(headers)))


@lru_cache(maxsize=1024)
def _negotiated(accept: bytes | None, accept_encoding: bytes | None) -> tuple[bool, str | None]:
    """Whether JSON is acceptable, and the encoding the client likes best."""
    texts = [None if sent is None else sent.decode("latin-1") for sent in (accept, accept_encoding)]
    return best_media_type(texts[0], (JSON,)) is not None, best_encoding(texts[1])


_JSON: Final = (b"content-type", JSON.encode())
_ENCODINGS: Final = {name: (b"content-encoding", name.encode()) for name in ("zstd", "gzip")}


class Hot:
    """Answers stored pages; everything else goes to ``app``."""

    def __init__(self, app: FastAPI) -> None:
        self.app: ASGIApp = app
        self._runtime: Runtime = app.state.runtime
        self._current, self._edition = self._runtime.generations.current, self._runtime.revocations.edition
        self._keys, self._limits = self._runtime.keys, self._runtime.limits
        self._log = RequestLog(self._runtime.settings.api)
        self._stored = _stored()
        self.paths = frozenset(path for path, _ in self._stored)
        self._generation: Generation | None = None
        self._lives: dict[str, _Live] = {}
        self._bytes = 0
        """Of what is remembered, at most: an answer in place of another is counted again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] == "GET":
            stored = self._stored.get((scope["path"], scope["query_string"]))
            if stored is not None:
                begun = time.monotonic_ns()
                if self._current() is not self._generation:
                    self._follow()
                headers: _Headers = scope["headers"]
                given = parent = None
                answer = self._remembered(stored, tuple(headers))
                if answer is None:
                    asked = dict(headers)
                    given, parent = asked.pop(b"x-request-id", None), asked.pop(b"traceparent", None)
                    answer = self._answer(stored, headers, asked, (given is not None) + (parent is not None))
                if answer is not None:
                    limits, principal = self._limits, answer.principal
                    shared = limits.is_shared
                    verdict = await limits.admit(principal) if shared else limits.admit_here(principal, begun)
                    if verdict.is_admitted:
                        trace = trace_id(parent)
                        named = trace if given is None else request_id(given, trace)
                        told = [*answer.headers, *verdict.headers, (b"x-request-id", named.encode())]
                        await send({"type": "http.response.start", "status": answer.status, "headers": told})
                        await send({"type": "http.response.body", "body": bytes(answer.body)})
                        seconds = (time.monotonic_ns() - begun) / 1e9
                        stored.instruments.observe(answer.status, seconds)
                        self._log.note(named, "GET", stored.instruments.route, answer.status, seconds, principal.role)
                        return
        await self.app(scope, receive, send)

    def _answer(self, stored: Stored, headers: _Headers, asked: _Asked, ids: int) -> _Answer | None:
        """The answer of a request, remembered or found; None where the reference has to give it.

        ``asked`` is ``headers`` without the ``ids`` that differ from request to request.
        """
        if len(asked) + ids != len(headers) or (size := _bytes_of(headers)) > MAX_HEADER_BYTES:
            return None
        key = tuple(asked.items())
        answer = self._remembered(stored, key)
        if answer is not None or not _is_usual(asked):
            return answer
        answer = self._found(stored, asked)
        if answer is not None:
            size += ANSWER_BYTES + (0 if isinstance(answer.body, memoryview) else len(answer.body))
            if self._bytes + size > MAX_BYTES_REMEMBERED:
                self._forget()
            self._bytes += size
            stored.answers[key] = answer
        return answer

    def _remembered(self, stored: Stored, asked: tuple[tuple[bytes, bytes], ...]) -> _Answer | None:
        """What these headers were answered with before, where all of what the answer rests on is as it was."""
        answer = stored.answers.get(asked)
        if (
            answer is not None
            and answer.edition is self._edition()
            and answer.keys == self._keys.generation
            and time.time() < answer.until
        ):
            return answer
        return None

    def _follow(self) -> None:
        """Answer from the generation that is current now, and hold on to nothing of the last one."""
        self._generation, self._lives = self._current(), {}
        self._forget()

    def _forget(self) -> None:
        for stored in self._stored.values():
            stored.answers.clear()
        self._bytes = 0

    def _found(self, stored: Stored, asked: _Asked) -> _Answer | None:
        takes_json, encoding = _negotiated(asked.get(b"accept"), asked.get(b"accept-encoding"))
        if not takes_json:
            return None
        runtime, keys, edition = self._runtime, self._keys.generation, self._edition()
        try:
            principal, until = runtime.verifier.verified(asked[b"authorization"][7:].decode("latin-1").strip())
        except TokenInvalid:
            return None
        user_id, live = principal.user_id, self._live(stored.dataset)
        if stored.scope not in principal.scopes or user_id is None or live is None:
            return None
        row = live.find(user_id)
        if row is None or runtime.withholding.is_gone(live.generation, user_id):
            return None
        status, headers, body = self._page(asked, encoding, live, row, stored.listing)
        return _Answer(principal, until, keys, edition, status, headers, body)

    def _live(self, name: str) -> _Live | None:
        """The dataset of the generation that is served; nothing of another one is held on to."""
        live, generation = self._lives.get(name), self._generation
        if live is None and generation is not None:
            users, dataset = generation.dataset("users"), generation.dataset(name)
            if users is not None and dataset is not None:
                live = self._lives[name] = _Live(generation, users, dataset)
        return live

    def _page(
        self, asked: _Asked, encoding: str | None, live: _Live, row: int, listing: Listing | None
    ) -> tuple[int, _Headers, bytes | memoryview]:
        """Status, headers and body: the stored page, or where something on it is withheld the joined one."""
        runtime, generation, dataset = self._runtime, live.generation, live.dataset
        withheld = NOTHING if listing is None else runtime.withholding.of(generation, dataset, row)
        page: bytes | memoryview
        if listing is None or withheld is NOTHING or not withheld.touches():
            etag, page = dataset.stored(row)
        else:
            page, etag = first_page(runtime, listing, generation, dataset, row, withheld)
        headers = [*live.head, (b"etag", b'W/"%b"' % etag.encode())]
        given = asked.get(b"if-none-match")
        if given is not None and is_fresh(given.decode("latin-1"), etag):
            return 304, headers, b""
        if encoding != "zstd":
            page, encoding = stored_body(bytes(page), encoding)
        if encoding is not None:
            headers.append(_ENCODINGS[encoding])
        headers += ((b"content-length", b"%d" % len(page)), _JSON)
        return 200, headers, page
