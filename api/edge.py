"""The edge: what holds for every request before it is routed, as one plain ASGI middleware (spec 06.2, 06.4).

Lives here: the request's ids, the bounds on URL, headers and body, HEAD as GET without a body, the headers
that announce v1's end, and the last resort for errors nobody handled. Does not belong here: who is
asking, and for what.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import RATE
from api.instruments import UNROUTED, instruments_of
from api.logs import REQUEST_ID, RequestLog, request_id, trace_id
from api.problems import TRACE_ID, plain_problem, problem_response
from api.v1 import deprecation_headers
from store.settings import Settings

MAX_URL_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 64 * 1024

_LOG: Final = logging.getLogger("flowforge.api")


class Edge:
    """Wraps ``app``. A WebSocket is given the id of its trace, and otherwise its own way (api.live)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self._log = RequestLog(settings.api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        given = dict(scope.get("headers", ()))
        scope[TRACE_ID] = trace_id(given.get(b"traceparent"))
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[REQUEST_ID] = request_id(given.get(b"x-request-id"), scope[TRACE_ID])
        begun = time.perf_counter()
        answered = _Answer(scope, send, _common(self.settings, scope))
        try:
            await self._answer(scope, receive, answered)
        finally:
            route = getattr(scope.get("route"), "path", UNROUTED)
            seconds = time.perf_counter() - begun
            instruments_of(route).observe(answered.status, seconds)
            principal = scope.get("state", {}).get("principal")
            role = "anonymous" if principal is None else principal.role
            self._log.note(scope[REQUEST_ID], answered.method, route, answered.status, seconds, role)

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
            _LOG.exception("unhandled error, trace %s", scope[TRACE_ID])
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
        self.method: str = scope["method"]

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started, self.status = True, message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers, *self._scope.get(RATE, ())]
        elif self.method == "HEAD" and message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        await self._send(message)


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


def _common(settings: Settings, scope: Scope) -> list[tuple[bytes, bytes]]:
    """What every answer says, errors too: the request's id, and of v1 its end."""
    headers = [(b"x-request-id", scope[REQUEST_ID].encode())]
    if scope["path"].startswith("/v1/"):
        told = deprecation_headers(settings, scope["path"])
        headers += [(name.encode(), value.encode()) for name, value in told.items()]
    return headers


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
