"""The docs: ``/openapi.json`` (OpenAPI 3.1) and ``/docs``, with every file served from here, no CDN (spec 06.2).

``python -m api.docs`` prints the document. Does not belong here: what a path does (its handler's docstring).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import fastapi_offline
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from api import routes
from api.examples import add_examples
from api.problems import KINDS, MEDIA_TYPE, title_of
from api.scopes import DESCRIPTIONS, SCOPES
from store.payloads import Problem

STATIC: Final = Path(fastapi_offline.__file__).parent / "static"
ASSETS: Final = "/docs/assets"

_DESCRIPTION: Final = """Precomputed feeds, friend recommendations, digests, entitlements and metrics.

Ids are strings; every field is always present. Lists carry a `state`: `ready`, `empty`, `cold_start`,
`building` (ask again after `Retry-After`) or `degraded`. Errors are `application/problem+json` (RFC 9457).
Answers carry a weak `ETag`: send it as `If-None-Match` to get 304. v1 is deprecated; see its `Sunset` header.
"""


def install(app: FastAPI) -> None:
    """Serve the docs of ``app``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend the schema
    app.mount(ASSETS, StaticFiles(directory=STATIC), name="docs-assets")
    app.add_api_route("/docs", _page, methods=["GET"], include_in_schema=False)
    app.add_api_route("/openapi.json", _document, methods=["GET"], include_in_schema=False)


async def _page(request: Request) -> Response:
    root = request.scope.get("root_path", "")
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="FlowForge API",
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
        swagger_ui_parameters={"validatorUrl": "none", "tryItOutEnabled": True},
    )


async def _document(request: Request) -> Response:
    """The document; made once, off the event loop, because that takes a good part of a second."""
    return JSONResponse(await asyncio.to_thread(request.app.openapi))


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: what the routes say, the bearer scheme with its scopes, and the problem shape."""
    document = get_openapi(
        title="FlowForge API", version="2", openapi_version="3.1.0", description=_DESCRIPTION, routes=app.routes
    )
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _without_null(parameter["schema"])
        operation["responses"] = _with_the_edges(operation["responses"])
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": _scheme_description(),
        }
    }
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    components["schemas"] = {name: schemas[name] for name in sorted(schemas)}
    add_examples(document)
    return document


def openapi_text() -> str:
    """The document as it is kept under docs/, to be compared at every change."""
    app = FastAPI()
    routes.install(app)
    return json.dumps(described(app), indent=2, ensure_ascii=False) + "\n"


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _with_the_edges(responses: dict[str, Any]) -> dict[str, Any]:
    """With what any request may be answered before or beside its operation (api.edge)."""
    told = {str(status): title_of(status) for status in (413, 414, 431)} | {"500": KINDS["internal"][1]}
    described = {
        status: {
            "description": title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, title in told.items()
    }
    every = described | responses
    return {status: every[status] for status in sorted(every)}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a query parameter: one that is left out is not null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "title", "description")}
    return rest | kinds[0] if len(kinds) == 1 else rest


def _scheme_description() -> str:
    lines = ["Scopes:"] + [f"- `{scope}`: {text}" for scope, text in DESCRIPTIONS.items()]
    lines += ["", "Roles:"] + [f"- `{role}`: {', '.join(sorted(s)) or 'none'}" for role, s in SCOPES.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(openapi_text())
