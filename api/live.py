"""``WS /v2/live``: hints that data have changed, to idle connections by the thousand (spec 06.2).

Lives here: the handshake, the bounds, and the wheel whose one task pings, hints and expires every connection of a
worker. Does not belong here: what changed (the client asks ``/v2/me/feed/delta``), verifying tokens (api.auth).

A connection sits in one slot of the wheel. One turn takes ``API__LIVE_SPREAD_SECONDS``: a new generation is told to
the connections of a slot when its turn comes, so clients learn of it spread over that time, and each is pinged twice
a turn. Nothing is kept for who is away: a hint compares what a client was told last with what is served now.
The token travels in a subprotocol, which no page of another origin can know: there is no cookie to ride on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from api.auth import Principal, TokenExpired, TokenInvalid
from api.feed import FEEDS
from api.instruments import LIVE_CLOSED, LIVE_CONNECTIONS, LIVE_EVENTS
from api.pages import Listing, row_of
from api.problems import plain_problem
from api.runtime import Runtime
from store.payloads import FeedChanged, GenerationChanged, Ping
from store.serving import Dataset, Generation, is_generation_id

PATH: Final = "/v2/live"
PROTOCOL: Final = "flowforge.v2"
BEARER: Final = "bearer."
BAD_TOKEN, EXPIRED, TOO_MANY, TOO_SLOW = 4401, 4408, 4429, 1008
SLOTS: Final = 240
CLOSE_SECONDS: Final = 5.0

_UNSEEN: Final = b'"is_unseen":true'
_PING: Final = Ping(type="ping").model_dump_json()
_LOG: Final = logging.getLogger("flowforge.api")
_Tags = tuple[str | None, ...]


@dataclass(slots=True, eq=False)
class Connection:
    """One client: what it was told last, and its task."""

    principal: Principal
    send: Send
    task: asyncio.Task[None]
    told: str | None
    tags: _Tags
    """Entity tags of the user's feeds in the generation told."""
    sending: asyncio.Task[None] | None = field(default=None)
    close_code: int | None = field(default=None)

    def end(self, code: int) -> None:
        """Have its task close the connection: granian cannot close while another task waits to receive."""
        if self.close_code is None:
            self.close_code = code
            self.task.cancel()


class Live:
    """The connections of one worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        api = runtime.settings.api
        self._most, self._most_each = api.live_per_worker, api.live_per_principal
        self._tick = api.live_spread_seconds / SLOTS
        self._slots: list[set[Connection]] = [set() for _ in range(SLOTS)]
        self._expiring: dict[int, set[Connection]] = {}
        self._of: Counter[str] = Counter()
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from its handshake to its end."""
        await receive()
        offered: Sequence[str] = scope.get("subprotocols") or ()
        if PROTOCOL not in offered:
            detail = f"Offer the subprotocols {PROTOCOL} and {BEARER}<token>."
            await plain_problem(scope, 400, detail)(scope, receive, send)
            return
        principal, refusal = await self._admitted(offered)
        if principal is None:
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            await _close(send, refusal)
            return
        with self._counted(principal):
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            told, tags = await self._last_told(principal, scope["query_string"])
            task = cast("asyncio.Task[None]", asyncio.current_task())
            connection = Connection(principal, send, task, told, tags)
            with self._in_the_wheel(connection):
                await self._listen(connection, receive)

    async def _admitted(self, offered: Sequence[str]) -> tuple[Principal | None, int]:
        """The user who connects; else None and the code to close with."""
        token = next((each[len(BEARER) :] for each in offered if each.startswith(BEARER)), "")
        try:
            principal = self._runtime.verifier.verify(token)
        except TokenExpired:
            return None, EXPIRED
        except TokenInvalid:
            return None, BAD_TOKEN
        if principal.user_id is None or principal.role != "user":
            return None, BAD_TOKEN
        verdict = await self._runtime.limits.admit(principal)
        if not verdict.is_admitted or self._count >= self._most or self._of[principal.key] >= self._most_each:
            return None, TOO_MANY
        return principal, 0

    async def _last_told(self, principal: Principal, query: bytes) -> tuple[str | None, _Tags]:
        """What the client knows already: the generation in ``since``, else the one that is served."""
        current = self._runtime.generations.current()
        since = parse_qs(query.decode("latin-1")).get("since", [""])[0]
        if not is_generation_id(since) or (current is not None and since == current.id):
            return (None, (None, None)) if current is None else (current.id, self._tags(current, principal))
        known = await asyncio.to_thread(self._runtime.generations.get, since)
        return since, (None, None) if known is None else self._tags(known, principal)

    @contextlib.contextmanager
    def _counted(self, principal: Principal) -> Iterator[None]:
        """Count a connection against the bounds for the block."""
        self._of[principal.key] += 1
        self._count += 1
        LIVE_CONNECTIONS.inc()
        try:
            yield
        finally:
            LIVE_CONNECTIONS.dec()
            self._count -= 1
            self._of[principal.key] -= 1
            if not self._of[principal.key]:
                del self._of[principal.key]

    @contextlib.contextmanager
    def _in_the_wheel(self, connection: Connection) -> Iterator[None]:
        """Ping, hint and expire ``connection`` during the block."""
        second = int(connection.principal.expires_at)
        slot = self._slots[random.randrange(SLOTS)]  # noqa: S311 - spreads load, hides nothing
        expiring = self._expiring.setdefault(second, set())
        for place in (slot, expiring):
            place.add(connection)
        try:
            yield
        finally:
            for place in (slot, expiring):
                place.discard(connection)
            if not expiring:
                self._expiring.pop(second, None)

    async def _listen(self, connection: Connection, receive: Receive) -> None:
        """Until the client goes or is sent away. Clients have nothing to say; what they send counts as a request."""
        try:
            while (await receive())["type"] != "websocket.disconnect":
                if not self._runtime.limits.admit_here(connection.principal).is_admitted:
                    connection.close_code = TOO_MANY
                    break
        except asyncio.CancelledError:
            if connection.close_code is None:
                raise
        if connection.sending is not None:
            connection.sending.cancel()
        if connection.close_code is not None:
            await _close(connection.send, connection.close_code)

    @contextlib.asynccontextmanager
    async def turning(self) -> AsyncIterator[None]:
        """Turn the wheel until the block ends."""
        task = asyncio.create_task(self._turn())
        try:
            yield
        finally:
            for each in [task, *(c.task for slot in self._slots for c in slot)]:
                each.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _turn(self) -> None:
        slot, due = 0, time.monotonic()
        while True:
            due = max(due + self._tick, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            try:
                self._tell(slot)
                self._expire(time.time())
            except Exception:
                _LOG.exception("live: a slot of the wheel failed")
            slot = (slot + 1) % SLOTS

    def _tell(self, slot: int) -> None:
        """Hints and pings of one slot, and pings of the opposite one."""
        current = self._runtime.generations.current()
        changed = "" if current is None else _changed(current)
        for connection in self._slots[slot]:
            events = (
                [] if current is None or connection.told == current.id else self._news(connection, current, changed)
            )
            self._say(connection, [*events, _PING])
        for connection in self._slots[(slot + SLOTS // 2) % SLOTS]:
            self._say(connection, [_PING])

    def _news(self, connection: Connection, current: Generation, changed: str) -> list[str]:
        """What a client has to be told of ``current``; notes that it was."""
        principal, before = connection.principal, connection.tags
        connection.tags, connection.told = self._tags(current, principal), current.id
        events = [changed]
        for (mode, listing), old, new in zip(FEEDS.items(), before, connection.tags, strict=True):
            if old != new:
                unseen = self._unseen(current, listing, principal)
                said = FeedChanged(type="feed_changed", generation=current.id, mode=mode, unseen_count=unseen)
                events.append(said.model_dump_json())
        return events

    def _tags(self, generation: Generation, principal: Principal) -> _Tags:
        """The entity tags of the user's feeds; None for one that is not there or not theirs to read."""
        found = (self._feed(generation, listing, principal) for listing in FEEDS.values())
        return tuple(None if each is None else each[0].etag(each[1]) for each in found)

    def _unseen(self, generation: Generation, listing: Listing, principal: Principal) -> int:
        """How many items of a feed the user has not seen, without those withheld."""
        found = self._feed(generation, listing, principal)
        if found is None:
            return 0
        dataset, row = found
        places = self._runtime.withholding.of(generation, dataset, row).places
        return sum(_UNSEEN in item for place, item in enumerate(dataset.fragments(row)) if place not in places)

    def _feed(self, generation: Generation, listing: Listing, principal: Principal) -> tuple[Dataset, int] | None:
        if principal.user_id is None or "feed:read" not in principal.scopes:
            return None
        return row_of(self._runtime, generation, listing.dataset, principal.user_id)

    def _say(self, connection: Connection, events: list[str]) -> None:
        """Send in a task of its own, so that nobody waits for a slow client; one still behind is sent away."""
        if connection.sending is not None:
            connection.end(TOO_SLOW)
            return
        connection.sending = asyncio.create_task(_said(connection, events))

    def _expire(self, now: float) -> None:
        for second in [s for s in self._expiring if s < now]:
            for connection in self._expiring[second]:
                if connection.principal.expires_at <= now:
                    connection.end(EXPIRED)


def _changed(current: Generation) -> str:
    return GenerationChanged(type="generation", generation=current.id, as_of=current.as_of_text).model_dump_json()


async def _said(connection: Connection, events: list[str]) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # the client has gone: its own task ends as well
        for event in events:
            await connection.send({"type": "websocket.send", "text": event})
    LIVE_EVENTS.inc(len(events))
    connection.sending = None


async def _close(send: Send, code: int) -> None:
    """Close with ``code``; a client that does not answer is not waited for."""
    LIVE_CLOSED.labels(str(code)).inc()
    with contextlib.suppress(OSError, RuntimeError, asyncio.TimeoutError):
        await asyncio.wait_for(_sent(send, code), CLOSE_SECONDS)


async def _sent(send: Send, code: int) -> None:
    await send({"type": "websocket.close", "code": code})
