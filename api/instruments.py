"""What the API tells Prometheus: requests by route, and the state of what is served (``GET /metrics``).

Lives here: every metric, its name and its meaning. Does not belong here: logs, or readiness (api.health).
With several workers each keeps its counts in a file below ``PROMETHEUS_MULTIPROC_DIR`` (api.server sets it),
and whichever worker is asked answers for all. No label holds a user, a token or a query.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastapi import Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from api.counting import COUNTS_FOLDER
from api.runtime import Runtime, runtime_of

MEDIA_TYPE: Final = "text/plain; version=1.0.0; charset=utf-8"
HAND_OVER_SECONDS: Final = 0.25
UNROUTED: Final = "(none)"
_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_registry: Final = CollectorRegistry()
_SECONDS: Final = Histogram(
    "flowforge_http_request_seconds",
    "Requests answered, and seconds from the request's head to the last byte handed over.",
    ["route", "status"],
    buckets=_BUCKETS,
    registry=_registry,
)
LIVE_CONNECTIONS: Final = Gauge(
    "flowforge_live_connections",
    "Connections to /v2/live that are open.",
    multiprocess_mode="livesum",
    registry=_registry,
)
LIVE_EVENTS: Final = Counter("flowforge_live_events", "Events sent to /v2/live.", registry=_registry)
LIVE_CLOSED: Final = Counter(
    "flowforge_live_closed", "Connections to /v2/live closed by us.", ["code"], registry=_registry
)


class _Tally:
    """Answers of one route and status since they were last handed over: how many by bucket, and their seconds."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BUCKETS) + 1)
        self.seconds = 0.0


class RouteInstruments:
    """The counters of one route: looked up once, because hot paths count at every request.

    Counting is adding two numbers; what was counted is handed to Prometheus' histogram from time to time.
    """

    __slots__ = ("_counted", "route")

    def __init__(self, route: str) -> None:
        self.route = route
        self._counted: dict[int, _Tally] = {}

    def observe(self, status: int, seconds: float) -> None:
        """Count one answer."""
        tally = self._counted.get(status)
        if tally is None:
            tally = self._counted[status] = _Tally()
        tally.buckets[bisect_left(_BUCKETS, seconds)] += 1
        tally.seconds += seconds

    def hand_over(self) -> None:
        """Add what was counted to the histogram."""
        counted, self._counted = self._counted, {}
        for status, tally in counted.items():
            child: Any = _SECONDS.labels(self.route, str(status))
            # The library has no way to add several observations at once; one by one they cost a tenth of a request.
            child._sum.inc(tally.seconds)
            for value, count in zip(child._buckets, tally.buckets, strict=True):
                if count:
                    value.inc(count)


_routes: Final[dict[str, RouteInstruments]] = {}


def instruments_of(route: str) -> RouteInstruments:
    """The counters of the route with this path template; :data:`UNROUTED` for a path that is none."""
    found = _routes.get(route)
    if found is None:
        found = _routes[route] = RouteInstruments(route)
    return found


def hand_over() -> None:
    """Add what every route has counted to the histogram."""
    for route in list(_routes.values()):
        route.hand_over()


@asynccontextmanager
async def handing_over() -> AsyncIterator[None]:
    """Hand over every 250 ms until the block ends, so that any worker can tell the counts of all."""
    task = asyncio.create_task(_hand_over_always())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        hand_over()


async def _hand_over_always() -> None:
    while True:
        await asyncio.sleep(HAND_OVER_SECONDS)
        hand_over()


class _Served(Collector):
    """What is served now, read when asked."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterable[Metric]:
        generation = self._runtime.generations.current()
        info = GaugeMetricFamily("flowforge_generation_info", "1 for the generation that is served.", labels=["id"])
        age = GaugeMetricFamily("flowforge_data_age_seconds", "Age of the data by dataset.", labels=["dataset"])
        if generation is not None:
            now = datetime.now(UTC)
            info.add_metric([generation.id], 1)
            for dataset in generation.info.datasets:
                age.add_metric([dataset.name], max(0.0, (now - dataset.as_of).total_seconds()))
        yield info
        yield age
        known = self._runtime.revocations.age_seconds()
        revoked_ago = GaugeMetricFamily("flowforge_revocations_age_seconds", "Age of the revocations; NaN: never read.")
        if self._runtime.revocations.mode != "off":
            revoked_ago.add_metric([], float("nan") if known is None else known)
            late = known is None or known > self._runtime.settings.revocations.alert_seconds
            yield GaugeMetricFamily("flowforge_revocations_late", "1 while the alert's bound is passed.", value=late)
        yield revoked_ago
        for name, told, error in (
            ("generation_refused", "1 while the newest generation is refused.", self._runtime.generations.last_error),
            ("jwks_stale", "1 while the JWKS cannot be refreshed.", self._runtime.keys.last_error),
            ("rate_limits_local", "1 while Redis does not answer.", self._runtime.limits.last_error),
        ):
            yield GaugeMetricFamily(f"flowforge_{name}", told, value=float(error is not None))


def _forget_dead(folder: Path) -> None:
    """A killed worker holds no connections: its gauges end with it, its counts stay."""
    for kept in folder.glob("gauge_live*_*.db"):
        pid = kept.stem.rpartition("_")[2]
        if not Path("/proc", pid).exists():
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


async def metrics(request: Request) -> Response:
    """Counts and gauges in Prometheus' text format."""
    hand_over()
    registry = CollectorRegistry()
    if folder := os.environ.get(COUNTS_FOLDER):
        _forget_dead(Path(folder))
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(_registry)
    registry.register(_Served(runtime_of(request)))
    return Response(generate_latest(registry), headers={"cache-control": "no-store"}, media_type=MEDIA_TYPE)
