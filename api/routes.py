"""The routes: every path of the API with its scope, shape and errors, in one table (spec 06.2).

Lives here: what is served where. Does not belong here: how (the other modules), or the middleware (api.app).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel

from api import delta, digests, feed, generations, health, instruments, metrics, recommendations, unsubscribe, usage, v1
from api.access import authorized, named_user, token_owner
from api.conditional import JSON
from api.problems import KINDS, MEDIA_TYPE
from api.scopes import Scope
from store import payloads
from store.payloads import METRICS

Handler = Callable[..., Awaitable[Response]]
Target = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Personal:
    """A path about one person: under ``/v2/me`` and under ``/v2/users/{user_id}``."""

    path: str
    handler: Handler
    scope: Scope
    model: type[BaseModel]
    tag: str
    media_types: tuple[str, ...] = (JSON,)
    is_paged: bool = False
    has_absent: bool = False


PERSONAL: Final = (
    Personal("/feed", feed.feed, "feed:read", payloads.FeedPage, "feed", is_paged=True),
    Personal("/feed/delta", delta.feed_delta, "feed:read", payloads.FeedDelta, "feed"),
    Personal(
        "/recommendations/friends",
        recommendations.friend_recommendations,
        "recommendations:read",
        payloads.FriendRecommendationPage,
        "recommendations",
        is_paged=True,
    ),
    Personal("/digests", digests.digests, "digests:read", payloads.DigestPage, "digests", is_paged=True),
    Personal(
        "/digests/{digest_id}",
        digests.digest,
        "digests:read",
        payloads.DigestDetail,
        "digests",
        media_types=(JSON, digests.HTML),
        has_absent=True,
    ),
    Personal("/entitlements", usage.entitlements, "usage:read", payloads.EntitlementList, "usage"),
    Personal(
        "/entitlements/{feature_key}",
        usage.entitlement,
        "usage:read",
        payloads.EntitlementOne,
        "usage",
        has_absent=True,
    ),
    Personal("/usage", usage.usage, "usage:read", payloads.UsageList, "usage"),
)


@dataclass(frozen=True, slots=True)
class Former:
    """A deprecated path of v1, about the token's owner."""

    path: str
    handler: Handler
    scope: Scope
    model: type[BaseModel]


FORMER: Final = (
    Former("/v1/feed", v1.v1_feed, "feed:read", payloads.V1Feed),
    Former("/v1/recommendations", v1.v1_recommendations, "recommendations:read", payloads.V1Recommendations),
    Former("/v1/digests", v1.v1_digests, "digests:read", payloads.V1Digests),
    Former("/v1/usage", v1.v1_usage, "usage:read", payloads.V1Usage),
)


def install(app: FastAPI) -> None:
    """Add every path to ``app``."""
    for entry in PERSONAL:
        _add_personal(app, entry)
    for metric in METRICS:
        _add(
            app,
            f"/v2/metrics/{metric}",
            metrics.HANDLERS[metric],
            payloads.MetricPage,
            scopes=("metrics:read",),
            tag="metrics",
            media_types=(JSON, metrics.CSV),
        )
    operations: tuple[tuple[str, Handler, type[BaseModel]], ...] = (
        ("/v2/generations", generations.generations, payloads.GenerationList),
        ("/v2/generations/current", generations.current_generation, payloads.Generation),
    )
    for path, handler, model in operations:
        _add(app, path, handler, model, scopes=("operations:read",), tag="operations")
    for former in FORMER:
        _add(
            app,
            former.path,
            former.handler,
            former.model,
            scopes=(former.scope,),
            tag="v1",
            target=token_owner,
            is_deprecated=True,
        )
    unsubscribe.install(app)
    _add_health(app)


def _add_personal(app: FastAPI, entry: Personal) -> None:
    absent = (404,) if entry.has_absent else ()
    places: tuple[tuple[str, Target, tuple[Scope, ...], tuple[int, ...]], ...] = (
        ("/v2/me", token_owner, (entry.scope,), absent),
        ("/v2/users/{user_id}", named_user, ("users:read", entry.scope), (404,)),
    )
    for prefix, target, scopes, codes in places:
        _add(
            app,
            prefix + entry.path,
            entry.handler,
            entry.model,
            scopes=scopes,
            tag=entry.tag,
            media_types=entry.media_types,
            target=target,
            codes=((400,) if entry.is_paged else ()) + codes,
        )


def _add(
    app: FastAPI,
    path: str,
    handler: Handler,
    model: type[BaseModel],
    *,
    scopes: tuple[Scope, ...],
    tag: str,
    media_types: tuple[str, ...] = (JSON,),
    target: Target | None = None,
    codes: tuple[int, ...] = (),
    is_deprecated: bool = False,
) -> None:
    dependencies = [Depends(authorized(*scopes))] + ([Depends(target)] if target is not None else [])
    app.add_api_route(
        path,
        handler,
        methods=["GET"],
        response_model=model,
        response_class=Response,
        responses=_responses(model, media_types, (401, 403, 406, 422, 429, 503, *codes)),
        dependencies=dependencies,
        tags=[tag],
        operation_id=_operation_id(path),
        deprecated=is_deprecated or None,
        openapi_extra={"security": [{"bearer": list(scopes)}]},
    )


def _operation_id(path: str) -> str:
    return "get_" + path.strip("/").replace("{", "").replace("}", "").replace("/", "_")


def _responses(model: type[BaseModel], media_types: tuple[str, ...], codes: tuple[int, ...]) -> dict[int | str, Any]:
    content: dict[str, Any] = {JSON: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    content |= {media_type: {"schema": {"type": "string"}} for media_type in media_types if media_type != JSON}
    described: dict[int | str, Any] = {
        200: {"description": "The data.", "content": content, "headers": _DATA_HEADERS},
        304: {"description": "Unchanged since the ETag in If-None-Match.", "headers": _DATA_HEADERS},
    }
    titles = dict(KINDS.values())
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for code in sorted(codes):
        described[code] = {"description": titles[code], "content": problem}
    return described


_DATA_HEADERS: Final = {
    "ETag": {"description": "Weak; over data and state.", "schema": {"type": "string"}},
    "X-Data-Generation": {"description": "The generation that answered.", "schema": {"type": "string"}},
    "X-Data-As-Of": {"description": "Its instant.", "schema": {"type": "string", "format": "date-time"}},
}


def _add_health(app: FastAPI) -> None:
    app.add_api_route(
        "/livez",
        health.livez,
        methods=["GET"],
        response_class=Response,
        tags=["health"],
        operation_id="get_livez",
        responses={200: {"description": "The process answers.", "content": {}}},
    )
    app.add_api_route(
        "/metrics",
        instruments.metrics,
        methods=["GET"],
        response_class=Response,
        tags=["health"],
        operation_id="get_metrics",
        responses={200: {"description": "Counts and gauges for Prometheus.", "content": {"text/plain": {}}}},
    )
    ready = {JSON: {"schema": {"$ref": "#/components/schemas/Ready"}}}
    app.add_api_route(
        "/readyz",
        health.readyz,
        methods=["GET"],
        response_model=payloads.Ready,
        response_class=Response,
        tags=["health"],
        operation_id="get_readyz",
        responses={
            200: {"description": "Data are served.", "content": ready},
            503: {"description": "No data are served yet.", "content": ready},
        },
    )
