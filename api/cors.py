"""CORS: which other origins' pages may read the API, and what of it (spec 06.2); off unless origins are named.

Lives here: what pages may send and are shown, and the refusal of a preflight. Does not belong here: who is asking; an
origin proves nothing, and no cookie is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.logs import trace_id
from api.problems import TRACE_ID, problem_response

METHODS: Final = ("GET",)
SENT: Final = ("authorization", "if-none-match", "traceparent", "x-request-id")
EXPOSED: Final = (
    "deprecation",
    "etag",
    "link",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "sunset",
    "www-authenticate",
    "x-data-as-of",
    "x-data-generation",
    "x-request-id",
)
"""What the guides tell clients to read, and the challenge of a 401; browsers hide every other header from a page."""


class Cors(CORSMiddleware):
    """The framework's CORS, whose refusals are problems like every other error."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(app, origins, METHODS, SENT, expose_headers=EXPOSED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        asked = Headers(scope=scope) if scope["type"] == "http" and scope["method"] == "OPTIONS" else Headers()
        if "origin" in asked and "access-control-request-method" in asked:
            response = self.preflight_response(asked)
            if response.status_code >= 400:
                # Outside of the edge, which has to answer pages too: it gave no trace yet.
                scope[TRACE_ID] = trace_id(asked.get("traceparent", "").encode("latin-1"))
                told = {n: v for n, v in response.headers.items() if not n.startswith("content-")}
                name, detail = self._refusal(asked)
                errors = [(f"#/header/{name}", detail)]
                response = problem_response(
                    scope, "invalid-parameter", f"{name}: {detail}", status=400, headers=told, errors=errors
                )
            await response(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def _refusal(self, asked: Headers) -> tuple[str, str]:
        """The header that a preflight is refused for, and what it may say."""
        if not self.is_allowed_origin(asked["origin"]):
            return "origin", "pages of this origin may not read here: API__CORS_ORIGINS names those that may"
        if asked["access-control-request-method"] not in METHODS:
            return "access-control-request-method", f"pages of other origins may send {' or '.join(METHODS)} only"
        if "access-control-request-private-network" in asked:
            return "access-control-request-private-network", "this is no service of a private network"
        return "access-control-request-headers", f"beside what every page may send there are only {', '.join(SENT)}"
