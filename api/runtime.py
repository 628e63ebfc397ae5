"""What a running API holds: settings, the followed generations, the token verifier, the cursor keys.

Lives here: that one object, and the task that keeps it fresh off the event loop. Does not belong here:
anything of a single request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

from fastapi import Request

from api.auth import Verifier
from api.keyring import KeyRing
from api.limits import Limits
from api.problems import ProblemRaised
from api.withholding import Withholding
from store.payloads import cursor_keys, unsubscribe_keys
from store.revocations import Revocations
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
        self.revocations = Revocations(settings.home, settings.revocations_mode, settings.revocations.stale_seconds)
        self.withholding = Withholding(self.revocations)
        self._is_alarmed = False
        self._begun = time.monotonic()
        configured = [key.get_secret_value() for key in settings.secret.cursor_keys]
        self.cursor_keys = cursor_keys(settings.home, configured)
        configured = [key.get_secret_value() for key in settings.secret.unsubscribe_keys]
        self.unsubscribe_keys = unsubscribe_keys(settings.home, configured)

    def refresh(self) -> None:
        """Look for a new generation and for newer revocations. Blocks: call it off the event loop."""
        self._refresh_generations()
        self._refresh_revocations()

    def _refresh_generations(self) -> None:
        before = self.generations.last_error
        if self.generations.refresh():
            current = self.generations.current()
            _LOG.info("serving generation %s", current.id if current else None)
        if self.generations.last_error not in (None, before):
            _LOG.error("the newest generation is not served: %s", self.generations.last_error)

    def _refresh_revocations(self) -> None:
        self.revocations.refresh()
        current = self.generations.current()
        for as_of in set() if current is None else {dataset.as_of for dataset in current.info.datasets}:
            self.revocations.view(as_of)  # arranged here, off the event loop
        self._watch_revocations()

    def _watch_revocations(self) -> None:
        """Say once when revocations grow older than the alert's bound, and once when they are fresh again.

        A tailer is started with the server: it has the same bound from then on for its first reading.
        """
        age, limit = self.revocations.age_seconds(), self.settings.revocations.alert_seconds
        has_had_time = time.monotonic() - self._begun > limit
        is_late = self.revocations.mode != "off" and has_had_time and (age is None or age > limit)
        if is_late and not self._is_alarmed:
            told = "were never read" if age is None else f"are {age:.0f} s old"
            _LOG.error("revocations %s, alert from %g s: is `flowforge revocations` running? %s",
                       told, limit, self.revocations.last_error or "")  # fmt: skip
        elif self._is_alarmed and not is_late:
            _LOG.info("revocations are fresh again")
        self._is_alarmed = is_late

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Open what is live, then poll every 250 ms until the block ends.

        Each look by itself: a URL of keys may be slow, and reading a large generation takes seconds.
        """
        await asyncio.to_thread(self.refresh)
        looks = (self._refresh_generations, self._refresh_revocations, self.keys.refresh)
        tasks = [asyncio.create_task(self._poll(look)) for look in looks]
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
