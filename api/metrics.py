"""The analysts' metrics, as JSON or CSV (spec 05, 06.2).

Does not belong here: suppression of small groups, done before anything is published (05).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Query, Request, Response

from api.conditional import JSON, answer, negotiated, origin_of
from api.parameters import (
    EngagementParameters,
    GrowthParameters,
    MetricParameters,
    PlanParameters,
    RetentionParameters,
    RevenueParameters,
)
from api.periods import local_day, period
from api.runtime import generation_of
from store.payloads import (
    METRICS,
    EngagementRow,
    GrowthRow,
    Metric,
    Payload,
    PlanRow,
    RetentionRow,
    RevenueRow,
    etag_of,
)
from store.serving import Generation

CSV: Final = "text/csv"
DEFAULT_DAYS: Final = 365
MAX_DAYS: Final = 3660

_DATE_FIELD: Final[dict[Metric, str]] = {
    "growth": "period_start",
    "retention": "cohort_start",
    "engagement": "date",
    "revenue": "month",
    "plans": "date",
}
ROWS: Final[dict[Metric, type[Payload]]] = {
    "growth": GrowthRow,
    "retention": RetentionRow,
    "engagement": EngagementRow,
    "revenue": RevenueRow,
    "plans": PlanRow,
}


async def growth(request: Request, query: Annotated[GrowthParameters, Query()]) -> Response:
    """New, retained, resurrected and churned users by period and segment."""
    return _metric(request, "growth", query)


async def retention(request: Request, query: Annotated[RetentionParameters, Query()]) -> Response:
    """Cohorts and how many of them came back, by age."""
    return _metric(request, "retention", query)


async def engagement(request: Request, query: Annotated[EngagementParameters, Query()]) -> Response:
    """Daily, weekly and monthly active users and how often they come."""
    return _metric(request, "engagement", query)


async def revenue(request: Request, query: Annotated[RevenueParameters, Query()]) -> Response:
    """The ARR waterfall by month, currency and plan, with net and gross retention in parts per million."""
    return _metric(request, "revenue", query)


async def plans(request: Request, query: Annotated[PlanParameters, Query()]) -> Response:
    """Subscriptions and ARR by day, plan and currency."""
    return _metric(request, "plans", query)


HANDLERS: Final[dict[Metric, Callable[..., Awaitable[Response]]]] = {
    "growth": growth,
    "retention": retention,
    "engagement": engagement,
    "revenue": revenue,
    "plans": plans,
}


def _metric(request: Request, metric: Metric, query: MetricParameters) -> Response:
    media_type = negotiated(request, JSON, CSV)
    generation = generation_of(request)
    stored, dataset = _stored(generation, metric), generation.dataset("metrics")
    origin = origin_of(generation, dataset)
    time_zone = stored["reporting_time_zone"]
    span = period(query.from_, query.to, local_day((dataset or generation).as_of, time_zone), DEFAULT_DAYS, MAX_DAYS)
    asked = {"grain": query.grain, "currency": query.currency}
    wanted = {name: value for name, value in asked.items() if value is not None and name in ROWS[metric].model_fields}
    rows = [
        row
        for row in stored["data"]
        if span.holds(row[_DATE_FIELD[metric]]) and all(row[name] == value for name, value in wanted.items())
    ]
    data = _compact(rows)
    if media_type == CSV:
        body = _csv(metric, rows)
        return answer(request, origin, body, etag_of(body, CSV), media_type=f"{CSV}; charset=utf-8; header=present")
    head = {
        "metric": metric,
        "definition_version": stored["definition_version"],
        "reporting_time_zone": time_zone,
        "from": span.start.isoformat(),
        "to": span.end.isoformat(),
        "as_of": origin.as_of_text,
        "generation": origin.generation,
        "suppressed_count": stored["suppressed_count"],
    }
    body = b'%b,"data":%b}' % (_compact(head)[:-1], data)
    return answer(request, origin, body, etag_of(data, JSON))


def _stored(generation: Generation, metric: Metric) -> dict[str, Any]:
    dataset = generation.dataset("metrics")
    row = dataset.find(METRICS.index(metric)) if dataset is not None else None
    if dataset is None or row is None:
        return {
            "definition_version": f"{metric}-1",
            "reporting_time_zone": "UTC",
            "suppressed_count": 0,
            "data": [],
        }
    stored: dict[str, Any] = json.loads(dataset.body(row))
    return stored


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _csv(metric: Metric, rows: list[dict[str, Any]]) -> bytes:
    """RFC 4180 with a header; null is empty, a list is its JSON."""
    names = list(ROWS[metric].model_fields)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | bool) else value
