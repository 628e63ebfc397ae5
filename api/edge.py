"""The edge: what holds for every request before it is routed, as one plain ASGI middleware (spec 06.2, 06.4).

Lives here: the trace id, the bounds on URL, headers and body, HEAD as GET without a body, the headers
that announce v1's end, and the last resort for errors nobody handled. Does not belong here: who is
asking, and for what.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import RATE
from api.instruments import UNROUTED, instruments_of
from api.problems import plain_problem, problem_response
from api.v1 import deprecation_headers
from store.settings import Settings

MAX_URL_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 64 * 1024

_TRACEPARENT: Final = re.compile(
    rb"^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$"
)
_LOG: Final = logging.getLogger("flowforge.api")


class Edge:
    """Wraps ``app``; passes anything but HTTP through untouched."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["flowforge.trace_id"] = trace_id(scope)
        begun = time.perf_counter()
        answered = _Answer(scope, send, _deprecation(self.settings, scope["path"]))
        try:
            await self._answer(scope, receive, answered)
        finally:
            route = getattr(scope.get("route"), "path", UNROUTED)
            instruments_of(route).observe(answered.status, time.perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive, send: _Answer) -> None:
        refusal = _out_of_bounds(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        try:
            await self.app(scope, _bounded(receive), send)
        except BodyTooLarge:
            await plain_problem(scope, 413, _BODY_DETAIL)(scope, receive, send)
        except Exception:
            _LOG.exception("unhandled error, trace %s, path %s", scope["flowforge.trace_id"], scope["path"])
            if send.has_started:
                raise
            detail = "The error is logged under this trace_id; try again, and report the trace_id if it stays."
            await problem_response(scope, "internal", detail)(scope, receive, send)


class _Answer:
    """``send`` of one request: remembers the status, adds the edge's headers, drops the body of HEAD."""

    def __init__(self, scope: Scope, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = 500
        self.has_started = False
        self._scope, self._send, self._headers = scope, send, headers
        self._is_head = scope["method"] == "HEAD"

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started, self.status = True, message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers, *self._scope.get(RATE, ())]
        elif self._is_head and message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        await self._send(message)


def trace_id(scope: Scope) -> str:
    """The W3C trace id of the ``traceparent`` header when it is well formed, else a new one (32 hex digits)."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            match = _TRACEPARENT.match(value)
            if match is not None:
                return match[1].decode()
    return secrets.token_hex(16)


_BODY_DETAIL: Final = f"The body is larger than {MAX_BODY_BYTES} bytes."


class BodyTooLarge(Exception):
    """More body arrived than is accepted."""


def _bounded(receive: Receive) -> Receive:
    received = 0

    async def receiving() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise BodyTooLarge
        return message

    return receiving


def _deprecation(settings: Settings, path: str) -> list[tuple[bytes, bytes]]:
    """What every answer of v1 announces, errors too."""
    if not path.startswith("/v1/"):
        return []
    return [(name.encode(), value.encode()) for name, value in deprecation_headers(settings, path).items()]


def _out_of_bounds(scope: Scope) -> ASGIApp | None:
    url = len(scope.get("raw_path") or scope["path"].encode()) + 1 + len(scope["query_string"])
    if url > MAX_URL_BYTES:
        return plain_problem(scope, 414, f"The URL is longer than {MAX_URL_BYTES} bytes: shorten it.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        return plain_problem(scope, 431, f"The headers are larger than {MAX_HEADER_BYTES} bytes: send fewer.")
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > MAX_BODY_BYTES):
            return plain_problem(scope, 413, _BODY_DETAIL)
    return None
