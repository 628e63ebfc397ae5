"""Problems: every error is told as RFC 9457 ``application/problem+json`` (spec 06.2).

Lives here: the problem types, the exception that carries one, and the handlers that turn the framework's
own errors into problems. Does not belong here: deciding that something is wrong.
"""

from __future__ import annotations

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

MEDIA_TYPE: Final = "application/problem+json"
TYPE_BASE: Final = "https://flowforge.example/problems/"
TRACE_ID: Final = "flowforge.trace_id"
"""Where the trace id of a request stands in its scope."""

Slug = Literal[
    "unauthorized",
    "forbidden",
    "not-found",
    "invalid-parameter",
    "cursor-invalid",
    "quota-exceeded",
    "not-acceptable",
    "not-ready",
    "internal",
]

KINDS: Final[dict[Slug, tuple[int, str]]] = {
    "unauthorized": (401, "A valid bearer token is needed"),
    "forbidden": (403, "This token may not do that"),
    "not-found": (404, "There is nothing here"),
    "invalid-parameter": (422, "A parameter is not valid"),
    "cursor-invalid": (400, "Cursor is not valid here"),
    "quota-exceeded": (429, "Too many requests"),
    "not-acceptable": (406, "No representation fits the Accept header"),
    "not-ready": (503, "Not ready yet"),
    "internal": (500, "Something went wrong on our side"),
}


_RENAMED: Final = {413: "Content Too Large", 414: "URI Too Long"}
"""Titles as RFC 9110 has them, where the standard library still has older ones."""

_SHOWN: Final = 40
"""Characters of a bad value that are repeated in the answer."""
UNEXPLAINED: Final = "see /docs for what is"
"""For a parameter that does not say in its own words what it may be (api.parameters)."""


class ProblemRaised(Exception):
    """A problem to answer with; ``detail`` says what to do about it, ``status`` is another one than its type's."""

    def __init__(
        self,
        slug: Slug,
        detail: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.slug: Slug = slug
        self.detail = detail
        self.status = status
        self.headers = dict(headers or {})
        self.errors = list(errors)


def invalid_parameter(name: str, detail: str, *, place: Literal["query", "body"] = "query") -> ProblemRaised:
    """A 422 about one parameter."""
    return ProblemRaised("invalid-parameter", f"{name}: {detail}", errors=[(f"#/{place}/{name}", detail)])


def problem_response(
    scope: Scope,
    slug: Slug,
    detail: str,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[tuple[str, str]] = (),
) -> Response:
    """The response of a problem of one of our types; ``status`` where it is not the type's usual one."""
    usual, title = KINDS[slug]
    return _response(scope, TYPE_BASE + slug, title, status or usual, detail, headers, errors)


def plain_problem(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The response of a problem that is fully told by its HTTP status (``about:blank``)."""
    return _response(scope, "about:blank", title_of(status), status, detail, headers, ())


def title_of(status: int) -> str:
    """The name of an HTTP status."""
    return _RENAMED.get(status, http.HTTPStatus(status).phrase)


def _response(
    scope: Scope,
    type_: str,
    title: str,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None,
    errors: Sequence[tuple[str, str]],
) -> Response:
    body: dict[str, object] = {
        "type": type_,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": scope["path"],
        "trace_id": scope.get(TRACE_ID, ""),
    }
    if errors:
        body["errors"] = [{"pointer": pointer, "detail": text} for pointer, text in errors]
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(content, status, media_type=MEDIA_TYPE, headers={"cache-control": "no-store", **(headers or {})})


async def _on_problem(request: Request, exception: Exception) -> Response:
    assert isinstance(exception, ProblemRaised)  # noqa: S101 - how the handler is registered
    e = exception
    return problem_response(request.scope, e.slug, e.detail, status=e.status, headers=e.headers, errors=e.errors)


async def _on_validation(request: Request, exception: Exception) -> Response:
    assert isinstance(exception, RequestValidationError)  # noqa: S101 - how the handler is registered
    errors = [("#/" + "/".join(map(str, e["loc"])), _advice(e)) for e in exception.errors()]
    first = exception.errors()[0]
    detail = f"{first['loc'][-1]}: {errors[0][1]}"
    return problem_response(request.scope, "invalid-parameter", detail, errors=errors)


def _advice(error: Mapping[str, Any]) -> str:
    """What was given and what is accepted, in our words (api.parameters)."""
    if error["type"] == "extra_forbidden":
        return "this parameter is not known here: remove it"
    if error["type"] == "missing":
        return "this parameter is needed"
    given = str(error["input"])
    shown = repr(given[:_SHOWN]) + ("…" if len(given) > _SHOWN else "")
    words = error.get("ctx", {}).get("error", UNEXPLAINED)
    return f"{shown} is not accepted: {words}"


async def _on_http(request: Request, exception: Exception) -> Response:
    assert isinstance(exception, HTTPException)  # noqa: S101 - how the handler is registered
    if exception.status_code == http.HTTPStatus.NOT_FOUND:
        return problem_response(request.scope, "not-found", "No such path; /docs lists every one.")
    if exception.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        return _method_not_allowed(request, exception.headers or {})
    return plain_problem(request.scope, exception.status_code, exception.detail, exception.headers)


def _method_not_allowed(request: Request, headers: Mapping[str, str]) -> Response:
    methods = {m.strip() for m in headers.get("Allow", "GET").split(",")} | {"OPTIONS"}
    for route in request.app.routes:  # a path may have one route for each of its methods
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    allow = {"allow": ", ".join(sorted(methods))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    return plain_problem(
        request.scope, 405, f"{request.method} is not possible here; use one of {allow['allow']}.", allow
    )


def install(app: FastAPI) -> None:
    """Let ``app`` answer every error as a problem."""
    app.add_exception_handler(ProblemRaised, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
