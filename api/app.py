"""The app: routes, problems, docs and the edge put together (spec 06).

Lives here: :func:`create_app`. Does not belong here: starting a server (api.server), any single path.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from api import docs, explorer, problems, routes
from api.cors import Cors
from api.edge import Edge
from api.hot import Hot
from api.instruments import handing_over
from api.live import PATH, Live
from api.runtime import Runtime
from api.tracing import traced
from store.settings import Settings, load_settings


def create_app(settings: Settings) -> FastAPI:
    """The API over the generations below ``settings.home``.

    Raises ``api.keyring.KeysUnusable`` when no key can verify tokens (production without a JWKS).
    """
    runtime = Runtime(settings)
    live = Live(runtime)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with runtime.kept_fresh(), live.turning(), handing_over():
            yield

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.runtime = runtime
    problems.install(app)
    routes.install(app)
    docs.install(app)
    if settings.explorer.enabled:
        explorer.install(app)
    app.router.routes.append(WebSocketRoute(PATH, live))
    app.add_middleware(Edge, settings=settings)
    if settings.api.cors_origins:
        app.add_middleware(Cors, origins=settings.api.cors_origins)
    return app


def app_from_environment() -> ASGIApp:
    """What server workers call: the hot paths, and behind them the app of the settings in the environment."""
    hot = Hot(create_app(load_settings()))
    return traced(hot, hot.paths)
