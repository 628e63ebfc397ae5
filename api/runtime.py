"""What a running API holds: settings, the followed generations, the token verifier, the cursor keys.

Lives here: that one object, and the task that keeps it fresh off the event loop. Does not belong here:
anything of a single request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

from fastapi import Request

from api.auth import Verifier
from api.keyring import KeyRing
from api.limits import Limits
from api.problems import ProblemRaised
from store.payloads import cursor_keys, unsubscribe_keys
from store.serving import Generation, Generations
from store.settings import Settings

POLL_SECONDS: Final = 0.25
_LOG: Final = logging.getLogger("flowforge.api")


class Runtime:
    """Made once per process from the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.generations = Generations(settings.home)
        self.keys = KeyRing(settings)
        self.verifier = Verifier(settings, self.keys)
        self.limits = Limits(settings)
        configured = [key.get_secret_value() for key in settings.secret.cursor_keys]
        self.cursor_keys = cursor_keys(settings.home, configured)
        configured = [key.get_secret_value() for key in settings.secret.unsubscribe_keys]
        self.unsubscribe_keys = unsubscribe_keys(settings.home, configured)

    def refresh(self) -> None:
        """Look for a new generation. Blocks: call it off the event loop."""
        before = self.generations.last_error
        if self.generations.refresh():
            current = self.generations.current()
            _LOG.info("serving generation %s", current.id if current else None)
        if self.generations.last_error not in (None, before):
            _LOG.error("the newest generation is not served: %s", self.generations.last_error)

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Open what is live, then poll every 250 ms until the block ends. Keys by themselves: a URL may be slow."""
        await asyncio.to_thread(self.refresh)
        tasks = [asyncio.create_task(self._poll(look)) for look in (self.refresh, self.keys.refresh)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await self.limits.close()

    async def _poll(self, look: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await asyncio.to_thread(look)
            except Exception:
                _LOG.exception("polling failed; what is served stays")

    def current(self) -> Generation:
        """The generation served now; raises a 503 problem before the first one."""
        generation = self.generations.current()
        if generation is None:
            detail = "No data have been published yet: ask again after Retry-After seconds."
            raise ProblemRaised("not-ready", detail, headers={"retry-after": "5"})
        return generation


def runtime_of(request: Request) -> Runtime:
    """The runtime of the app that answers ``request``."""
    return cast(Runtime, request.app.state.runtime)


def generation_of(request: Request) -> Generation:
    """The generation that answers ``request``: looked up once, so that no answer mixes two."""
    found: Generation | None = getattr(request.state, "generation", None)
    if found is None:
        found = runtime_of(request).current()
        request.state.generation = found
    return found
