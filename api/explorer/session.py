"""Who may look: a bearer header, or the same token in a cookie that only the explorer gets (spec 06.5).

A browser cannot set a header, so a form posts the token once; it comes back as a cookie that is HttpOnly,
SameSite=Strict and limited to the explorer's path, and is verified at every request like any bearer token.
Nothing is kept on the server. The token is never in a URL. Does not belong here: what is shown.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response

from api.access import counted
from api.auth import Principal, TokenInvalid
from api.runtime import runtime_of
from api.scopes import Scope

COOKIE: Final = "flowforge_explorer"
SCOPE: Final[Scope] = "operations:read"
MAX_SECONDS: Final = 8 * 3600
MAX_COOKIE_BYTES: Final = 4000
"""Browsers drop larger ones."""


class Refused(Exception):
    """The request may not look; ``status`` is 401, or 403 when the token is good but too weak."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def admitted(request: Request) -> Principal:
    """The principal of the header or the cookie, counted against its rate. Raises :class:`Refused`."""
    token = _token(request)
    if token is None:
        raise Refused(401, "Sign in with a token that has the scope operations:read.")
    principal = verified(request, token)
    await counted(request, principal)
    return principal


def verified(request: Request, token: str) -> Principal:
    """The principal of a token that may look. Raises :class:`Refused`."""
    try:
        principal = runtime_of(request).verifier.verify(token)
    except TokenInvalid as error:
        raise Refused(401, str(error)) from error
    if SCOPE not in principal.scopes:
        raise Refused(403, f"This token is a {principal.role}'s: the explorer needs the scope {SCOPE}.")
    return principal


def _token(request: Request) -> str | None:
    headers = request.headers.getlist("authorization")
    if headers:
        scheme, _, token = headers[0].partition(" ")
        return token.strip() if len(headers) == 1 and scheme.lower() == "bearer" and token.strip() else None
    return request.cookies.get(COOKIE)


def is_from_here(request: Request) -> bool:
    """Whether a form was posted by a page of ours: browsers say so, and what is no browser has no cookies to abuse."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def posted_token(request: Request) -> str:
    """The token of the posted form; raises :class:`Refused` when it cannot be kept in a cookie."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    token = "".join(fields.get("token", [""])[0].split())
    if not token:
        raise Refused(401, "Paste a token.")
    if len(token) > MAX_COOKIE_BYTES or not token.isascii():
        raise Refused(401, f"A token for the explorer is at most {MAX_COOKIE_BYTES} characters long.")
    return token


def signed_in(request: Request, response: Response, token: str, principal: Principal) -> None:
    """Let the browser keep the token, for the explorer alone and no longer than it is good."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=max(0, min(MAX_SECONDS, int(principal.expires_at - time.time()))),
        path=path_of(request),
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def signed_out(request: Request, response: Response) -> None:
    """Let the browser forget the token."""
    response.delete_cookie(COOKIE, path=path_of(request), secure=_is_secure(request), httponly=True, samesite="strict")


def path_of(request: Request) -> str:
    """Where the explorer is, behind whatever proxy."""
    return f"{request.scope.get('root_path', '')}/explorer"


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https" or runtime_of(request).settings.public.base_url.startswith("https:")
