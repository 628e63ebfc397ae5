"""Entitlements and metered use of a person (spec 05, 06.2)."""

from __future__ import annotations

import json
from typing import Annotated, Final

from fastapi import Path, Query, Request, Response

from api.access import subject_of
from api.conditional import JSON, RETRY_BUILDING, answer, answer_stored, negotiated, origin_of
from api.pages import row_of, tail
from api.parameters import NoParameters, UsageParameters
from api.periods import local_day, period
from api.problems import ProblemRaised
from api.runtime import generation_of, runtime_of
from store.payloads import etag_of
from store.serving import Generation

DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 90


async def entitlements(request: Request, _query: Annotated[NoParameters, Query()]) -> Response:
    """What the person may do with every feature, and what is left of it."""
    negotiated(request, JSON)
    generation = generation_of(request)
    found = row_of(runtime_of(request), generation, "entitlements", subject_of(request).user_id)
    if found is None:
        origin = origin_of(generation)
        body = b'{"data":[],' + tail("building", origin)
        return answer(request, origin, body, etag_of(b"[]", "building"), headers=RETRY_BUILDING)
    dataset, row = found
    return answer_stored(request, origin_of(generation, dataset), dataset.page(row), dataset.etag(row))


FeatureKey = Annotated[str, Path(description="`feature_key` of an entitlement.", examples=["post"])]


async def entitlement(request: Request, feature_key: FeatureKey, _query: Annotated[NoParameters, Query()]) -> Response:
    """What the person may do with one feature."""
    negotiated(request, JSON)
    generation = generation_of(request)
    found = row_of(runtime_of(request), generation, "entitlements", subject_of(request).user_id)
    if found is None:
        detail = "This person's entitlements are not computed yet: ask again after Retry-After seconds."
        raise ProblemRaised("not-ready", detail, headers=RETRY_BUILDING)
    dataset, row = found
    origin = origin_of(generation, dataset)
    for fragment in dataset.fragments(row):
        if json.loads(fragment)["feature_key"] == feature_key:
            body = b'{"data":%b,"generation":"%b","as_of":"%b"}' % (
                fragment,
                origin.generation.encode(),
                origin.as_of_text.encode(),
            )
            return answer(request, origin, body, etag_of(fragment, "ready"))
    raise ProblemRaised("not-found", "There is no such feature; /v2/me/entitlements lists every one.")


async def usage(request: Request, query: Annotated[UsageParameters, Query()]) -> Response:
    """The person's metered use by day, days in their own time zone, 90 days at most."""
    negotiated(request, JSON)
    generation, user_id = generation_of(request), subject_of(request).user_id
    time_zone = _time_zone(generation, user_id)
    dataset = generation.dataset("usage")
    today = local_day((dataset or generation).as_of, time_zone)
    span = period(query.from_, query.to, today, DEFAULT_DAYS, MAX_DAYS)
    found = row_of(runtime_of(request), generation, "usage", user_id)
    origin = origin_of(generation, dataset)
    kept = []
    for fragment in found[0].fragments(found[1]) if found is not None else ():
        day = json.loads(fragment)
        if span.holds(day["date"]) and query.meter in (None, day["meter_key"]):
            kept.append(fragment)
    state = "building" if found is None else "ready" if kept else "empty"
    data = b"[" + b",".join(kept) + b"]"
    head = {"from": span.start.isoformat(), "to": span.end.isoformat(), "time_zone": time_zone}
    body = b'%b,"data":%b,%b' % (json.dumps(head, separators=(",", ":")).encode()[:-1], data, tail(state, origin))
    headers = RETRY_BUILDING if found is None else None
    return answer(request, origin, body, etag_of(data, state), headers=headers)


def _time_zone(generation: Generation, user_id: int) -> str:
    """The user's time zone as of the generation; UTC for one who is not in it."""
    users = generation.dataset("users")
    row = users.find(user_id) if users is not None else None
    return "UTC" if users is None or row is None else str(json.loads(users.body(row))["time_zone"])
