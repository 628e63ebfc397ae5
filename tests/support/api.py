"""The API under test: a real app over a really built generation, and the contract's shapes.

``Api`` speaks to the app in process; ``tests/api/test_server.py`` speaks to a real server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from api.app import create_app
from api.auth import demo_token
from api.scopes import Role, Scope
from store.settings import Settings
from tests.support.serving import feed_item, recommendation, sample_frames, small_generation, table, user

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT.parent / "shared" / "spec" / "api-shapes.schema.json"

READER, EXACT, SUGGESTED, EMPTY, DORMANT, ONE_MORE, GONE, UNKNOWN = 1, 2, 3, 4, 5, 6, 7, 999
"""45 feed items; exactly 20; only suggested ones; none; not computed; 21; deactivated; never seen."""
ITEMS = {READER: 45, EXACT: 20, SUGGESTED: 2, EMPTY: 0, ONE_MORE: 21}


def frames() -> dict[str, Any]:
    """The sample frames with feeds and recommendations of the lengths in :data:`ITEMS`."""
    made = sample_frames()
    items = [
        feed_item(viewer, mode, n, reason="suggested" if viewer == SUGGESTED else "friend")
        for viewer, count in ITEMS.items()
        for mode in ("ranked", "chronological")
        for n in range(1, count + 1)
        if not (viewer == SUGGESTED and mode == "chronological")
    ]
    made["feed_items"] = table("feed_items", items)
    others = [user(1000 + n) for n in range(45)]
    made["staged_users"] = table("staged_users", [*made["staged_users"].collect().to_dicts(), *others])
    made["friend_recommendations"] = table(
        "friend_recommendations",
        [recommendation(viewer, n, 1000 + n - 1) for viewer in (READER, EXACT) for n in range(1, ITEMS[viewer] + 1)],
    )
    return made


class Api:
    """One app, started; calls run on its own event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self._loop = asyncio.new_event_loop()
        self._lifespan = self.app.router.lifespan_context(self.app)
        self._loop.run_until_complete(self._lifespan.__aenter__())
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://api", headers={"accept-encoding": "identity"}
        )

    def close(self) -> None:
        """Stop the app."""
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._lifespan.__aexit__(None, None, None))
        self._loop.close()

    def refresh(self) -> None:
        """Look for a new generation now."""
        self.app.state.runtime.refresh()

    def token(self, subject: int | str, role: Role = "user", scopes: set[Scope] | None = None) -> str:
        """A token of the demo key."""
        return demo_token(self.settings, subject, role=role, scopes=scopes)

    def request(
        self, method: str, path: str, *, token: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Send one request."""
        sent = dict(headers or {}) | ({"authorization": f"Bearer {token}"} if token else {})
        return self._loop.run_until_complete(self._client.request(method, path, headers=sent, **more))

    def get(self, path: str, user: int | None = None, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """GET ``path``, as ``user`` when given."""
        return self.request("GET", path, token=None if user is None else self.token(user), headers=headers)

    def read(self, path: str, user: int) -> dict[str, Any]:
        """The JSON of a 200 for ``user``."""
        response = self.get(path, user)
        assert response.status_code == 200, response.text
        return dict(response.json())


@contextmanager
def running(settings: Settings) -> Iterator[Api]:
    """An app over ``settings.home`` as it stands."""
    api = Api(settings)
    try:
        yield api
    finally:
        api.close()


@contextmanager
def published(home: Path, **settings: Any) -> Iterator[Api]:
    """An app over a home with one generation of :func:`frames`."""
    small_generation(home, frames=frames())
    with running(Settings(home=home, env="test", **settings)) as api:
        yield api


@cache
def _validators() -> dict[str, Draft202012Validator]:
    document = json.loads(SHAPES.read_text())
    return {
        name: Draft202012Validator(
            {"$ref": f"#/$defs/{name}", "$defs": document["$defs"]}, format_checker=FormatChecker()
        )
        for name in document["$defs"]
    }


def contract() -> dict[str, Any]:
    """The contract's shapes; skips the test when they are not beside the project."""
    if not SHAPES.exists():
        pytest.skip("the API contract (shared/spec/api-shapes.schema.json) is not beside the project")
    document: dict[str, Any] = json.loads(SHAPES.read_text())
    return document


def assert_shape(name: str, value: Any) -> None:
    """Fail with every difference between ``value`` and the contract's shape ``name``."""
    contract()
    problems = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in _validators()[name].iter_errors(value)]
    assert problems == []
