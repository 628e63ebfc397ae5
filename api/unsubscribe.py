"""One-click unsubscription: ``/v2/unsubscribe/{token}`` (RFC 8058, spec 06.2), the API's only write.

Lives here: the page with its button, and the answer to the click. Does not belong here: the token and the note left
in HOME (store.payloads), what becomes of the note (store.ledger).
"""

from __future__ import annotations

import asyncio
import html
import logging
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import FastAPI, Path, Request, Response

from api.access import counted
from api.auth import Principal
from api.conditional import JSON, negotiated
from api.examples import problem_example
from api.problems import MEDIA_TYPE, ProblemRaised, invalid_parameter, plain_problem
from api.runtime import runtime_of
from store.payloads import BAD_LINK, Unsubscribe, Unsubscribed, UnsubscribeInvalid, leave_note, read_unsubscribe_token

PATH: Final = "/v2/unsubscribe/{token}"
HTML: Final = "text/html"
FIELD: Final = ("List-Unsubscribe", "One-Click")
RETRY_SECONDS: Final = 60
BODY_SECONDS: Final = 10.0
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_LOG: Final = logging.getLogger("flowforge.api")
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title><style>
:root { color-scheme: light dark; font: 1.125rem/1.5 system-ui, sans-serif }
main { max-width: 32rem; margin: 15vh auto 0; padding: 0 1rem }
button { font: inherit; padding: .75rem 1.5rem; border: 2px solid; border-radius: .5rem; cursor: pointer }
button:focus-visible { outline: 3px solid Highlight; outline-offset: 3px }
</style></head><body><main><h1>%(title)s</h1>%(body)s</main></body></html>
"""
_FORM: Final = """<p>You will no longer get %(what)s. You can turn them on again in your settings.</p>
<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe</button></form>"""

Token = Annotated[str, Path(min_length=1, description="The signed token of the mail's link.")]


async def unsubscribe_page(request: Request, token: Token) -> Response:
    """A page with a button that unsubscribes. Opening it, as mail scanners do, changes nothing."""
    asked = await _asked(request, token)
    negotiated(request, HTML)
    return _page("Unsubscribe?", _FORM % {"what": _what(asked)})


async def unsubscribe(request: Request, token: Token) -> Response:
    """Stop these mails: one click, no login; asking again changes nothing.

    The body is the form `List-Unsubscribe=One-Click`, URL-encoded or multipart. On disk when answered.
    """
    asked = await _asked(request, token)
    media_type = negotiated(request, JSON, HTML)
    try:
        body = await asyncio.wait_for(request.body(), BODY_SECONDS)
    except TimeoutError:
        return plain_problem(request.scope, 408, f"The body took longer than {BODY_SECONDS:.0f} seconds.")
    if FIELD not in _fields(request.headers.get("content-type", ""), body):
        raise invalid_parameter(FIELD[0], f"send the form {FIELD[0]}={FIELD[1]}", place="body")
    try:
        await asyncio.to_thread(leave_note, runtime_of(request).settings.home, asked, datetime.now(UTC))
    except OSError as error:
        _LOG.error("an unsubscription could not be written: %s", error.strerror)
        detail = "The unsubscription could not be kept: send it again after Retry-After seconds."
        raise ProblemRaised("not-ready", detail, headers={"retry-after": str(RETRY_SECONDS)}) from error
    if media_type == HTML:
        return _page("Unsubscribed", f'<p role="status">You will no longer get {_what(asked)}.</p>')
    said = Unsubscribed(status="unsubscribed", channel=asked.channel, category=asked.category)
    return Response(said.model_dump_json(), media_type=JSON, headers={"cache-control": "no-store"})


async def _asked(request: Request, token: str) -> Unsubscribe:
    """What the token stops; raises a 400 problem (the contract's status of a bad token) for any other text."""
    try:
        asked = read_unsubscribe_token(token, runtime_of(request).unsubscribe_keys)
    except UnsubscribeInvalid as error:
        told = [("#/path/token", str(error))]
        raise ProblemRaised("invalid-parameter", str(error), status=400, errors=told) from error
    # Counted as nobody's: who holds an old mail must not use up what its user may ask.
    await counted(request, Principal(str(asked.user_id), "anonymous", frozenset(), 0.0))
    return asked


def _what(asked: Unsubscribe) -> str:
    kinds = {"email": "digests by e-mail", "push": "digests on your devices", "in_app": "digests in the app"}
    told = kinds.get(asked.channel, "digests")
    return told if asked.category == "all" else f"{html.escape(asked.category)} notifications in {told}"


def _page(title: str, body: str) -> Response:
    return Response(_PAGE % {"title": title, "body": body}, media_type=HTML, headers=_HEADERS)


def _fields(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """The fields of a form, as RFC 8058 lets mail providers send them."""
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        return parse_qsl(body.decode("latin-1"))
    message = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body)
    parts = [part for part in message.get_payload() if isinstance(part, Message)] if message.is_multipart() else []
    named = [(part.get_param("name", header="content-disposition"), part.get_payload(decode=True)) for part in parts]
    return [(n, v.decode("latin-1").strip()) for n, v in named if isinstance(n, str) and isinstance(v, bytes)]


def install(app: FastAPI) -> None:
    """Add both methods to ``app``."""
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    refusals = {
        400: "A bad token",
        406: "Not acceptable",
        408: "Too slow",
        422: "Not the form of RFC 8058",
        429: "Too many requests",
    }
    errors: dict[int | str, dict[str, Any]] = {
        code: {"description": told, "content": problem} for code, told in refusals.items()
    }
    example = problem_example(400, BAD_LINK, "invalid-parameter", "/v2/unsubscribe/x")
    errors[400]["content"] = {MEDIA_TYPE: problem[MEDIA_TYPE] | {"examples": {"example": {"value": example}}}}
    shared: dict[str, Any] = {"response_class": Response, "tags": ["unsubscribe"]}
    page = {"description": "A page with a button.", "content": {HTML: {"schema": {"type": "string"}}}}
    app.add_api_route(
        PATH,
        unsubscribe_page,
        methods=["GET"],
        operation_id="get_unsubscribe",
        responses={200: page, **errors},
        **shared,
    )
    done = {"description": "Done.", "content": {JSON: {"schema": {"$ref": "#/components/schemas/Unsubscribed"}},
            HTML: {"schema": {"type": "string"}}}}  # fmt: skip
    field = {"type": "object", "required": [FIELD[0]], "properties": {FIELD[0]: {"const": FIELD[1]}}}
    forms = ("application/x-www-form-urlencoded", "multipart/form-data")
    app.add_api_route(
        PATH,
        unsubscribe,
        methods=["POST"],
        operation_id="post_unsubscribe",
        response_model=Unsubscribed,
        responses={200: done, **errors, 503: {"description": "The disk is full: try again.", "content": problem}},
        openapi_extra={"requestBody": {"required": True, "content": {form: {"schema": field} for form in forms}}},
        **shared,
    )
