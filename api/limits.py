"""How often a principal may ask: GCRA, in this process or shared through Redis (spec 06.2).

Lives here: the algorithm, its two stores, the RateLimit headers. Does not belong here: who is asking
(api.auth), or the answer 429 (api.access).

Source: the generic cell rate algorithm, ITU-T I.371 (2004), A.2; headers: draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.auth import Principal
from store.settings import Settings

MAX_TRACKED: Final = 100_000
LEAST_TRACKED: Final = 4_096
MAX_VERDICTS: Final = 4_096
REDIS_TIMEOUT_SECONDS: Final = 0.1
REDIS_PAUSE_SECONDS: Final = 1.0
_SECOND: Final = 1_000_000_000
_LOG: Final = logging.getLogger("flowforge.api")

# The server's clock decides, so that hosts need not agree on the time. Microseconds: Lua numbers are doubles.
_SHARED: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local step, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + step
local admits_at = full_at - burst
if admits_at > now then return {0, admits_at - now, full_at - step - now} end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return {1, now - admits_at, full_at - now}
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds: all at once if need be, then as they flow back."""

    name: str
    requests: int
    seconds: int
    step: int = field(init=False)
    """Nanoseconds in which one request flows back."""
    label: bytes = field(init=False)
    policy: tuple[bytes, bytes] = field(init=False)
    """The header ``RateLimit-Policy``."""
    first: Verdict = field(init=False, repr=False, compare=False)
    """On a request of who has everything left, as most have."""
    _told: dict[tuple[int, int], Verdict] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """What every verdict needs, made once."""
        object.__setattr__(self, "step", max(self.seconds * _SECOND // self.requests, 1))
        object.__setattr__(self, "label", b'"%b"' % self.name.encode())
        said = b"%b;q=%d;w=%d" % (self.label, self.requests, self.seconds)
        object.__setattr__(self, "policy", (b"ratelimit-policy", said))
        object.__setattr__(self, "_told", {})
        object.__setattr__(self, "first", self.admission(self.requests - 1, self.step))

    def admission(self, remaining: int, full_nanoseconds: int) -> Verdict:
        """The verdict on a request that is admitted: kept, because to word it costs more than to judge."""
        left = remaining, _up(full_nanoseconds)
        known = self._told.get(left)
        if known is None:
            if len(self._told) >= MAX_VERDICTS:
                self._told.clear()
            known = self._told[left] = _verdict(True, self, *left)
        return known

    @classmethod
    def read(cls, name: str, text: str) -> Self:
        """The rate of a setting such as ``600/60``; raises ``ValueError`` naming it when a part is 0."""
        requests, seconds = map(int, text.split("/"))
        if not requests or not seconds:
            raise ValueError(f"FLOWFORGE_API__RATE_{name.upper()}={text}: both numbers must be positive")
        return cls(name, requests, seconds)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is admitted, and what is left."""

    is_admitted: bool
    rate: Rate
    remaining: int
    full_seconds: int
    """Until nothing is used up any more, rounded up."""
    retry_seconds: int
    """Until the next request is admitted, rounded up; 0 for one that is."""
    headers: tuple[tuple[bytes, bytes], tuple[bytes, bytes]]
    """``RateLimit-Policy`` and ``RateLimit``."""


def _verdict(is_admitted: bool, rate: Rate, remaining: int, full_seconds: int, retry_seconds: int = 0) -> Verdict:
    said = b"%b;r=%d;t=%d" % (rate.label, remaining, full_seconds)
    return Verdict(is_admitted, rate, remaining, full_seconds, retry_seconds, (rate.policy, (b"ratelimit", said)))


class Cells:
    """GCRA in memory: per key the instant at which it will be full again (the theoretical arrival time).

    A key that is full again is as good as one never seen: those are dropped whenever there are twice as many keys as
    were in use the last time, so that memory goes with who is asking now.
    """

    def __init__(self) -> None:
        self._full_at: dict[str, int] = {}
        self._room = LEAST_TRACKED

    def admit(self, key: str, rate: Rate, now: int) -> Verdict:
        """Judge a request of ``key`` at ``now`` (monotonic nanoseconds); a refused one uses nothing up."""
        step, standing = rate.step, self._full_at.get(key)
        if standing is None:
            if len(self._full_at) >= self._room:
                self._forget(now)
        elif standing > now:
            full_at = standing + step
            admits_at = full_at - rate.requests * step
            if admits_at > now:
                return _verdict(False, rate, 0, _up(standing - now), _up(admits_at - now))
            self._full_at[key] = full_at
            return rate.admission((now - admits_at) // step, full_at - now)
        self._full_at[key] = now + step
        return rate.first

    def _forget(self, now: int) -> None:
        """Drop keys that are full again; of too many in use, those that were added first."""
        used = [(key, at) for key, at in self._full_at.items() if at > now]
        self._full_at = dict(used[-MAX_TRACKED // 2 :])
        self._room = max(LEAST_TRACKED, 2 * len(self._full_at))


def _up(nanoseconds: int) -> int:
    return -(-nanoseconds // _SECOND)


class Limits:
    """The limits of one process: its own cells, or Redis where ``FLOWFORGE_REDIS__URL`` is set.

    While Redis does not answer, each process counts for itself: a request is never refused because of it.
    """

    def __init__(self, settings: Settings) -> None:
        self._user = Rate.read("user", settings.api.rate_user)
        self._service = Rate.read("service", settings.api.rate_service)
        self._cells = Cells()
        self._redis: Redis | None = None
        self.is_shared = settings.redis.url is not None
        """Whether other processes count with this one."""
        self._script: Any = None
        self._paused_until = 0.0
        self.last_error: str | None = None
        if settings.redis.url is not None:
            self._redis = Redis.from_url(
                settings.redis.url,
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            )
            self._script = self._redis.register_script(_SHARED)

    def admit_here(self, principal: Principal, now: int | None = None) -> Verdict:
        """Judge a request of ``now`` (monotonic nanoseconds) by this process's own count."""
        return self._cells.admit(principal.key, self._rate_of(principal), now or time.monotonic_ns())

    async def admit(self, principal: Principal) -> Verdict:
        """Judge a request."""
        if self._redis is None or time.monotonic() < self._paused_until:
            return self.admit_here(principal)
        rate = self._rate_of(principal)
        step = max(rate.step // 1000, 1)
        try:
            admitted, spare, full = await self._script(
                keys=[f"flowforge:rate:{principal.key}"], args=[step, step * rate.requests]
            )
        except (RedisError, OSError) as error:
            self._pause(error)
            return self.admit_here(principal)
        self.last_error = None
        if not admitted:
            return _verdict(False, rate, 0, _up(full * 1000), _up(spare * 1000))
        return rate.admission(int(spare // step), full * 1000)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.aclose()

    def _rate_of(self, principal: Principal) -> Rate:
        """Services have a rate of their own, everybody else a user's."""
        return self._service if principal.role == "service" else self._user

    def _pause(self, error: Exception) -> None:
        """Leave Redis alone for a moment: a request must not wait for a server that is down."""
        if self.last_error is None:
            _LOG.warning("rate limits: Redis does not answer, this process counts for itself: %s", error)
        self.last_error = str(error)
        self._paused_until = time.monotonic() + REDIS_PAUSE_SECONDS
