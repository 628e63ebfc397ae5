"""The explorer's paths: the page, signing in and out, a digest as it was rendered, the style.

Lives here: requests to responses, and the headers that keep the page to itself. Does not belong here: what is
shown (``view``), who may look (``session``).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api import digests as mails
from api.access import knows_user
from api.auth import user_id_of
from api.explorer import session, view
from api.explorer.session import Refused
from api.health import readiness
from api.problems import ProblemRaised, invalid_parameter
from api.runtime import Runtime, runtime_of
from api.withholding import Withholding
from store.payloads.feed_words import POINTS, ago
from store.payloads.words import SCORE_PARTS
from store.serving import Generation

HERE: Final = Path(__file__).parent
STYLE: Final = (HERE / "static" / "explorer.css").read_bytes()
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
MAIL_HEADERS: Final = {**mails.MAIL_HEADERS, "cache-control": "no-store", "x-frame-options": "SAMEORIGIN"}
_MAIL_CSP: Final = mails.MAIL_HEADERS["content-security-policy"] + "; frame-ancestors 'self'; sandbox"
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip


def install(app: FastAPI) -> None:
    """Add the explorer to ``app``; its paths are in no document for clients."""
    for path, handler, method in (
        ("/explorer", explorer, "GET"),
        ("/explorer/session", sign_in, "POST"),
        ("/explorer/session/end", sign_out, "POST"),
        ("/explorer/users/{user_id}/digests/{digest_id}", mail, "GET"),
        ("/explorer/explorer.css", style, "GET"),
    ):
        app.add_api_route(path, handler, methods=[method], include_in_schema=False, response_class=Response)


async def style() -> Response:
    """The style sheet; the only thing that needs no token."""
    return Response(STYLE, media_type="text/css", headers={"cache-control": "max-age=300"})


async def explorer(request: Request) -> Response:
    """The page: the live generation, and with ``user`` one person in it; ``all`` shows whole lists."""
    try:
        principal = await session.admitted(request)
    except Refused as refused:
        return _form(request, refused)
    context: dict[str, Any] = {"principal": principal, "asked": (request.query_params.get("user") or "").strip()[:40]}
    limit = None if "all" in request.query_params else view.FIRST
    runtime = runtime_of(request)
    generation = runtime.generations.current()
    return await asyncio.to_thread(_page, request, runtime, generation, context, limit)


def _page(
    request: Request, runtime: Runtime, generation: Generation | None, context: dict[str, Any], limit: int | None
) -> Response:
    now = datetime.now(UTC)
    entries = runtime.generations.entries()
    context |= {
        "ready": readiness(runtime, now), "generation": generation, "entries": entries, "is_all": limit is None,
        "plots": view.plots(entries), "part_words": SCORE_PARTS, "points": POINTS, "person": None, "problem": None,
    }  # fmt: skip
    status = 200
    if generation is None:
        if not _takes_html(request):
            runtime.current()  # raises the problem of a world without data
        status = 503
    else:
        context |= {
            "age": ago(now, generation.as_of), "removals": view.removals(generation),
            "published_at": runtime.generations.published_at(generation.id),
            "standing": runtime.generations.status(generation.id),
        }  # fmt: skip
        if context["asked"]:
            status = _add_person(context, runtime, generation, limit)
            if status >= 400 and not _takes_html(request):
                if status == 404:
                    raise ProblemRaised("not-found", context["problem"])
                raise invalid_parameter("user", context["problem"])
    return _html(request, "page.html", context, status)


def _add_person(context: dict[str, Any], runtime: Runtime, generation: Generation, limit: int | None) -> int:
    """Put the person asked for into the context; returns the status to answer with."""
    user_id = user_id_of(context["asked"])
    if user_id is None:
        context["problem"] = f"“{context['asked']}” is no user id: ids are whole numbers."
        return 422
    if not knows_user(runtime, generation, user_id):
        context["problem"] = (
            f"User {user_id} is not in this generation: never there, not active, erased, or newer than it."
        )
        return 404
    served = view.Served(generation, Withholding(runtime.revocations))  # its own: this is another thread
    context["person"] = {
        "id": user_id,
        "ranked": view.feed(served, user_id, "ranked", limit),
        "chronological": view.feed(served, user_id, "chronological", limit),
        "recommendations": view.recommendations(served, user_id, limit),
        "digests": view.digests(served, user_id, limit),
        "entitlements": view.entitlements(served, user_id),
    }
    return 200


async def mail(request: Request, user_id: str, digest_id: str) -> Response:
    """A digest as it was rendered, for the page's frame."""
    try:
        await session.admitted(request)
    except Refused as refused:
        return _form(request, refused)
    runtime = runtime_of(request)
    generation, owner = runtime.current(), user_id_of(user_id)
    if owner is None or not knows_user(runtime, generation, owner):
        raise ProblemRaised("not-found", f"There is no user {user_id[:40]}.")
    details, row = mails.found(runtime, generation, digest_id, owner)
    return HTMLResponse(details.html(row), headers={**MAIL_HEADERS, "content-security-policy": _MAIL_CSP})


async def sign_in(request: Request) -> Response:
    """Take a token from the form, and let the browser keep it."""
    if not session.is_from_here(request):
        return _form(request, Refused(403, "Sign in on this page: the form was posted by another site."))
    try:
        token = await session.posted_token(request)
        principal = session.verified(request, token)
    except Refused as refused:
        return _form(request, refused)
    response = RedirectResponse(session.path_of(request), 303, headers=HEADERS)
    session.signed_in(request, response, token, principal)
    return response


async def sign_out(request: Request) -> Response:
    """Let the browser forget the token."""
    if not session.is_from_here(request):
        return _form(request, Refused(403, "Sign out on this page: the form was posted by another site."))
    response = RedirectResponse(session.path_of(request), 303, headers=HEADERS)
    session.signed_out(request, response)
    return response


def _form(request: Request, refused: Refused) -> Response:
    """The form to sign in with, and why it is shown; what is no browser gets a problem."""
    challenge = {"www-authenticate": 'Bearer realm="flowforge"'}
    if not _takes_html(request):
        raise ProblemRaised("unauthorized" if refused.status == 401 else "forbidden", refused.detail, headers=challenge)
    is_plain = refused.status == 401 and not request.cookies.get(session.COOKIE) and request.method == "GET"
    context = {"detail": None if is_plain else refused.detail, "principal": None}
    return _html(request, "sign_in.html", context, refused.status, challenge)


def _takes_html(request: Request) -> bool:
    """Whether an error is for a person to read: browsers name HTML, other clients at most ``*/*``."""
    return mails.HTML in request.headers.get("accept", "")


def _html(
    request: Request, template: str, context: dict[str, Any], status: int, headers: dict[str, str] | None = None
) -> Response:
    text = _TEMPLATES.get_template(template).render(here=session.path_of(request), **context)
    return HTMLResponse(text, status, headers={**HEADERS, **(headers or {})})
