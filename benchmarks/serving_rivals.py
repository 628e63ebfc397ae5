"""The servers that the API is measured against, each as its users would write it (``bench_serving.py`` runs them).

``python -m benchmarks.serving_rivals NAME PORT``: one granian worker, with the API's own bounds. Does not belong here:
measuring.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from granian import Granian
from granian.constants import Interfaces
from sqlalchemy import BigInteger, String, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from api.auth import Principal, TokenInvalid, Verifier
from api.keyring import KeyRing
from api.server import BACKLOG, HTTP1
from store.payloads import FeedItem, FeedPage
from store.settings import load_settings


def pages() -> dict[str, Any]:
    """Viewer to the feed page that the API gives: what ``bench_serving.py`` wrote down."""
    found: dict[str, Any] = json.loads(Path(os.environ["BENCH_PAGES"]).read_text())
    return found


def bare() -> Any:
    """The limit: an ASGI app that sends constant bytes and looks at nothing."""
    body = bytes(int(os.environ["BENCH_BODY_BYTES"]))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _principal() -> Any:
    settings = load_settings()
    verifier = Verifier(settings, KeyRing(settings))

    async def principal(request: Request) -> Principal:
        try:
            return verifier.verify(request.headers.get("authorization", "").removeprefix("Bearer "))
        except TokenInvalid as error:
            raise HTTPException(401, str(error)) from error

    return principal


def fastapi_model() -> Any:
    """FastAPI with ``response_model``; the rows come from memory."""
    app, kept, principal = FastAPI(), pages(), _principal()

    @app.get("/v2/me/feed", response_model=FeedPage)
    async def feed(who: Principal = Depends(principal)) -> Any:  # noqa: B008 - as its users write it
        return kept[who.subject]

    return app


class Base(DeclarativeBase):
    """The rival's own table."""


class Row(Base):
    """One feed item, as an app that computes nothing ahead of the request would keep it."""

    __tablename__ = "bench_feed_items"
    viewer_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    sort_key: Mapped[str] = mapped_column(String, primary_key=True)
    item: Mapped[dict[str, Any]] = mapped_column(JSONB)


def fastapi_postgres() -> Any:
    """FastAPI with ``response_model``, SQLAlchemy async, asyncpg and Postgres: the idiomatic stack."""
    engine = create_async_engine(os.environ["BENCH_POSTGRES"], pool_size=10)
    sessions, principal, app = async_sessionmaker(engine), _principal(), FastAPI()
    head = next(iter(pages().values()))

    async def session() -> Any:
        async with sessions() as opened:
            yield opened

    @app.get("/v2/me/feed", response_model=FeedPage)
    async def feed(
        who: Principal = Depends(principal),  # noqa: B008 - as its users write it
        database: AsyncSession = Depends(session),  # noqa: B008
    ) -> Any:
        query = select(Row).where(Row.viewer_id == int(who.subject)).order_by(Row.sort_key).limit(20)
        items = [FeedItem.model_validate(row.item) for row in await database.scalars(query)]
        return FeedPage.model_validate(head | {"data": items})

    return app


def main() -> None:
    """Serve one rival."""
    name, port = sys.argv[1], int(sys.argv[2])
    target = f"benchmarks.serving_rivals:{name}"
    Granian(
        target,
        factory=True,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        backlog=BACKLOG,
        http1_settings=HTTP1,
    ).serve()


if __name__ == "__main__":
    main()
